"""Lowering of pools."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Builder, Tensor
from mpc_infer.engine.masked.lower_linear import numbers, windows
from mpc_infer.graph.ir import Node

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering


MAX_IGNORED = 16
"""Fractional bits that a comparison may ignore: with more, the sign bit of values near the limit would be lost."""


def max_pool(lowering: "Lowering", node: Node) -> Tensor:
    """A tree of maxima. Where the image waits to be truncated, only the maxima are."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    shape = lowering.shapes[node.outputs[0]]
    number, bits = builder.nearest(data, MAX_IGNORED)
    patches = windows(builder, number, node, numbers(node, "kernel"), shape[2:], repeat=True)
    return Tensor(shape, shares={bits: builder.reshape(maximum_over(builder, patches, 2, bits), shape)})


def maximum_over(builder: Builder, number: int, axis: int, bits: int) -> int:
    """The largest masked value along an axis, which gets size 1, as a share.

    Args:
        number: a masked value.
        bits: fractional bits that it has too many: comparisons ignore them.
    """
    while (size := builder.shape(number)[axis]) > 1:
        half, rest = divmod(size, 2)
        upper, lower = (builder.part(number, axis, start, start + half) for start in (0, half))
        share = maximum(builder, upper, lower, bits)
        if rest:
            share = builder.join((share, builder.lift(builder.part(number, axis, size - 1, size), 1)), axis)
        builder.limit(share, builder.bounds[number])
        if half + rest == 1:
            return share
        number = builder.open(share, bits)
    return builder.lift(number, 1)


def maximum(builder: Builder, left: int, right: int, bits: int) -> int:
    """max(a, b) = b + relu(a - b), as a share; a - b is masked already."""
    shape = builder.shape(left)
    difference = builder.total((left, right), (1, -1), shape)
    gain = builder.select(builder.compare(difference, bits), difference, 0)
    return builder.total((gain, builder.lift(right, 1)), (1, 1), shape)


def average_pool(lowering: "Lowering", node: Node) -> Tensor:
    """Sums of windows, times one over their size."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    shape = lowering.shapes[node.outputs[0]]
    kernel = numbers(node, "kernel")
    patches = windows(builder, builder.masked(data), node, kernel, shape[2:], repeat=False)
    flat = builder.shape(patches)
    sums = builder.view("reduce", (patches,), (*flat[:2], flat[3]), (2,))
    mean = builder.lift(sums, round((1 << builder.frac_bits) / math.prod(kernel)))
    return Tensor(shape, shares={builder.frac_bits: builder.reshape(mean, shape)})


POOLS: Mapping[str, Callable[["Lowering", Node], Tensor]] = {"MaxPool": max_pool, "AveragePool": average_pool}
"""Operator: how it is lowered."""
