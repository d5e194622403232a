"""Models that are refused, each with an error that says why and where."""

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from mpc_infer.errors import CorruptModel, ModelRefused, UnsupportedOperator
from mpc_infer.graph import import_onnx
from mpc_infer.graph.lowering import lower
from mpc_infer.graph.operators import OPERATORS
from mpc_infer.graph.raw import RawModel, RawNode
from tests.unit.graph.exported import exported
from tests.unit.graph.onnx_models import checked, dense_model, make_model, node, values
from tests.unit.graph.test_onnx_import import run_imported

W = {"w": values((8, 8), 1), "v": values((8,), 2)}
TO = {"to": np.array([4, 2], np.int64)}


def refused(model: Any, error: type[ModelRefused], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        import_onnx(bytes(model.SerializeToString()))
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("nodes", "weights", "name"),
    [
        ([node("Atan", ["x"], "y")], {}, "atan_y"),
        ([node("Log", ["x"], "y")], {}, "log_y"),
        ([node("LogSoftmax", ["x"], "y")], {}, "logsoftmax_y.*softmax"),
        ([node("Floor", ["x"], "y")], {}, "floor_y.*constants alone"),
        ([node("Conv", ["x", "w"], "y")], {"w": values((2, 3, 1, 1), 1)}, "conv_y|inconsistent"),
        ([node("Softmax", ["x"], "y", axis=0)], {}, "softmax_y"),
        ([node("ArgMax", ["x"], "y", axis=0)], {}, "argmax_y|inconsistent"),
        ([node("ReduceMax", ["x"], "y")], {}, "reducemax_y"),
        ([node("Transpose", ["x"], "t"), node("MatMul", ["x", "t"], "y")], {}, "matmul_y"),
        ([node("Transpose", ["x"], "t"), node("MatMul", ["t", "x"], "y")], {}, "matmul_y"),
        ([node("Transpose", ["x"], "y")], {}, "transpose_y"),
        ([node("Relu", ["w"], "r"), node("Add", ["x", "r"], "y")], W, "add_y"),
        ([node("Concat", ["x", "x"], "y", axis=0)], {}, "concat_y"),
        ([node("Slice", ["x", "i", "j"], "y")], {"i": np.array([0]), "j": np.array([0])}, "slice_y"),
        ([node("Gather", ["x", "i"], "y", axis=1)], {"i": np.array([8])}, "gather_y"),
        ([node("Pow", ["x", "p"], "y")], {"p": np.float32(2.5)}, "pow_y"),
        ([node("Cast", ["x"], "c", to=7), node("Cast", ["c"], "y", to=1)], {}, "cast_c"),
        ([node("Clip", ["x", "i", "j"], "y")], {"i": np.float32(2.5), "j": np.float32(np.nan)}, "clip_y"),
        ([node("Pow", ["x", "p"], "y")], {"p": np.arange(1, 9, dtype=np.float32)}, "pow_y"),
        ([node("Pad", ["x", "i"], "y")], {"i": np.array([1, 0, 0, 0])}, "pad_y"),
        ([node("Pad", ["x", "i"], "y")], {"i": np.array([0, 2**40, 0, 0])}, "pad_y|inconsistent"),
        ([node("Pad", ["x", "i"], "y", mode="mirror")], {"i": np.array([0, 1, 0, 0])}, "pad_y|inconsistent"),
        ([node("Tile", ["x", "i"], "y")], {"i": np.array([1, 2**30])}, "tile_y"),
        ([node("Gather", ["w", "p"], "y"), node("Relu", ["x"], "p")], W, "gather_y|inconsistent"),
        ([node("Expand", ["x", "i"], "y")], {"i": np.array([3, 1, 8])}, "expand_y"),
        (
            [node("ConstantOfShape", ["i"], "c"), node("Add", ["x", "c"], "y")],
            {"i": np.array([2**40])},
            "constantofshape|inconsistent",
        ),
        (
            [node("Range", ["i", "j", "k"], "c"), node("Add", ["x", "c"], "y")],
            {"i": np.float32(0), "j": np.float32(1e30), "k": np.float32(1)},
            "range_c|inconsistent",
        ),
        ([node("Gemm", ["w", "x"], "y", transB=1)], W, "gemm_y"),
        ([node("Gemm", ["x", "x"], "y", transB=1)], {}, "gemm_y"),
        ([node("Gemm", ["x", "w"], "y", transA=1)], W, "gemm_y"),
        ([node("MatMul", ["w", "x"], "y")], W, "matmul_y"),
        ([node("Flatten", ["x"], "y", axis=0)], {}, "flatten_y"),
        ([node("Flatten", ["x"], "y", axis=2)], {}, "flatten_y"),
        ([node("Reshape", ["x", "to"], "y")], TO, "reshape_y"),
        ([node("Reshape", ["x", "to"], "y")], {"to": np.array([-1], np.int64)}, "reshape_y"),
        ([node("Reshape", ["x", "to"], "y")], {"to": np.array([-1, 4], np.int64)}, "reshape_y"),
        ([node("Reshape", ["x", "to"], "y")], {"to": np.array([2, -1], np.int64)}, "reshape_y"),
        (
            [node("Reshape", ["x", "to"], "y", allowzero=1)],
            {"to": np.array([-1, 0], np.int64)},
            "reshape_y|inconsistent",
        ),
        ([node("Constant", [], "c", value_string="a"), node("Add", ["x", "c"], "y")], {}, "constant_c|inconsistent"),
    ],
)
def test_operators_without_a_protocol_are_named(nodes: list[Any], weights: dict[str, Any], name: str) -> None:
    with pytest.raises((UnsupportedOperator, CorruptModel), match=name) as caught:
        import_onnx(bytes(make_model(nodes, weights).SerializeToString()))
    assert isinstance(caught.value, UnsupportedOperator) or "inconsistent" in str(caught.value)


def test_an_operator_of_another_domain() -> None:
    model = make_model([node("Relu", ["x"], "y")], {})
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    refused(model, UnsupportedOperator, "com.example.Relu")


@pytest.mark.parametrize("data", [b"", b"\x00", b"not a model", b"\x08\x07", bytes(1000)])
def test_what_is_no_onnx_file(data: bytes) -> None:
    with pytest.raises(CorruptModel):
        import_onnx(data)


def test_every_truncation() -> None:
    data = checked(dense_model())
    for end in range(0, len(data), 7):
        with pytest.raises(ModelRefused):
            import_onnx(data[:end])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_give_a_model_or_our_error(changes: list[tuple[int, int]]) -> None:
    data = bytearray(checked(dense_model()))
    structure = [index for index in range(len(data)) if index < 40 or index > len(data) - 700]
    for place, value in changes:
        data[structure[place % len(structure)]] = value
    try:
        imported = import_onnx(bytes(data))
    except ModelRefused:
        return
    imported.graph.check()


@pytest.mark.parametrize("name", ["torch_lenet", "torch_encoder_layer", "sklearn_svc_cancer", "sklearn_mlp_wine"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_of_what_is_exported(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(exported(name))
    for place, value in changes:
        data[place % len(data)] = value
    with suppress(ModelRefused):
        import_onnx(bytes(data)).graph.check()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_operators_with_any_attributes(data: st.DataObject) -> None:
    """Any operator with attributes and constants that may not fit: a model, or our error."""
    numbers = st.integers(-3, 5)
    kinds = st.one_of(numbers, st.floats(-2, 2), st.lists(numbers, max_size=4))
    names = ("axis", "axes", "perm", "pads", "strides", "kernel_shape", "dilations", "group", "keepdims", "split", "to")
    attributes = data.draw(st.dictionaries(st.sampled_from(names), kinds, max_size=3))
    attributes = {key: value for key, value in attributes.items() if value != []}
    arrays = st.lists(numbers, max_size=3).map(
        lambda items: np.array(items, data.draw(st.sampled_from([np.int64, "f4"])))
    )
    weights = data.draw(st.dictionaries(st.sampled_from(["w", "v", "u"]), arrays, max_size=3))
    op = data.draw(st.sampled_from([op for op in OPERATORS if "." not in op]))
    made = node(op, ["x", *weights], "y", **attributes)
    shape = data.draw(st.lists(st.integers(1, 4), max_size=3))
    graph = helper.make_graph(
        [made],
        "any",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    raw = RawModel({"x": (1, *shape)}, ("y",), dict(weights), (_raw(made),), 17)
    for read in (lambda: import_onnx(bytes(model.SerializeToString())).graph, lambda: lower(raw)[0]):
        with suppress(ModelRefused):
            read().check()


def _raw(made: Any) -> RawNode:
    """A node as it is read, without ONNX's own checks before."""
    attributes = {each.name: helper.get_attribute_value(each) for each in made.attribute}
    lists = {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()}
    return RawNode(made.name, made.op_type, tuple(made.input), tuple(made.output), lists)


def test_a_model_with_functions_of_its_own() -> None:
    model = dense_model()
    body = [helper.make_node("Again", ["a"], ["b"], domain="own")]
    model.functions.append(helper.make_function("own", "Again", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    refused(model, UnsupportedOperator, "functions of its own")


def test_a_name_that_is_not_utf8() -> None:
    data = checked(dense_model())
    assert b"relu_r" in data
    with pytest.raises(CorruptModel, match="not UTF-8"):
        import_onnx(data.replace(b"relu_r", b"relu_\xff"))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(value: float) -> None:
    weight = values((8, 4), 1)
    weight[3, 2] = value
    refused(make_model([node("Gemm", ["x", "w"], "y")], {"w": weight}), CorruptModel, "'w'.*NaN or infinity")


def test_a_mask_of_infinity_names_its_node() -> None:
    constants = {"c": np.arange(8) < 4, "i": np.full(8, -np.inf, np.float32)}
    model = make_model([node("Where", ["c", "x", "i"], "y")], constants)
    refused(model, CorruptModel, r"'where_y'.*infinity.*large finite")


def test_a_weight_beyond_the_range_names_its_node() -> None:
    model = make_model([node("Add", ["x", "w"], "y")], {"w": np.full(8, -(2.0**15), np.float32)})
    refused(model, ModelRefused, r"'w' of node 'add_y'.*2\^15")


def embedding(kind: int) -> Any:
    nodes = [node("Cast", ["x"], "p", to=TensorProto.INT64), node("Gather", ["w", "p"], "y")]
    return make_model(nodes, W, inputs={"x": ["N", 8]}, element=kind, outputs={"y": ["N", 8, 8]})


def test_a_secret_place_in_a_table_is_refused_with_what_to_do_instead() -> None:
    model = embedding(TensorProto.INT64)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    refused(model, ModelRefused, r"'x' is not a tensor of floating.*a single 1, times the table")
    nodes = [node("ArgMax", ["x"], "p", axis=1), node("Gather", ["w", "p"], "y")]
    refused(make_model(nodes, W), UnsupportedOperator, r"'gather_y'.*secret place.*a single 1, times the table")
    # What is said instead works.
    words = make_model([node("MatMul", ["x", "w"], "y")], W, inputs={"x": ["N", 3, 8]})
    rows = np.eye(8, dtype=np.float32)[[[0, 5, 7], [1, 1, 2]]]
    found = run_imported(import_onnx(bytes(words.SerializeToString())), {"x": rows})["y"]
    assert np.abs(found - W["w"][[[0, 5, 7], [1, 1, 2]]]).max() < 2**-15


def test_a_dead_weight_may_be_anything() -> None:
    model = make_model([node("Relu", ["x"], "y")], {"w": np.full((2,), np.nan, np.float32)})
    assert import_onnx(bytes(model.SerializeToString())).weights == {}


def test_a_tensor_that_promises_more_than_it_has() -> None:
    model = dense_model()
    model.graph.initializer[0].dims[0] = 2**40
    refused(model, CorruptModel, "inconsistent|cannot be read")


def test_a_cycle() -> None:
    model = make_model([node("Add", ["x", "b"], "a"), node("Relu", ["a"], "b"), node("Relu", ["b"], "y")], {})
    refused(model, CorruptModel, "inconsistent")


def test_a_node_that_reads_itself() -> None:
    refused(make_model([node("Add", ["x", "y"], "y")], {}), CorruptModel, "inconsistent")


def test_negative_shapes() -> None:
    for axis in (0, 1):
        model = make_model([node("Relu", ["x"], "y")], {})
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = -3
        with pytest.raises(ModelRefused, match=r"'x' is fixed to -3 rows|inconsistent"):
            import_onnx(bytes(model.SerializeToString()))
    model = dense_model()
    model.graph.initializer[0].dims[0] = -16
    refused(model, CorruptModel, "inconsistent|cannot be read")


def test_a_tensor_that_nothing_defines() -> None:
    refused(make_model([node("Add", ["x", "ghost"], "y")], {}), CorruptModel, "inconsistent")


def test_two_nodes_that_define_one_tensor() -> None:
    nodes = [node("Relu", ["x"], "a"), node("Sigmoid", ["x"], "a"), node("Relu", ["a"], "y")]
    refused(make_model(nodes, {}), CorruptModel, "inconsistent|second time")


def test_two_initializers_of_one_name() -> None:
    model = dense_model()
    model.graph.initializer.append(model.graph.initializer[0])
    refused(model, CorruptModel, "inconsistent|twice")


def test_shapes_that_do_not_fit() -> None:
    refused(make_model([node("Gemm", ["x", "w"], "y")], {"w": values((9, 4), 1)}), CorruptModel, "inconsistent")


def fixed_batch() -> Any:
    return make_model([node("Relu", ["x"], "y")], {}, inputs={"x": [4, 8]})


def dynamic_width() -> Any:
    return make_model([node("Relu", ["x"], "y")], {}, inputs={"x": ["N", "M"]})


def scalar_input() -> Any:
    return make_model([node("Relu", ["x"], "y")], {}, inputs={"x": []})


def integer_input() -> Any:
    return make_model([node("Add", ["x", "x"], "y")], {}, element=TensorProto.INT64)


def output_is_input() -> Any:
    return make_model([node("Identity", ["x"], "y")], {})


def output_is_constant() -> Any:
    return make_model([node("Identity", ["w"], "y"), node("Relu", ["x"], "z")], W, outputs={"y": None, "z": None})


def output_twice() -> Any:
    nodes = [node("Relu", ["x"], "y"), node("Identity", ["y"], "z")]
    return make_model(nodes, {}, outputs={"y": None, "z": None})


def old_opset() -> Any:
    return make_model([node("Relu", ["x"], "y")], {}, opset=6)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (fixed_batch, "'x' is fixed to 4 rows"),
        (dynamic_width, "axis 1 of input 'x'"),
        (scalar_input, "'x' has no axes"),
        (integer_input, "'x' is not a tensor of floating"),
        (output_is_input, "an output"),
        (output_is_constant, "an output"),
        (output_twice, "an output"),
        (old_opset, "too old"),
    ],
)
def test_models_that_do_not_fit(make: Callable[[], Any], says: str) -> None:
    refused(make(), ModelRefused, says)


def test_an_input_that_nothing_reads() -> None:
    model = make_model([node("Relu", ["x"], "y")], {}, inputs={"x": ["N", 8], "unused": ["N", 2]})
    refused(model, CorruptModel, "nothing reads the tensor 'unused'")


def test_sparse_weights() -> None:
    model = make_model([node("Gemm", ["x", "w"], "y")], {})
    dense = helper.make_tensor("w", TensorProto.FLOAT, [1], struct.pack("<f", 1.0), raw=True)
    indices = helper.make_tensor("w_indices", TensorProto.INT64, [1], [3])
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(dense, indices, [8, 4]))
    refused(model, CorruptModel, "sparse")
