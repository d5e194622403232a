"""Lowering of sums and products, element by element."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import CorruptModel
from mpc_infer.graph.folding import check_size
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lowering import Array, Constant, Lowering, Operand, Sizes, Value
from mpc_infer.graph.raw import RawNode
from mpc_infer.graph.shapes import ShapeError

Rule = Callable[[Lowering, RawNode], Value | None]
LOWEST_MASK = -21845.0
"""Two thirds of what can be compared. Scores of S and less in size pass the check of ranges where
S + 21845 < 2^15 - 16: then a masked score lies more than 15.5, where exp ends, below all others: 2 S < 21845 - 15.5."""


def reals(values: Array, name: str) -> NDArray[np.float64]:
    """A constant of floating numbers.

    Raises:
        CorruptModel: it is of integers.
    """
    if not np.issubdtype(values.dtype, np.floating):
        raise CorruptModel(f"weight {name!r} is of integers")
    return values.astype(np.float64)


def scalar(value: float) -> Constant:
    """A number, as a weight of one element."""
    return Constant(f"({value})", np.asarray(value, dtype=np.float64))


def joined_rows(*values: Value) -> int | None:
    """The axis that counts rows in what values of broadcasting shapes make.

    Raises:
        ShapeError: they have their rows on different axes.
    """
    rank = max(len(value.shape) for value in values)
    found = {value.rows + rank - len(value.shape) for value in values if value.rows is not None}
    if len(found) > 1:
        raise ShapeError("it brings different rows together; every row is evaluated by itself")
    return next(iter(found), None)


def broadcast(*shapes: Sizes) -> Sizes:
    """The shape that these broadcast to.

    Raises:
        ShapeError: they do not.
    """
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise ShapeError(f"{shapes} do not broadcast") from error


def binary(low: Lowering, op: Op, left: Operand, right: Operand) -> Value:
    """An operator on two tensors that broadcast."""
    values = [operand for operand in (left, right) if isinstance(operand, Value)]
    if not values:
        raise ShapeError("it works on weights only; fold it before exporting")
    if op == Op.MUL and isinstance(left, Value) and isinstance(right, Constant) and _is_one(right):
        return left
    operands = [_short(operand) for operand in (left, right)]
    sizes = [each.shape if isinstance(each, Value) else each.array.shape for each in (left, right)]
    shape = broadcast(*sizes)
    direct = all(_fits(operand, len(shape)) for operand in operands)
    names = [
        low.weight(operand)
        if isinstance(operand, Constant)
        else operand.name
        if direct
        else low.full(operand, len(shape))
        for operand in operands
    ]
    return low.settle(low.emit(op, (names[0], names[1])), shape, joined_rows(*_padded(values, len(shape))))


def _is_one(constant: Constant) -> bool:
    """lightgbm's exporter multiplies probabilities by 1."""
    return constant.array.size == 1 and bool(constant.array.reshape(-1)[0] == 1.0)


def _padded(values: list[Value], rank: int) -> list[Value]:
    return [
        replace(
            value,
            shape=(*([1] * (rank - len(value.shape))), *value.shape),
            rows=None if value.rows is None else value.rows + rank - len(value.shape),
        )
        for value in values
    ]


def _short(operand: Operand) -> Operand:
    # Leading axes of 1 say nothing, and the batch stands there.
    if isinstance(operand, Value):
        return operand
    array = operand.array
    while array.ndim > 1 and array.shape[0] == 1:
        array = array[0]
    return replace(operand, array=array)


def _fits(operand: Operand, rank: int) -> bool:
    if isinstance(operand, Value):
        return len(operand.shape) == rank and operand.shape[:1] == (1,)
    return operand.array.ndim < max(rank, 2)


def expanded(low: Lowering, value: Value, shape: Sizes) -> Value:
    """The elements repeated on axes of one element: zeros of the shape are added, which costs nothing."""
    if value.shape == shape:
        return value
    before = (1,) * (len(shape) - len(value.shape)) + value.shape
    new = tuple(size if old == 1 else 1 for size, old in zip(shape, before, strict=True))
    return binary(low, Op.ADD, value, Constant(f"zeros{new}", low.filled(new, 0.0)))


def renamed(low: Lowering, node: RawNode, name: str, shape: Sizes) -> Value | None:
    """A tensor of the file in a shape that it is broadcast to; only another name where it has it."""
    found = low.operand(name)
    if isinstance(found, Constant):
        low.define(node.outputs[0], np.broadcast_to(found.array, check_size(shape)))
    elif found.shape == shape:
        low.rename(node.outputs[0], name)
    else:
        return expanded(low, found, shape)
    return None


def add(low: Lowering, node: RawNode) -> Value:
    """Sum with broadcasting."""
    return binary(low, Op.ADD, *(_finite(low, node, low.operand(name)) for name in node.inputs))


def _finite(low: Lowering, node: RawNode, operand: Operand) -> Operand:
    """A mask of -infinity before a Softmax with finite numbers that make the same zeros."""
    if isinstance(operand, Value) or np.isnan(operand.array).any() or not _before_softmax(low, node.outputs[0]):
        return operand
    return Constant(operand.label, np.maximum(operand.array, LOWEST_MASK))


def _before_softmax(low: Lowering, name: str) -> bool:
    while low.reads[name] == 1 and name in low.readers:
        reader = low.readers[name]
        if reader.op not in ("Cast", "CastLike", "Identity"):
            return reader.op == "Softmax"
        name = reader.outputs[0]
    return False


def subtract(low: Lowering, node: RawNode) -> Value:
    """Difference with broadcasting."""
    left, right = (low.operand(name) for name in node.inputs)
    if isinstance(right, Constant):
        negative = Constant(f"{right.label}:-", -reals(right.array, right.label))
        return binary(low, Op.ADD, left, negative)
    return binary(low, Op.SUB, left, right)


def multiply(low: Lowering, node: RawNode) -> Value:
    """Product with broadcasting. x · Sigmoid(x) is Silu."""
    left, right = (low.operand(name) for name in node.inputs)
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Value) and isinstance(other, Value):
            maker = low.maker(other)
            if maker is not None and maker.op == Op.SIGMOID and maker.inputs[0] == one.name:
                return replace(one, name=low.emit(Op.SILU, (one.name,)))
    return binary(low, Op.MUL, left, right)


def divide(low: Lowering, node: RawNode) -> Value:
    """Product with the reciprocal, which is taken here where the divisor is constant."""
    left, right = (low.operand(name) for name in node.inputs)
    if isinstance(right, Constant):
        with np.errstate(divide="ignore"):
            inverse = Constant(f"{right.label}:inverse", 1.0 / reals(right.array, right.label))
        return binary(low, Op.MUL, left, inverse)
    reciprocal = replace(right, name=low.emit(Op.RECIPROCAL, (right.name,)))
    if isinstance(left, Constant) and left.array.size == 1 and float(left.array.reshape(-1)[0]) == 1.0:
        return reciprocal
    return binary(low, Op.MUL, left, reciprocal)


def negate(low: Lowering, node: RawNode) -> Value:
    """0 - x."""
    return binary(low, Op.SUB, scalar(0.0), low.value(node.inputs[0]))


def total(low: Lowering, node: RawNode) -> Value:
    """Sum of several."""
    return _several(low, node, Op.ADD)


def mean(low: Lowering, node: RawNode) -> Value:
    """Sum of several, divided by how many they are."""
    return binary(low, Op.MUL, total(low, node), scalar(1.0 / len(node.inputs)))


def maximum(low: Lowering, node: RawNode) -> Value:
    """The largest of several."""
    return _several(low, node, Op.MAX)


def minimum(low: Lowering, node: RawNode) -> Value:
    """The smallest of several."""
    return _several(low, node, Op.MIN)


def _several(low: Lowering, node: RawNode, op: Op) -> Value:
    first, *others = sorted((low.operand(name) for name in node.inputs), key=lambda each: isinstance(each, Constant))
    for other in others:
        first = binary(low, op, first, other)
    return first if isinstance(first, Value) else low.value(node.inputs[0])


def power(low: Lowering, node: RawNode) -> Value:
    """Small whole powers, roots and inverses."""
    base, exponents = low.value(node.inputs[0]), low.known(node.inputs[1], "exponent")
    if exponents.size != 1:
        raise ShapeError("its exponents differ; only one for all elements can be computed")
    exponent = float(exponents.reshape(-1)[0])
    if exponent in (0.5, -0.5, -1.0):
        op = Op.RECIPROCAL if exponent == -1.0 else Op.RSQRT
        found = replace(base, name=low.emit(op, (base.name,)))
        return binary(low, Op.MUL, base, found) if exponent == 0.5 else found
    if exponent not in range(1, 9):
        raise ShapeError(f"its exponent is {exponent}; 1 to 8, 0.5, -0.5 and -1 can be computed")
    result = base
    for bit in bin(int(exponent))[3:]:
        result = binary(low, Op.MUL, result, result)
        result = binary(low, Op.MUL, result, base) if bit == "1" else result
    return result


LINEAR: Mapping[str, Rule] = {
    "Add": add,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "Neg": negate,
    "Sum": total,
    "Mean": mean,
    "Max": maximum,
    "Min": minimum,
    "Pow": power,
}
"""ONNX operator: how it is lowered."""
