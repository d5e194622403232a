"""Lowering of functions, comparisons and normalisations."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from mpc_infer.graph.functions import constant
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_linear import binary, reals, scalar
from mpc_infer.graph.lower_views import last, permuted
from mpc_infer.graph.lowering import Constant, Lowering, Value, elements
from mpc_infer.graph.raw import RawNode, integer, number
from mpc_infer.graph.shapes import ShapeError

Rule = Callable[[Lowering, RawNode], Value | None]
LARGEST = 2.0**15
"""Bounds beyond it bound nothing: no encoded value lies there."""


def _unary(op: Op) -> Rule:
    def rule(low: Lowering, node: RawNode) -> Value:
        return applied(low, op, low.value(node.inputs[0]))

    return rule


def applied(low: Lowering, op: Op, value: Value, attributes: Mapping[str, int] | None = None) -> Value:
    """A function of every element."""
    return replace(value, name=low.emit(op, (value.name,), attributes))


def square_root(low: Lowering, node: RawNode) -> Value:
    """x / sqrt(x)."""
    value = low.value(node.inputs[0])
    return binary(low, Op.MUL, value, applied(low, Op.RSQRT, value))


def leaky_relu(low: Lowering, node: RawNode) -> Value:
    """max(x, 0) + alpha min(x, 0)."""
    return applied(low, Op.LEAKY_RELU, low.value(node.inputs[0]), {"alpha": constant(number(node, "alpha", 0.01))})


def p_relu(low: Lowering, node: RawNode) -> Value:
    """The same with a slope for every channel."""
    value, slope = low.value(node.inputs[0]), low.known(node.inputs[1], "slope")
    if slope.size == 1:
        return applied(low, Op.LEAKY_RELU, value, {"alpha": constant(float(slope.reshape(-1)[0]))})
    negative = binary(low, Op.MIN, value, scalar(0.0))
    return binary(low, Op.ADD, applied(low, Op.RELU, value), binary(low, Op.MUL, negative, low.operand(node.inputs[1])))


def clip(low: Lowering, node: RawNode) -> Value:
    """Between two bounds, of which one may be missing."""
    bounds = [
        _bound(low, node, place, key, default) for place, key, default in ((1, "min", -LARGEST), (2, "max", LARGEST))
    ]
    return clipped(low, low.value(node.inputs[0]), *bounds)


def _bound(low: Lowering, node: RawNode, place: int, key: str, default: float) -> float:
    if len(node.inputs) > place and node.inputs[place]:
        values = low.known(node.inputs[place], "bounds").reshape(-1)
        return float(values[0]) if values.size else default
    return number(node, key, default)


def clipped(low: Lowering, value: Value, lowest: float, highest: float) -> Value:
    """min(max(x, lowest), highest)."""
    if not lowest <= highest:
        raise ShapeError(f"its lower bound {lowest} is above its upper bound {highest}")
    if lowest <= -LARGEST and highest >= LARGEST:
        return value
    if lowest <= -LARGEST:
        return binary(low, Op.MIN, value, scalar(highest))
    if highest >= LARGEST:
        return applied(low, Op.RELU, value) if lowest == 0.0 else binary(low, Op.MAX, value, scalar(lowest))
    return applied(low, Op.CLIP, value, {"low": constant(lowest), "high": constant(highest)})


def hard_sigmoid(low: Lowering, node: RawNode) -> Value:
    """alpha x + beta, between 0 and 1."""
    return _hard(low, low.value(node.inputs[0]), number(node, "alpha", 0.2), number(node, "beta", 0.5))


def hard_swish(low: Lowering, node: RawNode) -> Value:
    """x (x / 6 + 1 / 2, between 0 and 1)."""
    value = low.value(node.inputs[0])
    return binary(low, Op.MUL, value, _hard(low, value, 1 / 6, 0.5))


def _hard(low: Lowering, value: Value, alpha: float, beta: float) -> Value:
    line = binary(low, Op.ADD, binary(low, Op.MUL, value, scalar(alpha)), scalar(beta))
    return clipped(low, line, 0.0, 1.0)


def swish(low: Lowering, node: RawNode) -> Value:
    """x · sigmoid(x)."""
    if number(node, "alpha", 1.0) != 1.0:
        raise ShapeError("only alpha = 1 can be computed")
    return applied(low, Op.SILU, low.value(node.inputs[0]))


def mish(low: Lowering, node: RawNode) -> Value:
    """x · tanh(softplus(x))."""
    value = low.value(node.inputs[0])
    return binary(low, Op.MUL, value, applied(low, Op.TANH, applied(low, Op.SOFTPLUS, value)))


def softmax(low: Lowering, node: RawNode) -> Value:
    """Over one axis."""
    value = low.value(node.inputs[0])
    rank = len(value.shape)
    axis = integer(node, "axis", 1 if low.model.opset < 13 else -1) % rank
    if low.model.opset < 13 and axis != rank - 1:
        raise ShapeError("before opset 13 it is taken over several axes", "export with opset 13 or later")
    if axis == rank - 1:
        return _softmax_last(low, value)
    order = (*(each for each in range(rank) if each != axis), axis)
    back = tuple(order.index(each) for each in range(rank))
    return permuted(low, _softmax_last(low, permuted(low, value, order)), back)


def _softmax_last(low: Lowering, value: Value) -> Value:
    if value.rows == len(value.shape) - 1:
        raise ShapeError("it works across rows; every row is evaluated by itself")
    if len(value.shape) > 1 and value.shape[0] == 1:
        return applied(low, Op.SOFTMAX, value)
    return low.settle(low.emit(Op.SOFTMAX, (low.full(value),)), value.shape, value.rows)


def layer_norm(low: Lowering, node: RawNode) -> Value:
    """Over the last axes, with weights."""
    value = low.value(node.inputs[0])
    axis = integer(node, "axis", -1) % len(value.shape)
    if value.rows is not None and value.rows >= axis:
        raise ShapeError("it works across rows; every row is evaluated by itself")
    lead, over = value.shape[:axis], value.shape[axis:]
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


def arg_max(low: Lowering, node: RawNode) -> Value:
    """The place of the first largest element, as a number."""
    value = low.value(node.inputs[0])
    axis = integer(node, "axis", 0) % len(value.shape)
    if integer(node, "select_last_index", 0):
        raise ShapeError("it takes the last of several largest; only the first can be computed")
    moved, lead = last(low, value, (axis,))
    name = low.emit(Op.ARG_MAX, (low.full(moved),))
    keep = integer(node, "keepdims", 1)
    shape = tuple(1 if place == axis else size for place, size in enumerate(value.shape))
    rows = value.rows if keep or value.rows is None or value.rows < axis else value.rows - 1
    return low.settle(name, shape if keep else lead, rows)


def gelu(low: Lowering, node: RawNode) -> Value:
    """The exact one; what approximates it by tanh differs by less than 5e-4."""
    return applied(low, Op.GELU, low.value(node.inputs[0]))


def erf(low: Lowering, node: RawNode) -> None:
    """Only inside a GELU, which was recognised before (:mod:`mpc_infer.graph.patterns`)."""
    raise ShapeError("it has no protocol but inside a GELU: x (1 + erf(x / sqrt 2)) / 2", "use Gelu, or Tanh")


FUNCTIONS: Mapping[str, Rule] = {
    "Relu": _unary(Op.RELU),
    "Abs": _unary(Op.ABS),
    "Sigmoid": _unary(Op.SIGMOID),
    "Tanh": _unary(Op.TANH),
    "Softplus": _unary(Op.SOFTPLUS),
    "Exp": _unary(Op.EXP),
    "Reciprocal": _unary(Op.RECIPROCAL),
    "Sqrt": square_root,
    "Gelu": gelu,
    "Erf": erf,
    "LeakyRelu": leaky_relu,
    "PRelu": p_relu,
    "Clip": clip,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Swish": swish,
    "Mish": mish,
    "Softmax": softmax,
    "LayerNormalization": layer_norm,
    "BatchNormalization": batch_norm,
    "ArgMax": arg_max,
}
"""ONNX operator: how it is lowered."""
