"""Lowering of products, sums and convolutions."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import CorruptModel
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lowering import Array, Constant, Lowering, Operand, Sizes, Value, elements
from mpc_infer.graph.raw import RawNode, integer, number
from mpc_infer.graph.shapes import ShapeError

Rule = Callable[[Lowering, RawNode], Value | None]


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


def gemm(low: Lowering, node: RawNode) -> Value:
    """alpha · A · B(ᵀ) + beta · C, with B and C constant."""
    data, weight = node.inputs[:2]
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    factor = low.constant(weight)
    if integer(node, "transA", 0) or factor is None or len(low.value(data).shape) != 2:
        raise ShapeError("only rows times a constant matrix can be computed here (transA = 0, B constant)")
    value, transposed, alpha = low.value(data), integer(node, "transB", 0), number(node, "alpha", 1.0)
    use = ("T" if transposed else "") + (f"*{alpha}" if alpha != 1.0 else "")
    matrix = alpha * reals(factor.T if transposed else factor, weight)
    inputs = [value.name, low.weight(Constant(_label(low, weight), matrix), use)]
    if bias and number(node, "beta", 1.0) != 0.0:
        inputs.append(_gemm_bias(low, node, bias, matrix.shape[-1]))
    name = low.emit(Op.LINEAR, tuple(inputs))
    return low.settle(name, (value.shape[0], matrix.shape[-1]), value.rows)


def _label(low: Lowering, name: str) -> str:
    found = low.operand(name)
    return found.label if isinstance(found, Constant) else name


def _gemm_bias(low: Lowering, node: RawNode, name: str, width: int) -> str:
    values, beta = low.constant(name), number(node, "beta", 1.0)
    if values is None or values.size not in (1, width) or max((*values.shape[:-1], 1)) != 1:
        raise ShapeError("C must be a constant, the same for every row")
    use = "" if beta == 1.0 and values.shape == (width,) else f"bias{width}*{beta}"
    array = np.broadcast_to(beta * reals(values, name).reshape(-1), (width,))
    return low.weight(Constant(_label(low, name), array), use)


def matmul(low: Lowering, node: RawNode) -> Value:
    """A product of matrices, of which one may be constant."""
    left, right = (low.operand(name) for name in node.inputs)
    if isinstance(left, Value) and isinstance(right, Constant):
        return linear(low, left, right)
    if isinstance(left, Constant) and isinstance(right, Value):
        return _weight_first(low, left, right)
    if isinstance(left, Value) and isinstance(right, Value):
        return _both_computed(low, left, right)
    raise ShapeError("it works on weights only")


def linear(low: Lowering, data: Value, weight: Constant) -> Value:
    """Rows times a constant matrix, or vector."""
    vector = weight.array.ndim == 1
    matrix = replace(weight, array=weight.array[:, None]) if vector else weight
    if len(data.shape) < 2 or data.rows == len(data.shape) - 1:
        raise ShapeError("it multiplies across rows, or has no rows")
    if matrix.array.ndim != 2 and elements(matrix.array.shape[:-2]) == 1:
        matrix = replace(matrix, array=matrix.array.reshape(matrix.array.shape[-2:]))
    if matrix.array.ndim != 2:
        raise ShapeError("a stack of constant matrices has no protocol; export one product for each")
    name = low.emit(Op.LINEAR, (data.name, low.weight(matrix)))
    shape = (*data.shape[:-1], matrix.array.shape[1])
    return low.settle(name, shape[:-1] if vector else shape, data.rows)


def _weight_first(low: Lowering, weight: Constant, data: Value) -> Value:
    rank = len(data.shape)
    if weight.array.ndim < 2 or rank < 2 or data.rows == rank - 2:
        raise ShapeError("it multiplies across rows, or has no rows")
    if elements(weight.array.shape[:-2]) != 1:
        raise ShapeError("a stack of constant matrices has no protocol; export one product for each")
    matrix = replace(weight, array=weight.array.reshape(weight.array.shape[-2:]))
    source = data.name if rank > 2 and data.shape[0] == 1 else low.full(data)
    name = low.emit(Op.MATMUL, (low.weight(matrix), source))
    more = weight.array.ndim - rank
    shape = (*([1] * more), *data.shape[:-2], matrix.array.shape[0], data.shape[-1])
    return low.settle(name, shape, data.rows if data.rows is None else data.rows + max(more, 0))


def _both_computed(low: Lowering, left: Value, right: Value) -> Value:
    if min(len(left.shape), len(right.shape)) < 2:
        raise ShapeError("both factors need at least two axes")
    rows = joined_rows(left, right)
    if left.rows == len(left.shape) - 1 or right.rows == len(right.shape) - 2:
        raise ShapeError("it multiplies across rows; every row is evaluated by itself")
    stack = _broadcast(left.shape[:-2], right.shape[:-2])
    shape = (*stack, left.shape[-2], right.shape[-1])
    inner = left.shape[-1]
    if elements(left.shape[:-2]) == elements(right.shape[:-2]) == elements(stack):
        count = (elements(stack),)
        tall = (*count, left.shape[-2], inner)
    elif elements(right.shape[:-2]) == 1:
        count, tall = (1,), (1, elements(left.shape[:-1]), inner)
    else:
        raise ShapeError(f"{left.shape} times {right.shape} would repeat a factor; repeat it before")
    keep = stack[:1] == (1,) and left.shape[:-2] == right.shape[:-2]
    if keep:
        names = left.name, right.name
    else:
        names = low.reshape(left.name, (None, *tall)), low.reshape(right.name, (None, *count, *right.shape[-2:]))
    return low.settle(low.emit(Op.MATMUL, names), shape, rows)


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


def _broadcast(*shapes: Sizes) -> Sizes:
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError as error:
        raise ShapeError(f"{shapes} do not broadcast") from error


def binary(low: Lowering, op: Op, left: Operand, right: Operand) -> Value:
    """An operator on two tensors that broadcast."""
    values = [operand for operand in (left, right) if isinstance(operand, Value)]
    if not values:
        raise ShapeError("it works on weights only; fold it before exporting")
    operands = [_short(operand) for operand in (left, right)]
    sizes = [each.shape if isinstance(each, Value) else each.array.shape for each in (left, right)]
    shape = _broadcast(*sizes)
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
        return len(operand.shape) == rank and operand.shape[0] == 1
    return operand.array.ndim < max(rank, 2)


def add(low: Lowering, node: RawNode) -> Value:
    """Sum with broadcasting."""
    return binary(low, Op.ADD, *(low.operand(name) for name in node.inputs))


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
    exponent = float(exponents.reshape(-1)[0]) if exponents.size == 1 else math.nan
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
    "Gemm": gemm,
    "MatMul": matmul,
    "Add": add,
    "Sub": subtract,
    "Mul": multiply,
    "Div": divide,
    "Neg": negate,
    "Sum": total,
    "Max": maximum,
    "Min": minimum,
    "Pow": power,
}
"""ONNX operator: how it is lowered."""
