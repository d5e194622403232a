"""Lowering of what puts elements around or beside others: pads, repetitions, blocks of images."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_compare import real
from mpc_infer.graph.lower_linear import binary, expanded, renamed
from mpc_infer.graph.lower_views import TABLE, joined, last, part, permuted, picked, viewed
from mpc_infer.graph.lowering import Constant, Lowering, Value, elements
from mpc_infer.graph.raw import RawNode, integer, integers, number, text
from mpc_infer.graph.shapes import MAX_RANK, ShapeError

Rule = Callable[[Lowering, RawNode], Value | None]
MAX_REPEATS = 256
MAX_PAD = 2**16
"""Elements before or after an axis."""


def expand(low: Lowering, node: RawNode) -> Value | None:
    """The elements repeated on axes of one element."""
    target = tuple(int(size) for size in low.known(node.inputs[1], "shape").reshape(-1))
    if len(target) > MAX_RANK or min(target, default=1) < 1:
        raise ShapeError(f"its shape {target} is empty, or has too many axes")
    return renamed(low, node, node.inputs[0], np.broadcast_shapes(low.value(node.inputs[0]).shape, target))


def tile(low: Lowering, node: RawNode) -> Value:
    """Copies, one after the other."""
    value = low.value(node.inputs[0])
    repeats = [int(count) for count in low.known(node.inputs[1], "repeats").reshape(-1).tolist()]
    if len(repeats) != len(value.shape) or any(not 1 <= count <= MAX_REPEATS for count in repeats):
        raise ShapeError(f"its repeats {repeats} do not fit {value.shape}")
    for axis, count in enumerate(repeats):
        if count > 1 and value.shape[axis] == 1:
            value = expanded(low, value, tuple(count if at == axis else n for at, n in enumerate(value.shape)))
        elif count > 1:
            value = joined(low, [value] * count, axis)
    return value


def pad(low: Lowering, node: RawNode) -> Value:
    """Elements around: a constant, the nearest one, or the others seen in a mirror or again."""
    value, mode = low.value(node.inputs[0]), text(node, "mode", "constant")
    filler = _filler(low, node)
    for axis, before, after in _pads(low, node, len(value.shape)):
        size = value.shape[axis]
        value = part(low, value, axis, max(-before, 0), size - max(-after, 0))
        value = _padded(low, value, axis, max(before, 0), max(after, 0), mode, filler)
    return value


def _filler(low: Lowering, node: RawNode) -> float:
    if len(node.inputs) > 2 and node.inputs[2]:
        return float(low.known(node.inputs[2], "value").reshape(-1)[0])
    return number(node, "value", 0.0)


def _pads(low: Lowering, node: RawNode, rank: int) -> list[tuple[int, int, int]]:
    """Axis, elements before, elements after."""
    given = integers(node, "pads")
    if len(node.inputs) > 1 and node.inputs[1]:
        given = tuple(int(each) for each in low.known(node.inputs[1], "pads").reshape(-1))
    axes = tuple(range(rank))
    if len(node.inputs) > 3 and node.inputs[3]:
        axes = tuple(int(each) % rank for each in low.known(node.inputs[3], "axes").reshape(-1))
    if given is None or len(given) != 2 * len(axes) or max(map(abs, given), default=0) > MAX_PAD:
        raise ShapeError(f"its pads {given} do not fit {len(axes)} axes, or are too many")
    sides = zip(axes, given[: len(axes)], given[len(axes) :], strict=True)
    return [(axis, before, after) for axis, before, after in sides if before or after]


def _padded(low: Lowering, value: Value, axis: int, before: int, after: int, mode: str, filler: float) -> Value:
    if not before and not after:
        return value
    if mode == "constant":
        blocks = [_block(low, value, axis, count, filler) for count in (before, after) if count]
        return joined(low, [*blocks[: bool(before)], value, *blocks[bool(before) :]], axis)
    return picked(low, value, axis, _mirrored(value.shape[axis], before, after, mode))


def block_padded(low: Lowering, value: Value, axis: int, before: int, after: int) -> Value:
    """Zeros before and after an axis."""
    if max(before, after) > MAX_PAD:
        raise ShapeError("it would put too many zeros around")
    return _padded(low, value, axis, before, after, "constant", 0.0)


def _block(low: Lowering, value: Value, axis: int, count: int, filler: float) -> Value:
    """A computed block of one number: zeros are something minus itself."""
    one = part(low, value, axis, 0, 1)
    zeros = binary(low, Op.SUB, one, one)
    if filler == 0.0:
        return expanded(low, zeros, tuple(count if at == axis else size for at, size in enumerate(one.shape)))
    shape = (count, *([1] * (len(one.shape) - axis - 1)))
    return binary(low, Op.ADD, zeros, Constant(f"fill{shape}*{filler}", low.filled(shape, filler)))


def _mirrored(size: int, before: int, after: int, mode: str) -> list[int]:
    places = np.arange(-before, size + after)
    if mode == "edge":
        return [int(each) for each in np.clip(places, 0, size - 1)]
    if mode == "wrap":
        return [int(each) for each in places % size]
    if mode != "reflect":
        raise ShapeError(f"its mode {mode!r} is unknown")
    period = max(2 * (size - 1), 1)
    folded = np.abs(places) % period
    return [int(each) for each in np.where(folded >= size, period - folded, folded)]


def concat(low: Lowering, node: RawNode) -> Value:
    """Tensors one after the other; constants are added to zeros, which are something minus itself."""
    operands = [low.operand(name) for name in node.inputs]
    like = next((each for each in operands if isinstance(each, Value)), None)
    if like is None:
        raise ShapeError("it works on weights only; fold it before exporting")
    values = [each if isinstance(each, Value) else _computed(low, each, like) for each in operands]
    return joined(low, values, integer(node, "axis", 0) % len(like.shape))


def _computed(low: Lowering, constant: Constant, like: Value) -> Value:
    one = like
    for axis, size in enumerate(like.shape):
        one = part(low, one, axis, 0, 1) if size > 1 else one
    return binary(low, Op.ADD, binary(low, Op.SUB, one, one), real(constant))


def gather_nd(low: Lowering, node: RawNode) -> Value:
    """Parts at constant places of the first axes."""
    if node.inputs[1] not in low.constants:
        raise ShapeError("it picks elements at secret places", TABLE)
    value, places = low.value(node.inputs[0]), low.constants[node.inputs[1]].astype(np.int64)
    depth = places.shape[-1]
    if integer(node, "batch_dims", 0) or not 1 <= depth <= len(value.shape):
        raise ShapeError("its batch_dims are not 0, or its places have more axes than there are")
    if value.rows is not None and value.rows < depth and value.shape[:depth] != (1,) * depth:
        raise ShapeError("it picks rows; every row is evaluated by itself")
    sizes = value.shape[:depth]
    if (places < -np.asarray(sizes)).any() or (places >= sizes).any():
        raise ShapeError(f"a place lies outside of {sizes}")
    flat = np.ravel_multi_index(tuple(np.moveaxis(places % sizes, -1, 0)), sizes).reshape(-1)
    merged = viewed(low, value, (elements(sizes), *value.shape[depth:]))
    found = picked(low, replace(merged, rows=None), 0, [int(each) for each in flat])
    rows = None if value.rows is None or value.rows < depth else value.rows - depth + places.ndim - 1
    return low.settle(found.name, (*places.shape[:-1], *value.shape[depth:]), rows)


def cumulated(low: Lowering, node: RawNode) -> Value:
    """Sums of everything up to each element of an axis: a product with a triangle of ones."""
    value, axis = low.value(node.inputs[0]), int(low.known(node.inputs[1], "axis").reshape(-1)[0])
    axis %= len(value.shape)
    ones = np.tril(low.filled((value.shape[axis], value.shape[axis]), 1.0), -integer(node, "exclusive", 0))
    moved, lead = last(low, value, (axis,))
    matrix = low.weight(Constant(f"triangle{ones.shape}", ones if integer(node, "reverse", 0) else ones.T))
    flat = low.reshape(moved.name, (None, elements(lead), value.shape[axis]))
    found = low.settle(low.emit(Op.LINEAR, (flat, matrix)), (*lead, value.shape[axis]), moved.rows)
    order = [place for place in range(len(value.shape)) if place != axis] + [axis]
    return permuted(low, found, tuple(order.index(place) for place in range(len(order))))


def depth_to_space(low: Lowering, node: RawNode) -> Value:
    """Channels to blocks of the image."""
    value, block = low.value(node.inputs[0]), integer(node, "blocksize", 0)
    if len(value.shape) != 4 or block < 1 or value.shape[1] % block**2:
        raise ShapeError(f"blocks of {block} do not fit {value.shape}")
    rows, channels, height, width = value.shape
    depth, mode = channels // block**2, text(node, "mode", "DCR")
    if mode not in ("DCR", "CRD"):
        raise ShapeError(f"its mode {mode!r} is unknown")
    inner, order = (
        ((block, block, depth), (0, 3, 4, 1, 5, 2)) if mode == "DCR" else ((depth, block, block), (0, 1, 4, 2, 5, 3))
    )
    split = viewed(low, value, (rows, *inner, height, width))
    return viewed(low, permuted(low, split, order), (rows, depth, height * block, width * block))


def space_to_depth(low: Lowering, node: RawNode) -> Value:
    """Blocks of the image to channels."""
    value, block = low.value(node.inputs[0]), integer(node, "blocksize", 0)
    if len(value.shape) != 4 or block < 1 or value.shape[2] % block or value.shape[3] % block:
        raise ShapeError(f"blocks of {block} do not fit {value.shape}")
    rows, channels, height, width = value.shape
    split = viewed(low, value, (rows, channels, height // block, block, width // block, block))
    mode, across = text(node, "mode", "DCR"), (0, 3, 5, 1, 2, 4)
    order = across if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    return viewed(low, permuted(low, split, order), (rows, channels * block**2, height // block, width // block))


PADS: Mapping[str, Rule] = {
    "Expand": expand,
    "Tile": tile,
    "Pad": pad,
    "Concat": concat,
    "CumSum": cumulated,
    "GatherND": gather_nd,
    "DepthToSpace": depth_to_space,
    "SpaceToDepth": space_to_depth,
}
"""ONNX operator: how it is lowered."""
