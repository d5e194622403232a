"""Lowering of functions of one tensor."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from mpc_infer.graph.functions import constant
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_linear import binary, scalar
from mpc_infer.graph.lower_views import last, picked
from mpc_infer.graph.lowering import Lowering, Value
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
    if math.isnan(lowest) or math.isnan(highest):
        raise ShapeError("a bound is not a number")
    lowest = min(lowest, highest)
    if lowest <= -LARGEST and highest >= LARGEST:
        return value
    if lowest <= -LARGEST:
        return binary(low, Op.MIN, value, scalar(highest))
    if highest >= LARGEST:
        return applied(low, Op.RELU, value) if lowest == 0.0 else binary(low, Op.MAX, value, scalar(lowest))
    return applied(low, Op.CLIP, value, {"low": constant(lowest), "high": constant(highest)})


def arg_max(low: Lowering, node: RawNode) -> Value:
    """The place of the first largest element, or of the last one, as a number."""
    return _place(low, node, low.value(node.inputs[0]))


def arg_min(low: Lowering, node: RawNode) -> Value:
    """The same of the smallest."""
    return _place(low, node, binary(low, Op.SUB, scalar(0.0), low.value(node.inputs[0])))


def _place(low: Lowering, node: RawNode, value: Value) -> Value:
    axis, backwards = integer(node, "axis", 0) % len(value.shape), integer(node, "select_last_index", 0)
    size = value.shape[axis]
    if backwards:
        value = picked(low, value, axis, list(reversed(range(size))))
    moved, lead = last(low, value, (axis,))
    name = low.emit(Op.ARG_MAX, (low.full(moved),))
    keep = integer(node, "keepdims", 1)
    shape = tuple(1 if place == axis else size for place, size in enumerate(value.shape))
    rows = value.rows if keep or value.rows is None or value.rows < axis else value.rows - 1
    found = low.settle(name, shape if keep else lead, rows)
    if backwards:
        found = binary(low, Op.SUB, scalar(size - 1.0), found)
    return low.whole_number(found, truth=False)


def gelu(low: Lowering, node: RawNode) -> Value:
    """The exact one; what approximates it by tanh differs by less than 5e-4."""
    return applied(low, Op.GELU, low.value(node.inputs[0]))


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
    "Erf": _unary(Op.ERF),
    "LeakyRelu": leaky_relu,
    "PRelu": p_relu,
    "Clip": clip,
    "ArgMax": arg_max,
    "ArgMin": arg_min,
}
"""ONNX operator: how it is lowered."""
