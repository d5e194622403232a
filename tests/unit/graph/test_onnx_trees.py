"""Tree ensembles against onnxruntime: of all exporters on real rows, by hand in both generations; what is refused."""

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor

from mpc_infer.errors import CorruptModel, UnsupportedOperator
from mpc_infer.graph import import_onnx
from mpc_infer.graph.ranges import widest_input_limit
from tests.unit.graph.exported_trees import MODELS, exported_trees, rows_of
from tests.unit.graph.onnx_models import run_onnx
from tests.unit.graph.test_exported_models import scores
from tests.unit.graph.test_onnx_import import run_imported

UNIT = 2.0**-16


@pytest.mark.parametrize("name", MODELS)
def test_exported(name: str) -> None:
    file, (rows, _) = exported_trees(name), rows_of(name.rpartition("_")[2])
    imported = import_onnx(file)
    (spec,) = imported.graph.inputs
    (found,) = run_imported(imported, {spec.name: rows}).values()
    expected = scores(run_onnx(file, {spec.name: rows}))
    assert found.shape == expected.shape
    # No row goes another way: a truncation, a function's error, and what float32 is off of up to 346.
    assert np.abs(found - expected).max() < 2 * UNIT + 3e-5
    if found.shape[1] > 1:
        ranked = np.sort(expected, axis=1)
        clear = ranked[:, -1] - ranked[:, -2] > 1e-3
        assert (found.argmax(axis=1) == expected.argmax(axis=1))[clear].all()
    assert widest_input_limit(imported.graph, imported.weights, 2**15, 16) == 2**15


def first(post: str = "NONE", kind: str = "Classifier", version: int = 3, **changes: Any) -> bytes:
    """x0 <= 0.5 ? (x1 > -1 ? leaf 2 : leaf 3) : leaf 4, and a tree of one leaf."""
    lists: dict[str, Any] = {
        "nodes_treeids": [7] * 5 + [3],
        "nodes_nodeids": [0, 1, 2, 3, 4, 0],
        "nodes_featureids": [0, 1, 0, 0, 0, 0],
        "nodes_modes": ["BRANCH_LEQ", "BRANCH_GT", *["LEAF"] * 4],
        "nodes_values": [0.5, -1.0, 0.0, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 2, 0, 0, 0, 0],
        "nodes_falsenodeids": [4, 3, 0, 0, 0, 0],
    }
    short = "class" if kind == "Classifier" else "target"
    votes = [(7, 2, 0, 0.5), (7, 3, 1, -1.5), (7, 4, 2, 2.0), (7, 4, 1, 0.25), (3, 0, 1, 1.0)]
    keys = ("treeids", "nodeids", "ids", "weights")
    lists |= {f"{short}_{key}": list(column) for key, column in zip(keys, zip(*votes, strict=True), strict=True)}
    lists |= {"classlabels_int64s": [0, 1, 2]} if kind == "Classifier" else {"n_targets": 3}
    lists |= {"post_transform": post} | changes
    lists = {key: value for key, value in lists.items() if value is not None}
    outputs = ["label", "y"] if kind == "Classifier" else ["y"]
    node = helper.make_node(f"TreeEnsemble{kind}", ["x"], outputs, "trees", domain="ai.onnx.ml", **lists)
    label = TensorProto.STRING if "classlabels_strings" in lists else TensorProto.INT64
    return model(node, version, labels=label if kind == "Classifier" else None)


def second(**changes: Any) -> bytes:
    """The same trees, as ai.onnx.ml 5 writes them."""

    def tensor(values: list[float], kind: int = TensorProto.FLOAT) -> Any:
        return helper.make_tensor("t", kind, [len(values)], values)

    lists: dict[str, Any] = {
        "nodes_featureids": [0, 1, 0],
        "nodes_splits": tensor([0.5, -1.0, 0.0]),
        "nodes_modes": tensor([0, 3, 0], TensorProto.UINT8),
        "nodes_truenodeids": [1, 0, 3],
        "nodes_trueleafs": [0, 1, 1],
        "nodes_falsenodeids": [2, 1, 3],
        "nodes_falseleafs": [1, 1, 1],
        "leaf_targetids": [0, 1, 2, 1],
        "leaf_weights": tensor([0.5, -1.5, 2.0, 1.0]),
        "tree_roots": [0, 2],
        "n_targets": 3,
    } | changes
    return model(helper.make_node("TreeEnsemble", ["x"], ["y"], "trees", domain="ai.onnx.ml", **lists), 5)


def model(node: Any, version: int, labels: int | None = None) -> bytes:
    ends = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", None])]
    ends += [helper.make_tensor_value_info("label", labels, ["N"])] if labels else []
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 2])]
    made = helper.make_model(
        helper.make_graph([node], "trees", inputs, ends),
        opset_imports=[helper.make_opsetid("ai.onnx.ml", version), helper.make_opsetid("", 20)],
        ir_version=9,
    )
    return bytes(made.SerializeToString())


ROWS = np.array([[0.5, -1.0], [0.5, -0.99], [0.51, 3.0], [-7.0, -2.0]], dtype=np.float32)
BASE = [0.5, -0.25, 1.0]
EVERYWHERE = {
    "n_targets": 2,
    "target_treeids": [7, 7, 7, 3, 3],
    "target_nodeids": [2, 3, 4, 0, 0],
    "target_ids": [0, 1, 1, 0, 1],
}
ONE_SCORE: dict[str, Any] = {
    "classlabels_int64s": [4, 9],
    "class_treeids": [7, 7, 7, 3],
    "class_nodeids": [2, 3, 4, 0],
    "class_ids": [0] * 4,
}


@pytest.mark.parametrize(
    "file",
    [
        first(),
        first(version=1),
        first("LOGISTIC"),
        first("SOFTMAX", base_values=BASE),
        first(kind="Regressor"),
        first("LOGISTIC", "Regressor"),
        first("SOFTMAX", "Regressor", aggregate_function="AVERAGE"),
        first(kind="Regressor", **EVERYWHERE, base_values=[0.5, -0.25]),
        first("SOFTMAX", "Regressor", **EVERYWHERE, aggregate_function="AVERAGE", base_values=[0.5, -0.25]),
        first(classlabels_int64s=None, classlabels_strings=["a", "b", "c"]),
        first(**ONE_SCORE, class_weights=[0.125, 0.25, 0.5, 0.125]),
        first(**ONE_SCORE, class_weights=[0.125, -0.25, 0.5, 0.125]),
        first(**ONE_SCORE, class_weights=[0.125, 0.25, 0.5, 0.125], base_values=[0.25]),
        first("LOGISTIC", **ONE_SCORE, class_weights=[0.125, 0.25, 0.5, 0.125]),
        first("LOGISTIC", **ONE_SCORE, class_weights=[0.125, -0.25, 0.5, 0.125], base_values=[0.25]),
        first("SOFTMAX", classlabels_int64s=[4, 9], class_ids=[0, 1, 0, 0, 1]),
        second(),
        second(aggregate_function=0),
    ],
)
def test_both_generations(file: bytes) -> None:
    (found,) = run_imported(import_onnx(file), {"x": ROWS}).values()
    expected = run_onnx(file, {"x": ROWS})["y"]
    assert np.abs(found - expected).max() < 3 * UNIT


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (first(nodes_modes=["BRANCH_EQ", "BRANCH_GT", *["LEAF"] * 4]), "'trees'.*'BRANCH_EQ'"),
        (second(nodes_modes=helper.make_tensor("t", TensorProto.UINT8, [3], [0, 6, 0])), "'trees'.*'BRANCH_MEMBER'"),
        (first("PROBIT"), "'PROBIT'"),
        (first("SOFTMAX_ZERO"), "'SOFTMAX_ZERO'"),
        (first(kind="Regressor", aggregate_function="MIN"), "'MIN'"),
        (second(aggregate_function=3), "'MAX'"),
        (second(post_transform=2), "agree on its post_transform 'LOGISTIC'"),
        (first("SOFTMAX", "Regressor", n_targets=1, target_ids=[0] * 5), "agree on its post_transform 'SOFTMAX'"),
        (first(kind="Regressor", base_values=BASE), "rows may not reach"),
        (first("SOFTMAX", **ONE_SCORE, class_weights=[1.0] * 4), "one score for two classes"),
        (first(classlabels_int64s=[4, 9], class_ids=[0, 1, 0, 0, 1], base_values=[0.5, 1.0]), "read differently"),
        (first(classlabels_int64s=[4, 9], class_ids=[0, 1, 0, 0, 0]), "read differently"),
        (first(base_values=[1.0, 2.0]), "base values"),
    ],
)
def test_without_a_protocol(file: bytes, says: str) -> None:
    with pytest.raises(UnsupportedOperator, match=f"'trees'.*{says}" if "'trees'" not in says else says) as caught:
        import_onnx(file)
    assert caught.value.remedy or "base values" in says


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (first(nodes_nodeids=[0, 1, 2, 3, 3, 0]), "two nodes"),
        (first(nodes_truenodeids=[1, 9, 0, 0, 0, 0]), "branch to a node"),
        (first(nodes_truenodeids=[1, 0, 0, 0, 0, 0]), "no tree reaches"),
        (first(nodes_falsenodeids=[1, 3, 0, 0, 0, 0]), "two"),
        (first(nodes_values=[0.5, float("nan"), 0.0, 0.0, 0.0, 0.0]), "with nan"),
        (first(nodes_values=[0.5]), "different lengths"),
        (first(nodes_featureids=[0, 2, 0, 0, 0, 0]), "feature 2 of 2"),
        (first(class_ids=[0, 1, 3, 1, 1]), "result 3"),
        (first(class_nodeids=[2, 3, 1, 4, 0]), "leaf"),
        (first(class_weights=[0.5, -1.5, 2.0, 0.25]), "different lengths"),
        (first(class_weights=[0.5, -1.5, float("inf"), 0.25, 1.0]), "infinity"),
        (first(kind="Regressor", n_targets=1 << 40), "results"),
        (second(tree_roots=[5]), "lead nowhere"),
        (second(nodes_truenodeids=[0, 0, 3]), "meet again"),
        (second(tree_roots=[0, 0]), "no tree reaches, or two"),
        (second(nodes_truenodeids=[1, -1, 3]), "branch to a node"),
        (second(nodes_falsenodeids=[2, 9, 3]), "leaf that it does not have"),
        (second(leaf_targetids=[0, 1, 2, 3]), "target"),
        (second(aggregate_function=4), "'aggregate_function'"),
    ],
)
def test_what_are_no_trees(file: bytes, says: str) -> None:
    with pytest.raises(CorruptModel, match=says) as caught:
        import_onnx(file)
    assert "trees" in str(caught.value)


def test_numbers_may_stand_in_tensors() -> None:
    """As ai.onnx.ml 3 has them for float64."""
    lists = {"nodes_values": [0.5, -1.0, 0.0, 0.0, 0.0, 0.0], "class_weights": [0.5, -1.5, 2.0, 0.25, 1.0]}
    lists |= {"base_values": BASE}
    tensors = {
        f"{key}_as_tensor": helper.make_tensor("t", TensorProto.DOUBLE, [len(value)], value)
        for key, value in lists.items()
    }
    found, expected = import_onnx(first(**dict.fromkeys(lists), **tensors)), import_onnx(first(**lists))
    assert found.graph == expected.graph
    assert all(np.array_equal(found.weights[name], value) for name, value in expected.weights.items())


def scaled(file: bytes, offset: list[float], scale: list[float]) -> bytes:
    """A model with a Scaler before it, whose input is called ``raw``."""
    model = onnx.load_from_string(file)
    scaler = helper.make_node("Scaler", ["raw"], ["X"], domain="ai.onnx.ml", offset=offset, scale=scale)
    scaler.output[0], model.graph.input[0].name = model.graph.input[0].name, "raw"
    model.graph.node.insert(0, scaler)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("name", ["forest_cancer", "xgboost_cancer"])
def test_a_scaler_goes_into_the_thresholds(name: str) -> None:
    """Of either sign, and one that makes a constant of a feature."""
    rows, _ = rows_of("cancer")
    file = scaled(exported_trees(name), [0.125, -0.25, 0.5, *[0.0] * 27], [2.0, -0.5, 0.0, *[0.25] * 27])
    imported = import_onnx(file)
    assert imported.graph.nodes[0].op == "TreeEnsemble"
    (found,) = run_imported(imported, {"raw": rows}).values()
    assert np.abs(found - scores(run_onnx(file, {"raw": rows}))).max() < 2 * UNIT + 3e-5
    assert widest_input_limit(imported.graph, imported.weights, 2**15, 16) == 2**15


def test_features_that_fill_the_range_are_told_apart_as_float32_does() -> None:
    """Multiplied at the client, divided in the model: docs/models.md."""
    rows, targets = load_diabetes(return_X_y=True, scaled=False)
    rows = rows.astype(np.float32)
    model = RandomForestRegressor(10, random_state=0).fit(rows[::2], targets[::2])
    file = to_onnx(model, rows[:1]).SerializeToString()
    expected = run_onnx(file, {"X": rows})["variable"]
    power = 2.0 ** np.floor(14.9 - np.log2(rows.max(axis=0)))
    (found,) = run_imported(import_onnx(scaled(file, [0.0] * 10, list(1 / power))), {"raw": rows * power}).values()
    assert np.abs(found - expected).max() < 2e-4
    (plain,) = run_imported(import_onnx(file), {"X": rows}).values()
    assert np.abs(plain - expected).max() > 1
