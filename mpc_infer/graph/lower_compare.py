"""Lowering of comparisons, truth values and what is made of them.

A truth value is the number 1 or 0. Every comparison is a Step of a difference, so it is that of the encoded numbers:
what differs by less than a unit is equal. Combinations of truth values are Steps of sums, which are exact; a product of
two would be a unit off, times whatever is chosen by it.
"""

from collections.abc import Callable, Mapping

import numpy as np

from mpc_infer.graph.folding import FLOAT_TYPES
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_linear import binary, renamed, scalar
from mpc_infer.graph.lowering import Constant, Lowering, Operand, Value
from mpc_infer.graph.raw import RawNode, integer, number
from mpc_infer.graph.shapes import ShapeError

Rule = Callable[[Lowering, RawNode], Value | None]
TRUTH = 9
"""ONNX's number of the type of truth values."""


def real(operand: Operand) -> Operand:
    """Constants of integers and truth values as numbers."""
    if isinstance(operand, Value) or np.issubdtype(operand.array.dtype, np.floating):
        return operand
    return Constant(f"{operand.label}:real", operand.array.astype(np.float64))


def step_of(low: Lowering, left: Operand, right: Operand) -> Value:
    """[left >= right]."""
    return stepped(low, difference(low, left, right))


def difference(low: Lowering, left: Operand, right: Operand) -> Value:
    """left - right."""
    if isinstance(right, Constant):
        array = np.asarray(right.array, np.float64)
        return binary(low, Op.ADD, left, Constant(f"{right.label}:-", -array))
    return binary(low, Op.SUB, left, right)


def stepped(low: Lowering, value: Value) -> Value:
    """[x >= 0]."""
    return low.whole_number(Value(low.emit(Op.STEP, (value.name,)), value.shape, value.rows), truth=True)


def inverted(low: Lowering, bit: Value) -> Value:
    """1 - b."""
    return low.whole_number(binary(low, Op.SUB, scalar(1.0), bit), truth=True)


def _operands(low: Lowering, node: RawNode) -> tuple[Operand, Operand]:
    left, right = (real(low.operand(name)) for name in node.inputs)
    return left, right


def _comparison(*, swapped: bool, strict: bool) -> Rule:
    """left >= right; swapped: left <= right; strict: where the opposite does not hold."""

    def rule(low: Lowering, node: RawNode) -> Value:
        left, right = _operands(low, node)
        bit = step_of(low, right, left) if swapped != strict else step_of(low, left, right)
        return inverted(low, bit) if strict else bit

    return rule


def equal(low: Lowering, node: RawNode) -> Value:
    """[left >= right] + [right >= left] - 1."""
    return _equal(low, *_operands(low, node))


def _equal(low: Lowering, left: Operand, right: Operand) -> Value:
    both = binary(low, Op.ADD, step_of(low, left, right), step_of(low, right, left))
    return low.whole_number(binary(low, Op.ADD, both, scalar(-1.0)), truth=True)


def negation(low: Lowering, node: RawNode) -> Value:
    """1 - b."""
    return inverted(low, low.value(node.inputs[0]))


def _at_least(count: float) -> Rule:
    """Whether so many of two are true."""

    def rule(low: Lowering, node: RawNode) -> Value:
        return _counted(low, *_operands(low, node), count)

    return rule


def _counted(low: Lowering, left: Operand, right: Operand, count: float) -> Value:
    total = binary(low, Op.ADD, left, right)
    return stepped(low, binary(low, Op.ADD, total, scalar(0.5 - count)))


def exclusive(low: Lowering, node: RawNode) -> Value:
    """a + b, less twice what is true of both."""
    left, right = _operands(low, node)
    both = _counted(low, left, right, 2)
    one = binary(low, Op.SUB, binary(low, Op.ADD, left, right), binary(low, Op.ADD, both, both))
    return low.whole_number(one, truth=True)


def sign(low: Lowering, node: RawNode) -> Value:
    """[x >= 0] - [x <= 0]."""
    value = low.value(node.inputs[0])
    found = binary(low, Op.SUB, stepped(low, value), step_of(low, scalar(0.0), value))
    return low.whole_number(found, truth=False)


def where(low: Lowering, node: RawNode) -> Value | None:
    """One of two tensors: y + c (x - y) where the condition c is computed."""
    condition, left, right = (low.operand(name) for name in node.inputs)
    if isinstance(condition, Constant):
        return _known(low, node, condition.array != 0, left, right)
    left, right = real(left), real(right)
    if isinstance(left, Constant) and isinstance(right, Constant):
        gain: Operand = Constant(f"{left.label}-{right.label}", _finite_difference(left.array, right.array))
    else:
        gain = difference(low, left, right)
    return binary(low, Op.ADD, binary(low, Op.MUL, condition, gain), right)


def _finite_difference(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    # Infinities are refused when the difference becomes a weight.
    with np.errstate(invalid="ignore"):
        return np.asarray(left - right)


def _known(low: Lowering, node: RawNode, chosen: np.ndarray, left: Operand, right: Operand) -> Value | None:
    """Where the condition is constant: one tensor, or the sum of both where they are wanted."""
    if chosen.all() or not chosen.any():
        name, other = node.inputs[1:] if chosen.all() else node.inputs[:0:-1]
        return renamed(low, node, name, _broadcast_shape(low, chosen.shape, name, other))
    parts = [_masked(low, each, mask) for each, mask in ((left, chosen), (right, ~chosen))]
    return binary(low, Op.ADD, *parts)


def _broadcast_shape(low: Lowering, first: tuple[int, ...], *names: str) -> tuple[int, ...]:
    found = (low.operand(name) for name in names)
    shapes = (each.array.shape if isinstance(each, Constant) else each.shape for each in found)
    return tuple(np.broadcast_shapes(first, *shapes))


def _masked(low: Lowering, operand: Operand, mask: np.ndarray) -> Operand:
    operand = real(operand)
    if isinstance(operand, Constant):
        return Constant(f"{operand.label}:chosen", np.where(mask, operand.array, 0.0))
    return binary(low, Op.MUL, operand, Constant(f"{operand.name}:mask", mask.astype(np.float64)))


def cast(low: Lowering, node: RawNode) -> Value | None:
    """Nothing, between floating types, and of whole numbers; to truth values: whether it is not 0."""
    kind, value = integer(node, "to", 0), low.operand(node.inputs[0])
    if kind in FLOAT_TYPES or (isinstance(value, Value) and low.is_whole(value, truth=kind == TRUTH)):
        low.rename(node.outputs[0], node.inputs[0])
        return None
    if kind == TRUTH:
        return inverted(low, _equal(low, value, scalar(0.0)))
    raise ShapeError("it casts to a type without fractions; only whole numbers (ArgMax, comparisons) can be cast so")


def cast_like(low: Lowering, node: RawNode) -> None:
    """The same between floating types, which are the types of all computed tensors but truth values."""
    found, like = (low.operand(name) for name in node.inputs)
    if (isinstance(like, Value) and low.is_whole(like, truth=False)) or not _is_real(like):
        raise ShapeError("it casts to a type without fractions")
    if isinstance(found, Constant):
        low.define(node.outputs[0], found.array.astype(np.float64))
    else:
        low.rename(node.outputs[0], node.inputs[0])


def _is_real(operand: Operand) -> bool:
    return isinstance(operand, Value) or bool(np.issubdtype(operand.array.dtype, np.floating))


def thresholded(low: Lowering, node: RawNode) -> Value:
    """x where it is above alpha, else 0."""
    value, alpha = low.value(node.inputs[0]), scalar(number(node, "alpha", 1.0))
    return binary(low, Op.MUL, value, inverted(low, step_of(low, alpha, value)))


def shrink(low: Lowering, node: RawNode) -> Value:
    """x - bias above lambd, x + bias below -lambd, 0 between."""
    value, bias, edge = low.value(node.inputs[0]), number(node, "bias", 0.0), number(node, "lambd", 0.5)
    above = inverted(low, step_of(low, scalar(edge), value))
    below = inverted(low, step_of(low, value, scalar(-edge)))
    parts = [
        binary(low, Op.MUL, binary(low, Op.ADD, value, scalar(shift)), bit)
        for bit, shift in ((above, -bias), (below, bias))
    ]
    return binary(low, Op.ADD, *parts)


COMPARISONS: Mapping[str, Rule] = {
    "GreaterOrEqual": _comparison(swapped=False, strict=False),
    "LessOrEqual": _comparison(swapped=True, strict=False),
    "Less": _comparison(swapped=True, strict=True),
    "Greater": _comparison(swapped=False, strict=True),
    "Equal": equal,
    "Not": negation,
    "And": _at_least(2),
    "Or": _at_least(1),
    "Xor": exclusive,
    "Sign": sign,
    "Where": where,
    "Cast": cast,
    "CastLike": cast_like,
    "ThresholdedRelu": thresholded,
    "Shrink": shrink,
}
"""ONNX operator: how it is lowered."""
