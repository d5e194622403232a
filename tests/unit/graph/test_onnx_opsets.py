"""The same model in every operator set from 13 to the newest: the same graph and weights, however it is spelled."""

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from skl2onnx import to_onnx
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from mpc_infer.graph import import_onnx
from tests.unit.graph.onnx_models import make_model, node, run_onnx, values
from tests.unit.graph.test_exported_models import scores
from tests.unit.graph.test_onnx_import import run_imported

NEWEST = onnx.defs.onnx_opset_version()
AXES = np.array([2, 3], np.int64)


def spelled(opset: int) -> bytes:
    """A small network of operators whose spelling has changed between operator sets."""
    constants: dict[str, Any] = {
        "w": values((4, 2, 3, 3), 1, 0.3),
        "s": np.abs(values((4,), 2)) + 1,
        "b": values((4,), 3),
        "p": np.array([0, 0, 1, 0, 0, 0, 0, 1], np.int64),
        "axes": AXES,
        "one": np.array([1], np.int64),
        "lo": np.asarray(np.float32(-2)),
        "hi": np.asarray(np.float32(3)),
        "parts": np.array([1, 3], np.int64),
        "v": values((4, 3), 4),
    }

    def reduced(op: str, data: str, made: str) -> Any:
        # Axes are an attribute before opset 18; of ReduceSum before 13.
        if opset < 18 and op != "ReduceSum":
            return node(op, [data], made, axes=AXES.tolist(), keepdims=0)
        return node(op, [data, "axes"], made, keepdims=0)

    split = node("Split", ["n", "parts"], "n1", axis=1)
    split.output.append("n2")
    nodes = [
        node("Pad", ["x", "p"], "x1"),
        node("Conv", ["x1", "w"], "c"),
        node("BatchNormalization", ["c", "s", "b", "b", "s"], "n"),
        split,
        node("Clip", ["n2", "lo", "hi"], "k"),
        node("Concat", ["n1", "k"], "j", axis=1),
        node("Dropout", ["j"], "d"),
        reduced("ReduceMean", "d", "m"),
        reduced("ReduceMax", "d", "h"),
        reduced("ReduceSum", "d", "t"),
        node("Sum", ["m", "h", "t"], "u"),
        node("Unsqueeze", ["u", "one"], "u1"),
        node("Softmax", ["u1"], "q"),
        node("Squeeze", ["q", "one"], "q1"),
        node("Cast", ["q1"], "q2", to=1),
        node("Gemm", ["q2", "v"], "y"),
    ]
    model = make_model(nodes, constants, inputs={"x": ["N", 2, 6, 6]}, opset=opset)
    return bytes(model.SerializeToString())


def test_every_operator_set_gives_the_same_graph() -> None:
    first = import_onnx(spelled(13))
    for opset in range(14, NEWEST + 1):
        imported = import_onnx(spelled(opset))
        assert imported.graph.digest == first.graph.digest, opset
        for name, array in imported.weights.items():
            assert (array == first.weights[name]).all(), (opset, name)
    x = {"x": values((3, 2, 6, 6), 5)}
    (found,), (expected,) = run_imported(first, x).values(), run_onnx(spelled(18), x).values()
    assert np.abs(found - expected).max() < 1e-3


@pytest.mark.parametrize("estimator", [LogisticRegression(max_iter=500), MLPClassifier((8,), max_iter=300)], ids=str)
def test_operator_sets_of_skl2onnx(estimator: Any) -> None:
    data = load_wine()
    rows = data.data[::9].astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = make_pipeline(MinMaxScaler(), StandardScaler(), estimator).fit(data.data, data.target)
    for opset in (13, 15, 18, 22):
        file = to_onnx(pipeline, rows[:1], target_opset={"": opset, "ai.onnx.ml": 3}).SerializeToString()
        (found,) = run_imported(import_onnx(file), {"X": rows}).values()
        found = found / found.sum(axis=1, keepdims=True)
        assert np.abs(found - scores(run_onnx(file, {"X": rows}))).max() < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("opset", [18, 20, 21, 22, 23])
def test_operator_sets_of_torch(opset: int) -> None:
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, activation="gelu").eval()
    sizes = ({0: torch.export.Dim("rows")},)
    exported = torch.onnx.export(
        layer, (torch.randn(2, 6, 16),), dynamo=True, dynamic_shapes=sizes, opset_version=opset, verbose=False
    )
    file = exported.model_proto.SerializeToString()
    imported = import_onnx(file)
    x = {imported.graph.inputs[0].name: values((3, 6, 16), 1)}
    (found,), (expected,) = run_imported(imported, x).values(), run_onnx(file, x).values()
    assert np.abs(found - expected).max() < 1e-3
