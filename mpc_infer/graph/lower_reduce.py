"""Lowering of reductions over axes."""

from collections.abc import Callable, Mapping

from mpc_infer.graph.folding import axes_of
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_functions import applied
from mpc_infer.graph.lower_linear import binary, scalar
from mpc_infer.graph.lower_spatial import whole
from mpc_infer.graph.lower_views import last, part
from mpc_infer.graph.lowering import Constant, Lowering, Sizes, Value, elements
from mpc_infer.graph.raw import RawNode, integer

Rule = Callable[[Lowering, RawNode], Value | None]
Reduction = Callable[[Lowering, Value, Sizes], Value]


def _over(low: Lowering, node: RawNode, rank: int) -> Sizes:
    """The axes; none where the node leaves everything as it is."""
    axes = axes_of(node, [low.constant(name) for name in node.inputs])
    if len(node.inputs) > 1 and node.inputs[1]:
        low.known(node.inputs[1], "axes")
    if not axes:
        axes = () if integer(node, "noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted({axis % rank for axis in axes}))


def _rule(
    before: Callable[[Lowering, Value], Value], reduce: Reduction, after: Callable[[Lowering, Value], Value]
) -> Rule:
    """What is done to every element, the reduction, and what is done to its result."""

    def rule(low: Lowering, node: RawNode) -> Value:
        value = before(low, low.value(node.inputs[0]))
        over = _over(low, node, len(value.shape))
        return after(low, _framed(node, low, value, over, reduce(low, value, over)) if over else value)

    return rule


def _framed(node: RawNode, low: Lowering, value: Value, over: Sizes, found: Value) -> Value:
    kept = tuple(1 if axis in over else size for axis, size in enumerate(value.shape))
    if integer(node, "keepdims", 1):
        return low.settle(found.name, kept, value.rows)
    rows = None if value.rows is None else value.rows - sum(axis < value.rows for axis in over)
    return low.settle(found.name, tuple(size for axis, size in enumerate(kept) if axis not in over), rows)


def _pooled(op: Op) -> Reduction:
    """A pool with one window for each result."""

    def reduce(low: Lowering, value: Value, over: Sizes) -> Value:
        moved, lead = last(low, value, over)
        count = elements(tuple(value.shape[axis] for axis in over))
        image = low.reshape(moved.name, (None, elements(lead), 1, count))
        return Value(low.emit(op, (image,), {**whole(), "kernel": (1, count)}), lead, None)

    return reduce


def _summed(low: Lowering, value: Value, over: Sizes) -> Value:
    """A product with ones."""
    moved, lead = last(low, value, over)
    count = elements(tuple(value.shape[axis] for axis in over))
    ones = low.weight(Constant(f"ones({count})", low.filled((count, 1), 1.0)))
    return Value(low.emit(Op.LINEAR, (low.reshape(moved.name, (None, elements(lead), count)), ones)), lead, None)


def _multiplied(low: Lowering, value: Value, over: Sizes) -> Value:
    """A tree of products."""
    moved, lead = last(low, value, over)
    count = elements(tuple(value.shape[axis] for axis in over))
    flat = low.settle(moved.name, (1, elements(lead), count), None)
    while count > 1:
        half = count // 2
        halves = part(low, flat, 2, 0, half), part(low, flat, 2, half, 2 * half)
        product = binary(low, Op.MUL, *halves)
        if count % 2:
            # What has no partner is multiplied into the first.
            product = _with_odd(low, product, part(low, flat, 2, count - 1, count))
        flat, count = product, half
    return flat


def _with_odd(low: Lowering, product: Value, odd: Value) -> Value:
    width = product.shape[2]
    first = binary(low, Op.MUL, part(low, product, 2, 0, 1), odd)
    if width == 1:
        return first
    rest = part(low, product, 2, 1, width)
    name = low.emit(Op.CONCAT, (first.name, rest.name), {"axis": 2})
    return Value(name, product.shape, None)


def negative(low: Lowering, value: Value) -> Value:
    """-x."""
    return binary(low, Op.SUB, scalar(0.0), value)


def _same(low: Lowering, value: Value) -> Value:
    return value


def _square(low: Lowering, value: Value) -> Value:
    return binary(low, Op.MUL, value, value)


def _absolute(low: Lowering, value: Value) -> Value:
    return applied(low, Op.ABS, value)


def _root(low: Lowering, value: Value) -> Value:
    return binary(low, Op.MUL, value, applied(low, Op.RSQRT, value))


_LARGEST, _MEAN = _pooled(Op.MAX_POOL), _pooled(Op.AVERAGE_POOL)

REDUCTIONS: Mapping[str, Rule] = {
    "ReduceMean": _rule(_same, _MEAN, _same),
    "ReduceSum": _rule(_same, _summed, _same),
    "ReduceMax": _rule(_same, _LARGEST, _same),
    "ReduceMin": _rule(negative, _LARGEST, negative),
    "ReduceL1": _rule(_absolute, _summed, _same),
    "ReduceL2": _rule(_square, _summed, _root),
    "ReduceSumSquare": _rule(_square, _summed, _same),
    "ReduceProd": _rule(_same, _multiplied, _same),
}
"""ONNX operator: how it is lowered."""
