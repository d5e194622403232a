"""Lowering of products of matrices."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_linear import binary, broadcast, expanded, joined_rows, reals, scalar
from mpc_infer.graph.lower_views import permuted, viewed
from mpc_infer.graph.lowering import Array, Constant, Lowering, Operand, Value, elements
from mpc_infer.graph.raw import RawNode, integer, number
from mpc_infer.graph.shapes import ShapeError, across_rows

Rule = Callable[[Lowering, RawNode], Value | None]


def gemm(low: Lowering, node: RawNode) -> Value:
    """alpha · A(ᵀ) · B(ᵀ) + beta · C; at most one product where B and C are constant, and C the same for all rows."""
    data, weight = node.inputs[:2]
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    factor = low.constant(weight)
    if integer(node, "transA", 0) or factor is None or data in low.constants or not _is_bias(low, node, bias, factor):
        return _general_gemm(low, node)
    value, transposed, alpha = low.value(data), integer(node, "transB", 0), number(node, "alpha", 1.0)
    use = ("T" if transposed else "") + (f"*{alpha}" if alpha != 1.0 else "")
    matrix = alpha * reals(factor.T if transposed else factor, weight)
    inputs = [value.name, low.weight(Constant(_label(low, weight), matrix), use)]
    if bias and number(node, "beta", 1.0) != 0.0:
        inputs.append(_gemm_bias(low, node, bias, matrix.shape[-1]))
    name = low.emit(Op.LINEAR, tuple(inputs))
    return low.settle(name, (value.shape[0], matrix.shape[-1]), value.rows)


def _is_bias(low: Lowering, node: RawNode, name: str, factor: Array) -> bool:
    if not name or number(node, "beta", 1.0) == 0.0:
        return True
    values, width = low.constant(name), factor.shape[0 if integer(node, "transB", 0) else -1]
    return values is not None and values.size in (1, width) and max((*values.shape[:-1], 1)) == 1


def _general_gemm(low: Lowering, node: RawNode) -> Value:
    alpha, beta = number(node, "alpha", 1.0), number(node, "beta", 1.0)
    left, right, *others = (low.operand(name) for name in node.inputs if name)
    left, right = (
        _transposed(low, each) if integer(node, key, 0) else each for each, key in ((left, "transA"), (right, "transB"))
    )
    product = _times(low, matrices(low, left, right), alpha)
    return binary(low, Op.ADD, product, _times(low, others[0], beta)) if others and beta != 0.0 else product


def _transposed(low: Lowering, operand: Operand) -> Operand:
    if isinstance(operand, Value):
        return permuted(low, operand, (1, 0))
    return Constant(f"{operand.label}:T", operand.array.T)


def _times(low: Lowering, operand: Any, factor: float) -> Any:
    if factor == 1.0:
        return operand
    if isinstance(operand, Constant):
        return Constant(f"{operand.label}*{factor}", factor * reals(operand.array, operand.label))
    return binary(low, Op.MUL, operand, scalar(factor))


def _label(low: Lowering, name: str) -> str:
    found = low.operand(name)
    return found.label if isinstance(found, Constant) else name


def _gemm_bias(low: Lowering, node: RawNode, name: str, width: int) -> str:
    values, beta = low.constants[name], number(node, "beta", 1.0)
    use = "" if beta == 1.0 and values.shape == (width,) else f"bias{width}*{beta}"
    array = np.broadcast_to(beta * reals(values, name).reshape(-1), (width,))
    return low.weight(Constant(_label(low, name), array), use)


def matmul(low: Lowering, node: RawNode) -> Value:
    """A product of matrices, of which one may be constant."""
    return matrices(low, *(low.operand(name) for name in node.inputs))


def matrices(low: Lowering, left: Operand, right: Operand) -> Value:
    """The same of two tensors."""
    if isinstance(left, Value) and len(left.shape) == 1 and left.rows is None:
        tall = matrices(low, viewed(low, left, (1, *left.shape)), right)
        return viewed(low, tall, tall.shape[:-2] + tall.shape[-1:] if _axes(right) > 1 else ())
    if isinstance(right, Value) and len(right.shape) == 1 and right.rows is None:
        wide = matrices(low, left, viewed(low, right, (*right.shape, 1)))
        return viewed(low, wide, wide.shape[:-1])
    if isinstance(left, Value) and isinstance(right, Constant):
        return linear(low, left, right)
    if isinstance(left, Constant) and isinstance(right, Value):
        return _weight_first(low, left, right)
    if isinstance(left, Value) and isinstance(right, Value):
        return _both_computed(low, left, right)
    raise ShapeError("it works on weights only")


def _axes(operand: Operand) -> int:
    return len(operand.shape) if isinstance(operand, Value) else operand.array.ndim


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
        raise across_rows("multiplies")
    stack = broadcast(left.shape[:-2], right.shape[:-2])
    shape = (*stack, left.shape[-2], right.shape[-1])
    inner = left.shape[-1]
    if elements(left.shape[:-2]) == elements(right.shape[:-2]) == elements(stack):
        count = (elements(stack),)
        tall = (*count, left.shape[-2], inner)
    elif elements(right.shape[:-2]) == 1:
        count, tall = (1,), (1, elements(left.shape[:-1]), inner)
    else:
        whole = (expanded(low, each, (*stack, *each.shape[-2:])) for each in (left, right))
        return _both_computed(low, *whole)
    keep = stack[:1] == (1,) and left.shape[:-2] == right.shape[:-2]
    if keep:
        names = left.name, right.name
    else:
        names = low.reshape(left.name, (None, *tall)), low.reshape(right.name, (None, *count, *right.shape[-2:]))
    return low.settle(low.emit(Op.MATMUL, names), shape, rows)


MATRICES: Mapping[str, Rule] = {
    "Gemm": gemm,
    "MatMul": matmul,
}
"""ONNX operator: how it is lowered."""
