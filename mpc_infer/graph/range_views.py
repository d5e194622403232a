"""Intervals of what only moves or picks elements."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mpc_infer.graph.interval import Interval
from mpc_infer.graph.ir import Node
from mpc_infer.graph.windows import numbers


def flatten(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """(batch, everything else)."""
    return _reshaped(operands[0], (1, operands[0].centre.size))


def reshape(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Another shape for each row."""
    return _reshaped(operands[0], (1, *numbers(node, "shape")[1:]))


def _reshaped(value: Interval, shape: tuple[int, ...]) -> Interval:
    axis, length = _kept(value, shape)
    return Interval(value.centre.reshape(shape), value.radius.reshape(shape), axis=axis, length=length)


def _kept(value: Interval, shape: tuple[int, ...]) -> tuple[int, float]:
    """What is known of lengths in another shape."""
    before, axis = value.centre.shape, value.axis % value.centre.ndim
    behind = before[axis:]
    if shape[-len(behind) :] == behind and len(behind) < len(shape):
        return len(shape) - len(behind), value.length
    width, wanted = before[-1], shape[-1]
    if axis == len(before) - 1 and width % wanted == 0:
        return len(shape) - 1, value.length
    if axis == len(before) - 1 and wanted % width == 0:
        return len(shape) - 1, value.length * float(np.sqrt(wanted / width))
    return -1, np.inf


def transpose(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """The axes in another order."""
    (value,), perm = operands, numbers(node, "perm")
    axis = perm.index(value.axis % value.centre.ndim)
    return Interval(value.centre.transpose(perm), value.radius.transpose(perm), axis=axis, length=value.length)


def part(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Part of an axis."""
    axis, start, stop, step = (numbers(node, key)[0] for key in ("axis", "start", "stop", "step"))
    taken = (slice(None),) * axis + (slice(start, stop, step),)
    (value,) = operands
    return replace(value, centre=value.centre[taken], radius=value.radius[taken], mean=False)


def concat(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """One after the other."""
    axis = numbers(node, "axis")[0]
    centre, radius = (
        np.concatenate(parts, axis=axis)
        for parts in ([value.centre for value in operands], [value.radius for value in operands])
    )
    last = centre.ndim - 1
    lengths = np.array([value.along(-1) for value in operands])
    length = float(np.sqrt((lengths**2).sum()) if axis == last else lengths.max())
    return Interval(centre, radius, axis=last, length=length)


VIEWS: Mapping[str, Callable[[Node, Sequence[Interval], int], Interval]] = {
    "Flatten": flatten,
    "Reshape": reshape,
    "Transpose": transpose,
    "Slice": part,
    "Concat": concat,
}
"""Operator: the interval of its result."""
