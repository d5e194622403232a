"""Every operator that is read computes what onnxruntime computes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.errors import UnsupportedOperator
from mpc_infer.graph import import_onnx
from mpc_infer.graph.operators import OPERATORS
from tests.unit.graph.onnx_models import make_model, node, run_onnx, values
from tests.unit.graph.test_onnx_import import check_same, run_imported

ROOT = Path(__file__).parents[3]
F, PLACE = np.float32, np.int64
IMAGE, SEQUENCE = ("N", 4, 9, 8), ("N", 6, 8)

CASES: dict[str, tuple[str, tuple[Any, ...], dict[str, Any], dict[str, Any]]] = {
    # name: operator, shape of x, further inputs, attributes
    "sub": ("Sub", SEQUENCE, {"w": values((6, 1), 1)}, {}),
    "mul": ("Mul", SEQUENCE, {"w": values((8,), 1)}, {}),
    "mul_scalar": ("Mul", SEQUENCE, {"w": np.asarray(F(0.37))}, {}),
    "div": ("Div", SEQUENCE, {"w": np.asarray(F(8.0))}, {}),
    "max": ("Max", SEQUENCE, {"w": values((8,), 1), "v": values((6, 1), 2)}, {}),
    "min": ("Min", SEQUENCE, {"w": values((1, 6, 8), 1)}, {}),
    "sum": ("Sum", SEQUENCE, {"w": values((6, 8), 1), "v": values((8,), 2)}, {}),
    "square": ("Pow", SEQUENCE, {"p": np.asarray(F(2))}, {}),
    "cube": ("Pow", SEQUENCE, {"p": np.asarray(F(3))}, {}),
    "conv": (
        "Conv",
        IMAGE,
        {"w": values((6, 4, 3, 2), 1), "b": values((6,), 2)},
        {"strides": [2, 1], "pads": [1, 0, 2, 1]},
    ),
    "conv_dilated": ("Conv", IMAGE, {"w": values((4, 2, 2, 3), 1)}, {"group": 2, "dilations": [2, 1]}),
    "conv_depthwise": ("Conv", IMAGE, {"w": values((4, 1, 3, 3), 1)}, {"group": 4}),
    "conv_same_upper": ("Conv", IMAGE, {"w": values((2, 4, 3, 3), 1)}, {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "conv_same_lower": ("Conv", IMAGE, {"w": values((2, 4, 2, 2), 1)}, {"auto_pad": "SAME_LOWER"}),
    "conv_valid": ("Conv", IMAGE, {"w": values((2, 4, 2, 2), 1)}, {"auto_pad": "VALID"}),
    "conv_1d": ("Conv", SEQUENCE, {"w": values((4, 6, 3), 1)}, {"strides": [2], "pads": [1, 0]}),
    "max_pool": ("MaxPool", IMAGE, {}, {"kernel_shape": [3, 2], "strides": [2, 2], "pads": [1, 0, 1, 1]}),
    "max_pool_ceil": ("MaxPool", IMAGE, {}, {"kernel_shape": [2, 3], "strides": [2, 3], "ceil_mode": 1}),
    "max_pool_1d": ("MaxPool", SEQUENCE, {}, {"kernel_shape": [2], "strides": [2]}),
    "average_pool": ("AveragePool", IMAGE, {}, {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "average_pool_edges": ("AveragePool", IMAGE, {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average_pool_pads": (
        "AveragePool",
        IMAGE,
        {},
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "average_pool_ceil": ("AveragePool", IMAGE, {}, {"kernel_shape": [2, 3], "strides": [2, 3], "ceil_mode": 1}),
    "global_average": ("GlobalAveragePool", IMAGE, {}, {}),
    "global_max": ("GlobalMaxPool", IMAGE, {}, {}),
    "mean_last": ("ReduceMean", SEQUENCE, {"a": np.array([-1], PLACE)}, {"keepdims": 0}),
    "mean_middle": ("ReduceMean", SEQUENCE, {"a": np.array([1], PLACE)}, {}),
    "mean_image": ("ReduceMean", IMAGE, {"a": np.array([2, 3], PLACE)}, {"keepdims": 0}),
    "reduce_sum": ("ReduceSum", IMAGE, {"a": np.array([1, 3], PLACE)}, {"keepdims": 0}),
    "reduce_max": ("ReduceMax", SEQUENCE, {"a": np.array([1], PLACE)}, {"keepdims": 0}),
    **{
        op.lower(): (op, SEQUENCE, {}, {})
        for op in (
            "Relu",
            "Abs",
            "Neg",
            "Sigmoid",
            "Tanh",
            "Softplus",
            "Exp",
            "HardSigmoid",
            "HardSwish",
            "LeakyRelu",
            "Mish",
        )
    },
    "gelu": ("Gelu", SEQUENCE, {}, {}),
    "gelu_tanh": ("Gelu", SEQUENCE, {}, {"approximate": "tanh"}),
    "leaky": ("LeakyRelu", SEQUENCE, {}, {"alpha": 0.3}),
    "prelu": ("PRelu", SEQUENCE, {"w": values((8,), 1)}, {}),
    "prelu_one": ("PRelu", SEQUENCE, {"w": np.array([0.2], F)}, {}),
    "clip": ("Clip", SEQUENCE, {"low": np.asarray(F(-0.5)), "high": np.asarray(F(0.7))}, {}),
    "clip_low": ("Clip", SEQUENCE, {"low": np.asarray(F(0))}, {}),
    **{
        op.lower(): (op, SEQUENCE, {}, {})
        for op in ("Erf", "Elu", "Selu", "Celu", "Softsign", "Shrink", "ThresholdedRelu", "Sign")
    },
    "celu_soft": ("Celu", SEQUENCE, {}, {"alpha": 1.7}),
    "swish_soft": ("Swish", SEQUENCE, {}, {"alpha": 1.7}),
    "shrink_soft": ("Shrink", SEQUENCE, {}, {"lambd": 0.3, "bias": 0.2}),
    "mean_of_three": ("Mean", SEQUENCE, {"w": values((8,), 1), "v": values((6, 1), 2)}, {}),
    "gemm_of_two": ("Gemm", ("N", 8), {"w": values((3, 8), 1), "c": values((1, 3), 2)}, {"alpha": 0.5, "transB": 1}),
    "matmul_stack": ("MatMul", SEQUENCE, {"w": values((1, 8, 3), 1)}, {}),
    "pad": ("Pad", IMAGE, {"p": np.array([0, 1, 0, 2, 0, 0, 3, 1], PLACE), "v": np.asarray(F(0.5))}, {}),
    "pad_zero": ("Pad", IMAGE, {"p": np.array([0, 0, 1, 1, 0, 0, 1, 1], PLACE)}, {}),
    "pad_axes": (
        "Pad",
        SEQUENCE,
        {"p": np.array([2, -1], PLACE), "v": np.asarray(F(-1)), "a": np.array([-1], PLACE)},
        {},
    ),
    "pad_edge": ("Pad", SEQUENCE, {"p": np.array([0, 2, 0, 0, 0, 3], PLACE)}, {"mode": "edge"}),
    "pad_reflect": ("Pad", IMAGE, {"p": np.array([0, 0, 2, 3, 0, 0, 1, 1], PLACE)}, {"mode": "reflect"}),
    "pad_wrap": ("Pad", SEQUENCE, {"p": np.array([0, 2, 0, 0, 0, 3], PLACE)}, {"mode": "wrap"}),
    "tile": ("Tile", SEQUENCE, {"t": np.array([1, 2, 3], PLACE)}, {}),
    "expand_more": ("Expand", ("N", 6, 1), {"t": np.array([1, 6, 5], PLACE)}, {}),
    "depth_to_space": ("DepthToSpace", IMAGE, {}, {"blocksize": 2, "mode": "CRD"}),
    "space_to_depth": ("SpaceToDepth", ("N", 3, 4, 6), {}, {"blocksize": 2}),
    "conv_transpose": (
        "ConvTranspose",
        IMAGE,
        {"w": values((4, 3, 3, 2), 1), "b": values((6,), 2)},
        {"strides": [2, 3], "pads": [1, 0, 2, 1], "group": 2, "output_padding": [1, 0]},
    ),
    "conv_transpose_1d": ("ConvTranspose", SEQUENCE, {"w": values((6, 4, 3), 1)}, {"strides": [2], "dilations": [2]}),
    "conv_transpose_same": (
        "ConvTranspose",
        IMAGE,
        {"w": values((4, 2, 3, 3), 1)},
        {"strides": [2, 2], "auto_pad": "SAME_UPPER"},
    ),
    "resize_nearest": (
        "Resize",
        IMAGE,
        {"roi": np.array([], F), "s": np.array([1, 1, 2, 1.5], F)},
        {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    ),
    "resize_linear": (
        "Resize",
        IMAGE,
        {"roi": np.array([], F), "s": np.array([1, 1, 2, 0.5], F)},
        {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    ),
    "instance_norm": (
        "InstanceNormalization",
        IMAGE,
        {"s": values((4,), 1), "b": values((4,), 2)},
        {"epsilon": 1e-3},
    ),
    "group_norm": (
        "GroupNormalization",
        IMAGE,
        {"s": values((4,), 1), "b": values((4,), 2)},
        {"epsilon": 1e-3, "num_groups": 2},
    ),
    "cumulated": ("CumSum", SEQUENCE, {"a": np.asarray(PLACE(1))}, {}),
    "cumulated_backwards": ("CumSum", SEQUENCE, {"a": np.asarray(PLACE(-1))}, {"reverse": 1, "exclusive": 1}),
    "reduce_min": ("ReduceMin", SEQUENCE, {"a": np.array([1], PLACE)}, {}),
    "reduce_l1": ("ReduceL1", SEQUENCE, {"a": np.array([-1], PLACE)}, {"keepdims": 0}),
    "reduce_l2": ("ReduceL2", SEQUENCE, {"a": np.array([-1], PLACE)}, {}),
    "reduce_squares": ("ReduceSumSquare", SEQUENCE, {"a": np.array([1, 2], PLACE)}, {}),
    "reduce_product": ("ReduceProd", SEQUENCE, {"a": np.array([2], PLACE)}, {"keepdims": 0}),
    "reduce_product_of_odd": ("ReduceProd", ("N", 7, 2), {"a": np.array([1], PLACE)}, {}),
    "arg_min": ("ArgMin", SEQUENCE, {}, {"axis": 1}),
    "arg_max_last": ("ArgMax", SEQUENCE, {}, {"axis": 2, "select_last_index": 1}),
    "slice_backwards": (
        "Slice",
        SEQUENCE,
        {
            "s": np.array([-1], PLACE),
            "e": np.array([-99], PLACE),
            "a": np.array([1], PLACE),
            "t": np.array([-2], PLACE),
        },
        {},
    ),
    "softmax": ("Softmax", SEQUENCE, {}, {}),
    "softmax_middle": ("Softmax", SEQUENCE, {}, {"axis": 1}),
    "layer_norm": ("LayerNormalization", SEQUENCE, {"g": values((8,), 1), "b": values((8,), 2)}, {"epsilon": 1e-3}),
    "layer_norm_two": ("LayerNormalization", SEQUENCE, {"g": values((6, 8), 1)}, {"axis": 1}),
    "batch_norm": (
        "BatchNormalization",
        IMAGE,
        {"s": values((4,), 1), "b": values((4,), 2), "m": values((4,), 3), "v": np.abs(values((4,), 4)) + F(0.5)},
        {},
    ),
    "arg_max": ("ArgMax", SEQUENCE, {}, {"axis": 1, "keepdims": 0}),
    "arg_max_kept": ("ArgMax", SEQUENCE, {}, {"axis": -1}),
    "transpose": ("Transpose", IMAGE, {}, {"perm": [0, 3, 1, 2]}),
    "squeeze": ("Squeeze", ("N", 1, 6, 1), {"a": np.array([1, 3], PLACE)}, {}),
    "unsqueeze": ("Unsqueeze", SEQUENCE, {"a": np.array([1, -1], PLACE)}, {}),
    "slice": (
        "Slice",
        SEQUENCE,
        {
            "s": np.array([1, -7], PLACE),
            "e": np.array([100, -1], PLACE),
            "a": np.array([1, 2], PLACE),
            "t": np.array([2, 3], PLACE),
        },
        {},
    ),
    "gather_one": ("Gather", SEQUENCE, {"i": np.asarray(PLACE(-2))}, {"axis": 1}),
    "gather_some": ("Gather", SEQUENCE, {"i": np.array([5, 0, 0, 3], PLACE)}, {"axis": 1}),
    "expand": ("Expand", SEQUENCE, {"t": np.array([1, 6, 1], PLACE)}, {}),
    "dropout": ("Dropout", SEQUENCE, {}, {}),
    "cast": ("Cast", SEQUENCE, {}, {"to": 1}),
}


def case_model(name: str) -> bytes:
    """A model of one of `CASES`."""
    op, shape, constants, attributes = CASES[name]
    # Something before it, so that what only renames is no output that is an input; places become numbers after it.
    nodes = [node("LeakyRelu", ["x"], "r", alpha=0.5), node(op, ["r", *constants], "z", **attributes)]
    # Some are younger than the default operator set; of one ONNX does not infer the shape.
    opset = {"Swish": 24, "GroupNormalization": 21}.get(op, 20)
    ends = {"y": list(shape) if op == "GroupNormalization" else None}
    nodes.append(node("Cast", ["z"], "y", to=1))
    model = make_model(nodes, constants, inputs={"x": list(shape)}, outputs=ends, opset=opset)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("name", sorted(CASES))
def test_operator(name: str) -> None:
    shape = CASES[name][1]
    check_same(case_model(name), {"x": values((3, *shape[1:]), 9)}, tolerance=2e-3)


@pytest.mark.parametrize("opset", [13, 17, 18, 21, 23, 25])
def test_opsets(opset: int) -> None:
    nodes = [node("Relu", ["x"], "r"), node("Softmax", ["r"], "s"), node("MatMul", ["s", "w"], "y")]
    check_same(
        bytes(make_model(nodes, {"w": values((8, 3), 1)}, opset=opset).SerializeToString()), {"x": values((3, 8), 2)}
    )


def several(nodes: list[Any], constants: dict[str, Any], *shape: int, **more: Any) -> Any:
    model = make_model(nodes, constants, inputs={"x": ["N", *shape]}, **more)
    return check_same(bytes(model.SerializeToString()), {"x": values((3, *shape), 9)}, tolerance=2e-3)


def test_vectors_and_stacks_that_repeat() -> None:
    constants = {"a": np.array([0], PLACE), "w": values((5,), 1)}
    nodes = [
        node("MatMul", ["x", "w"], "v"),  # [N, 2, 3]
        node("Unsqueeze", ["x", "two"], "s"),  # [N, 2, 1, 3, 5]
        node("Unsqueeze", ["x", "one"], "t"),  # [N, 1, 2, 3, 5]
        node("Transpose", ["t"], "u", perm=[0, 1, 2, 4, 3]),
        node("MatMul", ["s", "u"], "m"),  # [N, 2, 2, 3, 3]
        node("ReduceSum", ["m", "last"], "r", keepdims=0),
        node("Add", ["r", "v"], "y"),
    ]
    constants |= {"two": np.array([2], PLACE), "one": np.array([1], PLACE), "last": np.array([-1, 1], PLACE)}
    del constants["a"]
    several(nodes, constants, 2, 3, 5)


def test_split_and_concat() -> None:
    split = node("Split", ["x"], "a", axis=2, num_outputs=3)
    split.output.extend(["b", "c"])
    several([split, node("Concat", ["c", "a", "c"], "y", axis=1)], {}, 2, 6)


def test_square_root_division_and_powers_of_what_is_positive() -> None:
    constants = {"one": np.asarray(F(1)), "h": np.asarray(F(-0.5))}
    nodes = [
        node("Abs", ["x"], "a"),
        node("Add", ["a", "one"], "p"),
        node("Sqrt", ["p"], "s"),
        node("Reciprocal", ["s"], "r"),
        node("Pow", ["p", "h"], "q"),
        node("Sub", ["r", "q"], "d"),
        node("Div", ["x", "p"], "e"),
        node("Div", ["one", "p"], "f"),
        node("Sum", ["d", "e", "f"], "y"),
    ]
    several(nodes, constants, 5)


def test_gelu_and_silu_are_recognised() -> None:
    constants = {"r": np.asarray(F(2**0.5)), "one": np.asarray(F(1)), "half": np.asarray(F(0.5))}
    erf = [node("Div", ["x", "r"], "d"), node("Erf", ["d"], "e"), node("Add", ["e", "one"], "a")]
    orders = [
        [node("Mul", ["x", "a"], "m"), node("Mul", ["m", "half"], "g")],
        [node("Mul", ["x", "half"], "m"), node("Mul", ["m", "a"], "g")],
    ]
    for order in orders:
        silu = [node("Sigmoid", ["g"], "s"), node("Mul", ["s", "g"], "y")]
        imported = several([*erf, *order, *silu], constants, 7)
        assert [each.op for each in imported.graph.nodes] == ["Gelu", "Silu"]
    imported = several([*erf, node("Mul", ["x", "a"], "y")], constants, 7)
    assert [each.op for each in imported.graph.nodes] == ["Mul", "Erf", "Add", "Mul"]


def test_factors_go_into_the_products_beside_them() -> None:
    constants = {
        "w": values((8, 4), 1),
        "v": values((4, 3), 2),
        "m": values((4,), 3),
        "b": values((4,), 4),
        "s": np.asarray(F(0.25)),
        "p": values((8,), 5),
    }
    nodes = [
        node("Mul", ["x", "p"], "x2"),
        node("MatMul", ["x2", "w"], "h"),
        node("Mul", ["h", "m"], "i"),
        node("Add", ["i", "b"], "j"),
        node("Relu", ["j"], "k"),
        node("MatMul", ["k", "v"], "l"),
        node("Mul", ["l", "s"], "y"),
    ]
    imported = several(nodes, constants, 8)
    assert [each.op for each in imported.graph.nodes] == ["Linear", "Relu", "Linear"]


def test_a_normalisation_goes_into_the_convolution() -> None:
    constants = {
        "w": values((3, 2, 3, 3), 1),
        "s": values((3,), 2),
        "b": values((3,), 3),
        "m": values((3,), 4),
        "v": np.abs(values((3,), 5)) + F(0.5),
    }
    nodes = [node("Conv", ["x", "w"], "c"), node("BatchNormalization", ["c", "s", "b", "m", "v"], "y")]
    assert [each.op for each in several(nodes, constants, 2, 6, 6).graph.nodes] == ["Conv"]


def test_a_value_that_others_read_stays() -> None:
    constants = {"w": values((8, 4), 1), "m": values((4,), 3)}
    nodes = [node("MatMul", ["x", "w"], "h"), node("Mul", ["h", "m"], "i"), node("Add", ["i", "h"], "y")]
    assert [each.op for each in several(nodes, constants, 8).graph.nodes] == ["Linear", "Mul", "Add"]


def test_what_depends_on_constants_alone_is_computed() -> None:
    constants = {"w": values((4, 8), 1), "i": np.array([0, 2, 4], PLACE), "z": np.array([-1], PLACE)}
    nodes = [
        node("Transpose", ["w"], "t"),
        node("MatMul", ["x", "t"], "h"),
        node("Shape", ["h"], "s"),
        node("Gather", ["s", "i0"], "n"),
        node("Unsqueeze", ["n", "i0v"], "n1"),
        node("Concat", ["n1", "two", "z"], "to", axis=0),
        node("Reshape", ["h", "to"], "y"),
    ]
    constants |= {"i0": np.asarray(PLACE(0)), "i0v": np.array([0], PLACE), "two": np.array([2], PLACE)}
    assert [each.op for each in several(nodes, constants, 8).graph.nodes] == ["Linear", "Reshape"]


def test_rows_may_stand_on_any_axis_in_between() -> None:
    nodes = [
        node("Transpose", ["x"], "t", perm=[1, 0, 2]),
        node("MatMul", ["t", "w"], "h"),
        node("Softmax", ["h"], "s"),
        node("Transpose", ["s"], "y", perm=[1, 0, 2]),
    ]
    several(nodes, {"w": values((4, 5), 1)}, 3, 4)


def test_every_row_is_evaluated_by_itself() -> None:
    mixing = make_model(
        [
            node("Transpose", ["x"], "t", perm=[1, 2, 0]),
            node("Softmax", ["t"], "s"),
            node("Transpose", ["s"], "y", perm=[2, 0, 1]),
        ],
        {},
        inputs={"x": ["N", 3, 4]},
    )
    with pytest.raises(UnsupportedOperator, match=r"softmax_s.*across rows"):
        import_onnx(bytes(mixing.SerializeToString()))


def test_the_page_lists_the_operators() -> None:
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    listed = {
        name
        for line in re.findall(r"^\| [^|]+ \| (`.+) \|", page, re.MULTILINE)
        for name in re.findall(r"`([\w.]+)`", line)
    }
    assert listed == set(OPERATORS)


def test_sums_are_of_one_row() -> None:
    data = bytes(make_model([node("ReduceSum", ["x", "a"], "y")], {"a": np.array([1], PLACE)}).SerializeToString())
    x = values((3, 8), 1)
    assert np.abs(run_imported(import_onnx(data), {"x": x})["y"] - run_onnx(data, {"x": x})["y"]).max() < 1e-3
