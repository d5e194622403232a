"""Lowering of what only moves or picks elements."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from mpc_infer.graph.folding import axes_of, shape_part, slices
from mpc_infer.graph.functions import MAX_JOINED
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lowering import Lowering, Sizes, Value, elements
from mpc_infer.graph.raw import RawNode, integer, integers
from mpc_infer.graph.shapes import ShapeError, across_rows

Rule = Callable[[Lowering, RawNode], Value | None]
TABLE = "send rows of 0 and a single 1, times the table (MatMul), or look the rows up at the client and send them"
"""What to do instead of looking up at a secret place: docs/models.md."""


def viewed(low: Lowering, value: Value, shape: Sizes) -> Value:
    """The same elements in another shape."""
    return low.settle(value.name, shape, _rows_in(value, shape))


def _rows_in(value: Value, shape: Sizes) -> int | None:
    # The axis of rows, of size 1 here, is still one where as many elements lie before it.
    if value.rows is None:
        return None
    before = elements(value.shape[: value.rows])
    fits = [axis for axis, size in enumerate(shape) if size == 1 and elements(shape[:axis]) == before]
    return value.rows if value.rows in fits else next(iter(fits), None)


def reshape(low: Lowering, node: RawNode) -> Value:
    """Another shape for each row."""
    value, sizes = low.value(node.inputs[0]), low.known(node.inputs[1], "shape")
    if sizes.ndim != 1 or not np.issubdtype(sizes.dtype, np.integer):
        raise ShapeError("its shape must be a constant list of integers")
    target = [int(size) for size in sizes.tolist()]
    return viewed(low, value, _resolve(value.shape, target, integer(node, "allowzero", 0) != 0))


def _resolve(shape: Sizes, target: list[int], keep_zero: bool) -> Sizes:
    """ONNX's target: 0 copies an axis, -1 is what is left."""
    if (keep_zero and 0 in target) or target.count(-1) > 1 or min(target, default=1) < -1:
        raise ShapeError(f"its target {target} makes an empty tensor")
    if any(size == 0 and axis >= len(shape) for axis, size in enumerate(target)):
        raise ShapeError(f"its target {target} copies an axis that {shape} does not have")
    sizes = [shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    known = elements(tuple(size for size in sizes if size != -1))
    result = tuple(elements(shape) // max(known, 1) if size == -1 else size for size in sizes)
    if elements(result) != elements(shape):
        raise ShapeError(f"{shape} does not fill {target}; the file is read as it computes one row")
    return result


def flatten(low: Lowering, node: RawNode) -> Value:
    """Two axes: everything before an axis, and everything from it on."""
    value, axis = low.value(node.inputs[0]), integer(node, "axis", 1)
    axis += len(value.shape) if axis < 0 else 0
    if value.rows is not None and axis <= value.rows:
        raise ShapeError("it would put all rows into one; only an axis after the batch keeps them apart")
    shape = (elements(value.shape[:axis]), elements(value.shape[axis:]))
    if axis == 1 and value.shape[0] == 1:
        return Value(low.emit(Op.FLATTEN, (value.name,), {"axis": 1}), shape, value.rows)
    return viewed(low, value, shape)


def squeeze(low: Lowering, node: RawNode) -> Value:
    """Axes of one element left out."""
    value = low.value(node.inputs[0])
    axes = axes_of(node, [low.constant(name) for name in node.inputs])
    if axes is None:
        axes = tuple(axis for axis, size in enumerate(value.shape) if size == 1 and axis != value.rows)
    gone = {axis % len(value.shape) for axis in axes}
    if any(value.shape[axis] != 1 for axis in gone):
        raise ShapeError(f"{axes} are not axes of one element of {value.shape}")
    shape = tuple(size for axis, size in enumerate(value.shape) if axis not in gone)
    rows = None if value.rows is None or value.rows in gone else value.rows - sum(axis < value.rows for axis in gone)
    return low.settle(value.name, shape, rows)


def unsqueeze(low: Lowering, node: RawNode) -> Value:
    """Axes of one element put in."""
    value = low.value(node.inputs[0])
    axes = axes_of(node, [low.constant(name) for name in node.inputs]) or ()
    rank = len(value.shape) + len(axes)
    new = {axis % rank for axis in axes}
    old = [axis for axis in range(rank) if axis not in new]
    if len(old) != len(value.shape):
        raise ShapeError(f"{axes} names an axis twice")
    shape = tuple(1 if axis in new else value.shape[old.index(axis)] for axis in range(rank))
    return low.settle(value.name, shape, None if value.rows is None else old[value.rows])


def transpose(low: Lowering, node: RawNode) -> Value:
    """The axes in another order."""
    value = low.value(node.inputs[0])
    return permuted(low, value, integers(node, "perm") or tuple(reversed(range(len(value.shape)))))


def permuted(low: Lowering, value: Value, perm: Sizes) -> Value:
    """The axes in this order."""
    if sorted(perm) != list(range(len(value.shape))):
        raise ShapeError(f"{perm} is not an order of the axes of {value.shape}")
    shape = tuple(value.shape[axis] for axis in perm)
    rows = None if value.rows is None else perm.index(value.rows)
    moved = [axis for axis in perm if value.shape[axis] != 1]
    if moved == sorted(moved):
        return low.settle(value.name, shape, rows)
    if value.shape[0] == 1 and perm[0] == 0:
        return Value(low.emit(Op.TRANSPOSE, (value.name,), {"perm": perm}), shape, rows)
    name = low.emit(Op.TRANSPOSE, (low.full(value),), {"perm": (0, *(axis + 1 for axis in perm))})
    return low.settle(name, shape, rows)


def identity(low: Lowering, node: RawNode) -> None:
    """Another name for the same tensor."""
    low.rename(node.outputs[0], node.inputs[0])


def dropout(low: Lowering, node: RawNode) -> None:
    """Nothing, outside of training."""
    if len(node.inputs) > 2 and node.inputs[2] and low.known(node.inputs[2], "training mode").any():
        raise ShapeError("it is in training mode; export the model for inference")
    low.rename(node.outputs[0], node.inputs[0])


def shape_of(low: Lowering, node: RawNode) -> None:
    """The shape for one row, as a constant."""
    low.define(node.outputs[0], shape_part(node, low.value(node.inputs[0]).shape))


def size_of(low: Lowering, node: RawNode) -> None:
    """The number of elements of one row, as a constant."""
    low.define(node.outputs[0], np.asarray(elements(low.value(node.inputs[0]).shape), dtype=np.int64))


def part(low: Lowering, value: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    """Part of a value along an axis."""
    count = len(range(start, stop, step))
    if count == value.shape[axis]:
        return value
    if count == 0:
        raise ShapeError("it takes nothing")
    name, place = low.along(value, axis)
    last = start + (count - 1) * step + 1
    made = low.emit(Op.SLICE, (name,), {"axis": place, "start": start, "stop": last, "step": step})
    shape = (*value.shape[:axis], count, *value.shape[axis + 1 :])
    return low.settle(made, shape, value.rows)


def joined(low: Lowering, values: list[Value], axis: int) -> Value:
    """Values one after the other on an axis; at most 16 at a time."""
    while len(values) > MAX_JOINED:
        pieces = [values[start : start + MAX_JOINED] for start in range(0, len(values), MAX_JOINED)]
        values = [joined(low, piece, axis) for piece in pieces]
    if len(values) == 1:
        return values[0]
    places = [low.along(value, axis) for value in values]
    if len({place for _, place in places}) > 1:
        places = [(low.full(value), axis + 1) for value in values]
    name = low.emit(Op.CONCAT, tuple(name for name, _ in places), {"axis": places[0][1]})
    first = values[0]
    shape = (*first.shape[:axis], sum(value.shape[axis] for value in values), *first.shape[axis + 1 :])
    rows = {value.rows for value in values}
    return low.settle(name, shape, rows.pop() if len(rows) == 1 else None)


def slice_of(low: Lowering, node: RawNode) -> Value:
    """Part of a tensor."""
    value = low.value(node.inputs[0])
    inputs = [None, *(low.known(name, "bounds") if name else None for name in node.inputs[1:])]
    for axis, taken in enumerate(slices(node, inputs, value.shape)):
        begin, stop, step = taken.indices(value.shape[axis])
        if step < 0:
            value = picked(low, value, axis, list(range(begin, stop, step)))
        else:
            value = part(low, value, axis, begin, stop, step)
    return value


def split(low: Lowering, node: RawNode) -> None:
    """Parts, one after the other."""
    value, count = low.value(node.inputs[0]), len(node.outputs)
    axis = integer(node, "axis", 0) % len(value.shape)
    sizes = integers(node, "split")
    if len(node.inputs) > 1 and node.inputs[1]:
        sizes = tuple(int(size) for size in low.known(node.inputs[1], "sizes").reshape(-1))
    if sizes is None:
        size = -(-value.shape[axis] // count)
        sizes = tuple(min(size, value.shape[axis] - size * index) for index in range(count))
    if len(sizes) != count or sum(sizes) != value.shape[axis] or min(sizes) < 1:
        raise ShapeError(f"its parts {sizes} do not fit {value.shape}")
    start = 0
    for name, size in zip(node.outputs, sizes, strict=True):
        if low.reads[name]:
            low.bind(name, part(low, value, axis, start, start + size))
        start += size


def gather(low: Lowering, node: RawNode) -> Value:
    """Elements at constant places."""
    if node.inputs[0] in low.constants:
        raise ShapeError("it looks up a table at a secret place", TABLE)
    if node.inputs[1] not in low.constants:
        raise ShapeError("it picks elements at secret places", TABLE)
    value, places = low.value(node.inputs[0]), low.constants[node.inputs[1]]
    axis = integer(node, "axis", 0) % len(value.shape)
    size, indices = value.shape[axis], [int(place) for place in places.reshape(-1)]
    if any(not -size <= index < size for index in indices):
        raise ShapeError(f"an index lies outside of {size} elements")
    found = picked(low, value, axis, [index % size for index in indices])
    shape = (*value.shape[:axis], *places.shape, *value.shape[axis + 1 :])
    rows = value.rows if value.rows is None or value.rows < axis else value.rows + places.ndim - 1
    return low.settle(found.name, shape, rows)


def picked(low: Lowering, value: Value, axis: int, indices: list[int]) -> Value:
    """Elements at these places of an axis: evenly spaced ones in one piece."""
    pieces = list(_runs(indices))
    if not 0 < len(pieces) <= MAX_JOINED**2:
        raise ShapeError(f"it picks elements in {len(pieces)} pieces; 1 to {MAX_JOINED**2} can be")
    return joined(low, [part(low, value, axis, run[0], run[-1] + 1, run.step) for run in pieces], axis)


def _runs(indices: list[int]) -> Iterator[range]:
    start = 0
    while start < len(indices):
        step = max(indices[start + 1] - indices[start], 0) if start + 1 < len(indices) else 0
        stop = start + 1
        while step and stop < len(indices) and indices[stop] - indices[stop - 1] == step:
            stop += 1
        yield range(indices[start], indices[stop - 1] + 1, step or 1)
        start = stop


def last(low: Lowering, value: Value, axes: Sizes) -> tuple[Value, Sizes]:
    """These axes moved to the end, and the shape of the others before them."""
    rest = tuple(axis for axis in range(len(value.shape)) if axis not in axes)
    if value.rows in axes:
        raise across_rows()
    moved = permuted(low, value, (*rest, *axes))
    return moved, tuple(value.shape[axis] for axis in rest)


VIEWS: Mapping[str, Rule] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Identity": identity,
    "Dropout": dropout,
    "Shape": shape_of,
    "Size": size_of,
    "Slice": slice_of,
    "Split": split,
    "Gather": gather,
}
"""ONNX operator: how it is lowered."""
