"""Models that are accepted compute what onnxruntime computes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from mpc_infer.engine.plain import run_plain
from mpc_infer.graph import ImportedModel, import_onnx
from mpc_infer.sharing import decode, encode
from tests.unit.graph.exported import exported
from tests.unit.graph.onnx_models import checked, dense_model, make_model, node, run_onnx, values


def run_imported(imported: ImportedModel, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    weights = {name: encode(value) for name, value in imported.weights.items()}
    rings = run_plain(imported.graph, weights, {name: encode(value) for name, value in inputs.items()})
    return {name: decode(ring) for name, ring in rings.items()}


def check_same(data: bytes, inputs: Mapping[str, NDArray[Any]], tolerance: float = 1e-3) -> ImportedModel:
    imported = import_onnx(data)
    expected, found = run_onnx(data, inputs), run_imported(imported, inputs)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        assert np.abs(found[name] - value).max() < tolerance
    return imported


@pytest.mark.parametrize("rows", [1, 5])
def test_dense_layers(rows: int) -> None:
    imported = check_same(checked(dense_model()), {"x": values((rows, 8), 9)})
    assert [each.op for each in imported.graph.nodes] == ["Linear", "Relu", "Linear"]
    assert [each.name for each in imported.graph.nodes] == ["gemm_h", "relu_r", "gemm_y"]
    assert {spec.name: spec.shape for spec in imported.graph.weights} == {
        "w1:T": (8, 16),
        "b1": (16,),
        "w2": (16, 4),
        "b2": (4,),
    }


@pytest.mark.parametrize(
    ("attributes", "bias"),
    [
        ({}, None),
        ({"alpha": 0.5}, None),
        ({"beta": 2.0}, (4,)),
        ({"alpha": -0.25, "beta": 0.5, "transB": 1}, (1, 4)),
        ({}, (1,)),
        ({"beta": 3.0}, ()),
        ({"beta": 0.0}, (4,)),
        ({}, (1, 1)),
    ],
)
def test_gemm_is_folded(attributes: dict[str, Any], bias: tuple[int, ...] | None) -> None:
    shape = (4, 8) if attributes.get("transB") else (8, 4)
    weights = {"w": values(shape, 1)} | ({} if bias is None else {"c": np.asarray(values(bias, 2))})
    inputs = ["x", "w"] if bias is None else ["x", "w", "c"]
    imported = check_same(
        checked(make_model([node("Gemm", inputs, "y", **attributes)], weights)), {"x": values((3, 8), 3)}
    )
    assert len(imported.graph.nodes[0].inputs) == (2 if bias is None or attributes.get("beta") == 0.0 else 3)


def test_matmul_by_weights_is_linear() -> None:
    model = make_model(
        [node("MatMul", ["x", "w"], "h"), node("Add", ["b", "h"], "s"), node("Sigmoid", ["s"], "y")],
        {"w": values((8, 4), 1), "b": values((4,), 2)},
    )
    imported = check_same(checked(model), {"x": values((6, 8), 3)})
    assert [each.op for each in imported.graph.nodes] == ["Linear", "Sigmoid"]


def test_matmul_of_computed_tensors_and_of_weights_on_the_left() -> None:
    model = make_model(
        [node("MatMul", ["x", "z"], "a"), node("MatMul", ["w", "a"], "b"), node("MatMul", ["b", "v"], "y")],
        {"w": values((1, 5, 3), 1), "v": values((2, 6), 2)},
        inputs={"x": ["N", 3, 4], "z": ["N", 4, 2]},
    )
    imported = check_same(checked(model), {"x": values((7, 3, 4), 3), "z": values((7, 4, 2), 4)})
    assert [each.op for each in imported.graph.nodes] == ["MatMul", "MatMul", "Linear"]


def test_add_broadcasts() -> None:
    model = make_model(
        [
            node("Add", ["x", "one"], "a"),
            node("Add", ["a", "row"], "b"),
            node("Add", ["b", "z"], "c"),
            node("Add", ["c", "wide"], "y"),
        ],
        {"one": np.float32(0.5).reshape(()), "row": values((1, 3, 1), 1), "wide": values((3, 4), 2)},
        inputs={"x": ["N", 3, 4], "z": ["N", 3, 1]},
    )
    check_same(checked(model), {"x": values((2, 3, 4), 3), "z": values((2, 3, 1), 4)})


def test_identity_and_constant_vanish() -> None:
    weight = numpy_helper.from_array(values((8, 4), 1), "inner")
    model = make_model(
        [
            node("Constant", [], "w", value=weight),
            node("Constant", [], "b", value_floats=[1.0, 2.0, 3.0, 4.0]),
            node("Identity", ["w"], "w2"),
            node("Identity", ["x"], "x2"),
            node("Gemm", ["x2", "w2", "b"], "h"),
            node("Relu", ["h"], "r"),
            node("Identity", ["r"], "y"),
        ],
        {},
    )
    imported = check_same(checked(model), {"x": values((3, 8), 2)})
    assert [each.op for each in imported.graph.nodes] == ["Linear", "Relu"]
    assert [spec.name for spec in imported.graph.outputs] == ["y"]


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ((2, 3, 4), [0, -1]),
        ((2, 3, 4), [-1, 24]),
        ((2, 3, 4), [0, 0, 2, 6]),
        ((2, 3, 4), [0, 4, -1]),
        ((24,), [-1, 2, 12]),
    ],
)
def test_reshape(shape: tuple[int, ...], target: list[int]) -> None:
    model = make_model(
        [node("Reshape", ["x", "to"], "y")], {"to": np.array(target, np.int64)}, inputs={"x": ["N", *shape]}
    )
    imported = check_same(checked(model), {"x": values((3, *shape), 1)})
    assert imported.graph.weights == ()
    assert imported.graph.nodes[0].attributes["shape"][0] == -1


@pytest.mark.parametrize(("shape", "axis"), [((6, 2), 1), ((6, 2), -2), ((6,), 1)])
def test_flatten(shape: tuple[int, ...], axis: int) -> None:
    model = make_model([node("Flatten", ["x"], "y", axis=axis)], {}, inputs={"x": ["N", *shape]})
    check_same(checked(model), {"x": values((3, *shape), 1)})


def test_a_model_for_one_row_runs_for_many() -> None:
    weights = {"to": np.array([1, 4, 2], np.int64), "back": np.array([1, 8], np.int64)}
    nodes = [node("Reshape", ["x", "to"], "a"), node("Relu", ["a"], "b"), node("Reshape", ["b", "back"], "y")]
    data = checked(make_model(nodes, weights, inputs={"x": [1, 8]}))
    check_same(data, {"x": values((1, 8), 1)})
    imported, rows = import_onnx(data), values((5, 8), 2)
    assert imported.graph.inputs[0].shape == (None, 8)
    assert np.abs(run_imported(imported, {"x": rows})["y"] - np.maximum(rows, 0)).max() < 1e-4


@pytest.mark.parametrize("name", ["torch_mlp", "torch_reshape_one_row"])
def test_what_torch_exports(name: str) -> None:
    """Exported by torch 2.13 (dynamo) with a dynamic batch, and for one row."""
    file = exported(name)
    imported = import_onnx(file)
    rows = 1 if name.endswith("one_row") else 4
    check_same(file, {imported.graph.inputs[0].name: values((rows, 8), 1)})


@pytest.mark.parametrize("element", [TensorProto.DOUBLE, TensorProto.FLOAT16])
def test_other_floating_types(element: int) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(element)
    data = checked(make_model([node("Gemm", ["x", "w"], "y")], {"w": values((8, 4), 1).astype(dtype)}, element=element))
    check_same(data, {"x": values((3, 8), 2).astype(dtype)}, tolerance=2e-2)


def test_several_outputs_keep_their_order_and_names() -> None:
    model = make_model(
        [node("Relu", ["x"], "a"), node("Identity", ["a"], "second"), node("Sigmoid", ["a"], "first")],
        {},
        outputs={"first": None, "second": None},
    )
    imported = check_same(checked(model), {"x": values((3, 8), 1)})
    assert [spec.name for spec in imported.graph.outputs] == ["first", "second"]


def test_a_weight_used_twice_is_one_weight_and_two_uses_are_two() -> None:
    square = values((8, 8), 1, 0.3)
    nodes = [
        node("Gemm", ["x", "w"], "a"),
        node("Gemm", ["a", "w"], "b"),
        node("Gemm", ["b", "w"], "c", transB=1),
        node("Gemm", ["c", "w"], "y", alpha=0.5),
    ]
    imported = check_same(checked(make_model(nodes, {"w": square})), {"x": values((2, 8), 2)})
    assert set(imported.weights) == {"w", "w:T", "w:*0.5"}


def test_dead_weights_and_dead_nodes_are_dropped() -> None:
    nodes = [node("Tanh", ["x"], "dead"), node("Add", ["dead", "b"], "deader"), node("Relu", ["x"], "y")]
    imported = import_onnx(checked(make_model(nodes, {"w": values((9, 9), 1), "b": values((8,), 1)})))
    assert imported.weights == {}
    assert [each.op for each in imported.graph.nodes] == ["Relu"]


def test_an_initializer_that_is_also_an_input_is_a_weight() -> None:
    model = make_model([node("Gemm", ["x", "w"], "y")], {"w": values((8, 4), 1)}, inputs={"x": ["N", 8], "w": [8, 4]})
    imported = import_onnx(checked(model))
    assert [spec.name for spec in imported.graph.inputs] == ["x"]
    assert list(imported.weights) == ["w"]


def test_nodes_without_names_get_some() -> None:
    first, second = node("Relu", ["x"], "a"), node("Relu", ["a"], "y")
    first.name = second.name = ""
    imported = import_onnx(checked(make_model([first, second], {})))
    assert [each.name for each in imported.graph.nodes] == ["Relu_0", "Relu_1"]
