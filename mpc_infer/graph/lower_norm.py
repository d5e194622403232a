"""Lowering of normalisations."""

from collections.abc import Callable, Mapping

import numpy as np

from mpc_infer.graph.functions import constant
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_functions import applied
from mpc_infer.graph.lower_linear import binary, reals, scalar
from mpc_infer.graph.lower_views import joined, part, permuted
from mpc_infer.graph.lowering import Constant, Lowering, Sizes, Value, elements
from mpc_infer.graph.raw import RawNode, integer, number
from mpc_infer.graph.shapes import ShapeError, across_rows

Rule = Callable[[Lowering, RawNode], Value | None]


def softmax(low: Lowering, node: RawNode) -> Value:
    """Over one axis."""
    value = low.value(node.inputs[0])
    rank = len(value.shape)
    axis = integer(node, "axis", 1 if low.model.opset < 13 else -1) % rank
    if low.model.opset < 13 and axis != rank - 1:
        raise ShapeError("before opset 13 it is taken over several axes", "export with opset 13 or later")
    if axis == rank - 1:
        return softmax_last(low, value)
    order = (*(each for each in range(rank) if each != axis), axis)
    back = tuple(order.index(each) for each in range(rank))
    return permuted(low, softmax_last(low, permuted(low, value, order)), back)


def softmax_last(low: Lowering, value: Value) -> Value:
    """Over the last axis."""
    if value.rows == len(value.shape) - 1:
        raise across_rows()
    if len(value.shape) > 1 and value.shape[0] == 1:
        return applied(low, Op.SOFTMAX, value)
    return low.settle(low.emit(Op.SOFTMAX, (low.full(value),)), value.shape, value.rows)


def _normalised(low: Lowering, node: RawNode) -> tuple[Value, Sizes, Sizes]:
    """What a node normalises, the axes before those that it is normalised over, and these."""
    value = low.value(node.inputs[0])
    axis = integer(node, "axis", -1) % len(value.shape)
    if value.rows is not None and value.rows >= axis:
        raise across_rows()
    return value, value.shape[:axis], value.shape[axis:]


def layer_norm(low: Lowering, node: RawNode) -> Value:
    """Over the last axes, with weights."""
    value, lead, over = _normalised(low, node)
    gamma = np.broadcast_to(reals(low.known(node.inputs[1], "scale"), node.inputs[1]), over)
    if len(node.inputs) > 2 and node.inputs[2]:
        beta = np.broadcast_to(reals(low.known(node.inputs[2], "bias"), node.inputs[2]), over)
    else:
        beta = np.zeros(over)
    affine = (_flat(low, node.inputs[1], gamma), _flat(low, (*node.inputs, "", "")[2] or f"{node.name}:bias", beta))
    epsilon = {"epsilon": constant(number(node, "epsilon", 1e-5))}
    flat = low.reshape(value.name, (None, *(lead[1:] if lead[:1] == (1,) else lead), elements(over)))
    return low.settle(low.emit(Op.LAYER_NORM, (flat, *affine), epsilon), value.shape, value.rows)


def _flat(low: Lowering, name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> str:
    return low.weight(Constant(name, values.reshape(-1)))


def rms_norm(low: Lowering, node: RawNode) -> Value:
    """x / sqrt(mean of squares): what a normalisation makes of x and -x beside each other, whose mean is 0."""
    value, lead, over = _normalised(low, node)
    scale = np.broadcast_to(reals(low.known(node.inputs[1], "scale"), node.inputs[1]), over).reshape(-1)
    count, width = elements(lead), elements(over)
    flat = low.settle(value.name, (1, count, width), None)
    both = joined(low, [flat, binary(low, Op.SUB, scalar(0.0), flat)], 2)
    twice = Constant(f"{node.name}:scale", np.concatenate([scale, np.zeros(width)]))
    zeros = Constant(f"{node.name}:bias", low.filled((2 * width,), 0.0))
    epsilon = {"epsilon": constant(number(node, "epsilon", 1e-5))}
    normal = low.emit(Op.LAYER_NORM, (both.name, low.weight(twice), low.weight(zeros)), epsilon)
    half = part(low, Value(normal, both.shape, None), 2, 0, width)
    return low.settle(half.name, value.shape, value.rows)


def batch_norm(low: Lowering, node: RawNode) -> Value:
    """A product and a sum for every channel, which go into the layer before where there is one."""
    value = low.value(node.inputs[0])
    if integer(node, "training_mode", 0):
        raise ShapeError("it is in training mode; export the model for inference")
    scale, bias, mean, variance = (reals(low.known(name, "statistics"), name) for name in node.inputs[1:5])
    channels = (-1, *([1] * (len(value.shape) - 2)))
    if len(value.shape) < 2 or any(array.shape != (value.shape[1],) for array in (scale, bias, mean, variance)):
        raise ShapeError(f"its statistics do not fit the channels of {value.shape}")
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + number(node, "epsilon", 1e-5))
        offset = bias - mean * factor
    product = binary(low, Op.MUL, value, Constant(f"{node.name}:factor", factor.reshape(channels)))
    return binary(low, Op.ADD, product, Constant(f"{node.name}:offset", offset.reshape(channels)))


def instance_norm(low: Lowering, node: RawNode) -> Value:
    """Over all places of each channel."""
    value = low.value(node.inputs[0])
    return _by_groups(low, node, value, value.shape[1])


def group_norm(low: Lowering, node: RawNode) -> Value:
    """Over all places of each group of channels."""
    value, groups = low.value(node.inputs[0]), integer(node, "num_groups", 0)
    if groups < 1 or value.shape[1] % groups:
        raise ShapeError(f"{groups} groups do not fit {value.shape}")
    return _by_groups(low, node, value, groups)


def _by_groups(low: Lowering, node: RawNode, value: Value, groups: int) -> Value:
    if len(value.shape) < 3 or (value.rows or 0) > 0:
        raise ShapeError(f"{value.shape} has no places, or its rows are not on the first axis")
    rows, channels, *places = value.shape
    width = channels // groups * elements(tuple(places))
    flat = low.reshape(value.name, (None, rows * groups, width))
    ones, zeros = (low.weight(Constant(f"{kind}({width})", low.filled((width,), kind))) for kind in (1.0, 0.0))
    epsilon = {"epsilon": constant(number(node, "epsilon", 1e-5))}
    normal = low.settle(low.emit(Op.LAYER_NORM, (flat, ones, zeros), epsilon), value.shape, value.rows)
    scale, bias = (_for_channels(low, name, channels, len(places)) for name in node.inputs[1:3])
    return binary(low, Op.ADD, binary(low, Op.MUL, normal, scale), bias)


def _for_channels(low: Lowering, name: str, channels: int, axes: int) -> Constant:
    values = reals(low.known(name, "scale and bias"), name).reshape(-1)
    if values.size == 0 or channels % values.size:
        raise ShapeError(f"{values.size} scales do not fit {channels} channels")
    return Constant(f"{name}:channels", np.repeat(values, channels // values.size).reshape(-1, *([1] * axes)))


NORMS: Mapping[str, Rule] = {
    "Softmax": softmax,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
    "BatchNormalization": batch_norm,
    "InstanceNormalization": instance_norm,
    "GroupNormalization": group_norm,
}
"""ONNX operator: how it is lowered."""
