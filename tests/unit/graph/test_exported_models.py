"""What torch and scikit-learn export, against onnxruntime: on rows of real data where there are some."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from mpc_infer.graph import import_onnx
from mpc_infer.graph.ranges import check_ranges, widest_input_limit
from tests.unit.graph.exported import exported
from tests.unit.graph.onnx_models import run_onnx, values
from tests.unit.graph.test_onnx_import import run_imported

TORCH = {"lenet": 4e-4, "residual": 4e-4, "encoder": 5e-4, "encoder_layer": 1e-3}
"""Largest deviations that are allowed, of outputs about 1 in size."""
SETS = {"cancer": load_breast_cancer, "wine": load_wine, "diabetes": load_diabetes}
SKLEARN = {
    "logistic_cancer": 0.02,
    "logistic_wine": 0.02,
    "mlp_cancer": 0.02,
    "mlp_wine": 0.02,
    "svc_cancer": 0.02,
    "svc_wine": 0.02,
    "linear_diabetes": 0.1,
    "ridge_diabetes": 0.1,
    "mlp_diabetes": 0.5,
}
"""Of probabilities, scores about 1, and targets from 25 to 346: inputs and weights have 16 fractional bits."""


@pytest.mark.parametrize("name", TORCH)
def test_torch(name: str) -> None:
    file = exported(f"torch_{name}")
    imported = import_onnx(file)
    x = values((3, *imported.graph.inputs[0].shape[1:]), 1)
    inputs = {imported.graph.inputs[0].name: x}
    (found,), (expected,) = run_imported(imported, inputs).values(), run_onnx(file, inputs).values()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < TORCH[name]
    # Publishing works, with room for standardised data.
    assert widest_input_limit(imported.graph, imported.weights, 2**15, 16) >= 8


@pytest.mark.parametrize("name", SKLEARN)
def test_scikit_learn(name: str) -> None:
    file = exported(f"sklearn_{name}")
    data = SETS[name.rpartition("_")[2]]()
    imported, rows = import_onnx(file), data.data[::7].astype(np.float32)
    (found,) = run_imported(imported, {"X": rows}).values()
    expected = scores(run_onnx(file, {"X": rows}))
    if name == "logistic_wine":
        found = found / found.sum(axis=1, keepdims=True)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < SKLEARN[name]
    if found.shape[1] > 1:
        assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()


def scores(outputs: dict[str, Any]) -> NDArray[np.float64]:
    """The last output, whose names of classes may be in every row."""
    last = list(outputs.values())[-1]
    return np.array([list(row.values()) for row in last]) if isinstance(last, list) else np.asarray(last)


def test_the_label_is_left_out() -> None:
    imported = import_onnx(exported("sklearn_mlp_wine"))
    assert [spec.name for spec in imported.graph.outputs] == ["output_probability"]
    assert [node.op for node in imported.graph.nodes] == ["Add", "Linear", "Relu", "Linear", "Softmax"]


def test_real_rows_lie_in_the_intervals() -> None:
    imported = import_onnx(exported("sklearn_mlp_wine"))
    data = load_wine().data
    limit = 2 ** int(np.ceil(np.log2(data.max())))
    assert check_ranges(imported.graph, imported.weights, limit, 16).keys() >= {"output_probability"}
