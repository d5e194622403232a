"""Comparisons, truth values, what is chosen by them, masks: as onnxruntime, or ONNX's own reference, computes them."""

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator

from mpc_infer.graph import import_onnx
from mpc_infer.graph.ranges import check_ranges
from tests.unit.graph.onnx_models import make_model, node, values
from tests.unit.graph.test_onnx_import import check_same, run_imported
from tests.unit.graph.test_onnx_operators import PLACE, F, several


@pytest.mark.parametrize("op", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"])
def test_where_a_comparison_holds(op: str) -> None:
    constants = {"w": np.asarray([0.5, -0.5, 0, 1, 0, 2, 0.25], F), "far": np.asarray(F(-1000))}
    halves = [node("Mul", ["x", "two"], "d"), node("ArgMax", ["x"], "i", axis=1), node("Cast", ["i"], "j", to=1)]
    nodes = [
        *halves,
        node(op, ["d", "w"], "c"),
        node("Where", ["c", "d", "far"], "z"),
        node(op, ["j", "w"], "b"),
        node("Where", ["b", "z", "x"], "y"),
    ]
    several(nodes, constants | {"two": np.asarray(F(2))}, 7)


def test_truth_values_and_what_is_chosen_by_them() -> None:
    constants = {"zero": np.asarray(F(0)), "one": np.asarray(F(1)), "big": np.asarray(F(30000))}
    nodes = [
        node("Greater", ["x", "zero"], "a"),
        node("Less", ["x", "one"], "b"),
        node("And", ["a", "b"], "c"),
        node("Not", ["a"], "d"),
        node("Or", ["c", "d"], "e"),
        node("Xor", ["a", "e"], "f"),
        node("Where", ["f", "big", "x"], "g"),
        node("Cast", ["e"], "h", to=1),
        node("Cast", ["h"], "i", to=9),
        node("Where", ["i", "g", "big"], "y"),
    ]
    several(nodes, constants, 9)


def test_where_the_condition_is_known() -> None:
    constants = {"c": np.arange(8) % 3 == 0, "no": np.zeros((1, 8), bool), "w": values((8,), 1)}
    nodes = [
        node("Where", ["c", "x", "w"], "a"),
        node("Neg", ["x"], "n"),
        node("Where", ["c", "a", "n"], "b"),
        node("Where", ["no", "x", "b"], "y"),
    ]
    several(nodes, constants, 8)


def test_constants_beside_computed_values() -> None:
    constants = {"token": values((1, 1, 4), 1), "p": np.array([[1, 2], [-1, 0], [0, 3]], PLACE)}
    nodes = [
        node("Expand", ["token", "rows"], "e"),
        node("Concat", ["e", "x", "token"], "c", axis=1),  # [N, 5, 4]
        node("Transpose", ["c"], "t", perm=[1, 2, 0]),
        node("GatherND", ["t", "p"], "g"),
        node("Transpose", ["g"], "y", perm=[1, 0]),
    ]
    model = make_model(nodes, constants | {"rows": np.array([1, 1, 1], PLACE)}, inputs={"x": [1, 3, 4]})
    check_same(bytes(model.SerializeToString()), {"x": values((1, 3, 4), 9)})


@pytest.mark.parametrize("lowest", [-np.inf, np.finfo(F).min, -1000.0])
def test_attention_looks_only_back(lowest: float) -> None:
    mask = np.triu(np.full((6, 6), lowest, F), 1)
    nodes = [
        node("Transpose", ["x"], "t", perm=[0, 2, 1]),
        node("MatMul", ["x", "t"], "s"),
        node("Add", ["s", "mask"], "m"),
        node("Softmax", ["m"], "p"),
        node("MatMul", ["p", "x"], "y"),
    ]
    imported = several(nodes, {"mask": mask}, 6, 8)
    check_ranges(imported.graph, imported.weights, 16, 16)


def test_attention_of_operator_set_23() -> None:
    """Grouped heads, a causal window, a mask that leaves out one place. What ONNX itself computes: no runtime does."""
    mask = np.array([True, True, True, False, True])
    attributes = {"q_num_heads": 4, "kv_num_heads": 2, "is_causal": 1, "softcap": 2.0}
    nodes = [
        node("RMSNormalization", ["x", "g"], "n"),
        node("MatMul", ["n", "w"], "k"),
        node("Attention", ["x", "k", "k", "m"], "y", **attributes),
    ]
    constants = {"g": values((8,), 1), "w": values((8, 4), 2), "m": mask[None, :].repeat(5, 0)}
    model = make_model(nodes, constants, inputs={"x": ["N", 5, 8]}, outputs={"y": ["N", 5, 8]}, opset=24)
    data, x = bytes(model.SerializeToString()), values((3, 5, 8), 9)
    (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    assert np.abs(run_imported(import_onnx(data), {"x": x})["y"] - expected).max() < 1e-3
