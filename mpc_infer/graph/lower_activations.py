"""Lowering of activations that are made of others."""

from collections.abc import Callable, Mapping

from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_functions import applied, clipped
from mpc_infer.graph.lower_linear import binary, scalar
from mpc_infer.graph.lowering import Lowering, Value
from mpc_infer.graph.raw import RawNode, number
from mpc_infer.graph.shapes import ShapeError

Rule = Callable[[Lowering, RawNode], Value | None]


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
    """x · sigmoid(alpha x)."""
    value, alpha = low.value(node.inputs[0]), number(node, "alpha", 1.0)
    if alpha == 1.0:
        return applied(low, Op.SILU, value)
    gate = applied(low, Op.SIGMOID, binary(low, Op.MUL, value, scalar(alpha)))
    return binary(low, Op.MUL, value, gate)


def mish(low: Lowering, node: RawNode) -> Value:
    """x · tanh(softplus(x))."""
    value = low.value(node.inputs[0])
    return binary(low, Op.MUL, value, applied(low, Op.TANH, applied(low, Op.SOFTPLUS, value)))


def elu(low: Lowering, node: RawNode) -> Value:
    """x above 0, alpha (exp(x) - 1) below."""
    return _exponential(low, node, number(node, "alpha", 1.0), 1.0, 1.0)


def selu(low: Lowering, node: RawNode) -> Value:
    """gamma times the same."""
    gamma = number(node, "gamma", 1.05070102214813232421875)
    alpha = number(node, "alpha", 1.67326319217681884765625)
    return _exponential(low, node, gamma * alpha, gamma, 1.0)


def celu(low: Lowering, node: RawNode) -> Value:
    """x above 0, alpha (exp(x / alpha) - 1) below."""
    alpha = number(node, "alpha", 1.0)
    if alpha <= 0.0:
        raise ShapeError(f"its alpha {alpha} is not positive")
    return _exponential(low, node, alpha, 1.0, 1.0 / alpha)


def _exponential(low: Lowering, node: RawNode, below: float, above: float, scale: float) -> Value:
    """above max(x, 0) + below (exp(scale min(x, 0)) - 1)."""
    value = low.value(node.inputs[0])
    negative = _times(low, binary(low, Op.MIN, value, scalar(0.0)), scale)
    curve = binary(low, Op.ADD, applied(low, Op.EXP, negative), scalar(-1.0))
    return binary(low, Op.ADD, _times(low, applied(low, Op.RELU, value), above), _times(low, curve, below))


def _times(low: Lowering, value: Value, factor: float) -> Value:
    return value if factor == 1.0 else binary(low, Op.MUL, value, scalar(factor))


def softsign(low: Lowering, node: RawNode) -> Value:
    """x / (1 + |x|)."""
    value = low.value(node.inputs[0])
    divisor = binary(low, Op.ADD, applied(low, Op.ABS, value), scalar(1.0))
    return binary(low, Op.MUL, value, applied(low, Op.RECIPROCAL, divisor))


ACTIVATIONS: Mapping[str, Rule] = {
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "Swish": swish,
    "Mish": mish,
    "Elu": elu,
    "Selu": selu,
    "Celu": celu,
    "Softsign": softsign,
}
"""ONNX operator: how it is lowered."""
