"""Lowering of comparisons and of what is made of them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Builder, Tensor
from mpc_infer.engine.masked.lower_linear import operand
from mpc_infer.engine.masked.lower_pool import MAX_IGNORED
from mpc_infer.graph.functions import constant_units
from mpc_infer.graph.ir import Node

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering


def positive_part(builder: Builder, data: Tensor) -> int:
    """max(x, 0) as a share. What waits to be truncated is truncated on the way."""
    number, bits = builder.nearest(data, MAX_IGNORED)
    return builder.select(builder.compare(number, bits), number, bits)


def relu(lowering: "Lowering", node: Node) -> Tensor:
    """max(x, 0)."""
    data = lowering.tensor(node.inputs[0])
    return Tensor(data.shape, shares={0: positive_part(lowering.builder, data)})


def step(lowering: "Lowering", node: Node) -> Tensor:
    """[x >= 0]."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    number, bits = builder.nearest(data, MAX_IGNORED)
    return Tensor(data.shape, shares={0: builder.bit(builder.compare(number, bits), builder.frac_bits)})


def leaky_relu(lowering: "Lowering", node: Node) -> Tensor:
    """max(x, 0) (1 - a) + a x."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    alpha = constant_units(node.attributes["alpha"], builder.frac_bits)
    upper = builder.view("scale", (positive_part(builder, data),), data.shape, ((1 << builder.frac_bits) - alpha,))
    lower = builder.view("scale", (builder.share(data),), data.shape, (alpha,))
    return Tensor(data.shape, shares={builder.frac_bits: builder.total((upper, lower), (1, 1), data.shape)})


def absolute(lowering: "Lowering", node: Node) -> Tensor:
    """2 max(x, 0) - x."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    twice = builder.view("scale", (positive_part(builder, data),), data.shape, (2,))
    return Tensor(data.shape, shares={0: builder.total((twice, builder.share(data)), (1, -1), data.shape)})


def clip(lowering: "Lowering", node: Node) -> Tensor:
    """low + max(x - low, 0) - max(x - high, 0): both comparisons at once."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    number, bits = builder.nearest(data, MAX_IGNORED)
    low, high = (constant_units(node.attributes[key], builder.frac_bits) for key in ("low", "high"))
    parts = []
    for bound in (low, high):
        above = builder.shift(number, -(bound << bits))
        parts.append(builder.select(builder.compare(above, bits), above, bits))
    return Tensor(data.shape, shares={0: builder.shift(builder.total(parts, (1, -1), data.shape), low)})


def max_of(lowering: "Lowering", node: Node) -> Tensor:
    """max(x, y) = y + max(x - y, 0)."""
    return _extreme(lowering, node, 1)


def min_of(lowering: "Lowering", node: Node) -> Tensor:
    """min(x, y) = y - max(y - x, 0)."""
    return _extreme(lowering, node, -1)


def _extreme(lowering: "Lowering", node: Node, sign: int) -> Tensor:
    builder, shape = lowering.builder, lowering.shapes[node.outputs[0]]
    left, right = (operand(lowering, name, wide=False) for name in node.inputs)
    difference = Tensor(shape, shares={0: builder.total((left, right), (sign, -sign), shape)})
    gain = positive_part(builder, difference)
    return Tensor(shape, shares={0: builder.total((right, gain), (1, sign), shape)})


def arg_max(lowering: "Lowering", node: Node) -> Tensor:
    """A tree over the last axis, neighbours first, so that the first of several largest wins.

    Places start in the open, as values with masks of zero.
    """
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    number, bits = builder.nearest(data, MAX_IGNORED)
    axis = len(data.shape) - 1
    zero = builder.view("scale", (number,), data.shape, (0,))
    places = builder.shift(zero, 0, axis, 1 << builder.frac_bits)
    while builder.shape(number)[axis] > 1:
        number, places = _halve(builder, number, places, axis, bits)
    shape = lowering.shapes[node.outputs[0]]
    return Tensor(shape, opened={0: builder.reshape(places, shape)})


def _halve(builder: Builder, number: int, places: int, axis: int, bits: int) -> tuple[int, int]:
    # Values and their places, opened, after one level of the tree. A value without a partner goes on as it is.
    size = builder.shape(number)[axis]
    even = size - size % 2
    first, second = (builder.part(number, axis, start, even, 2) for start in (0, 1))
    wins = builder.compare(builder.total((first, second), (1, -1), builder.shape(first)), bits)
    results = []
    for values in (number, places):
        one, other = (builder.part(values, axis, start, even, 2) for start in (0, 1))
        shape = builder.shape(one)
        gain = builder.select(wins, builder.total((one, other), (1, -1), shape), 0)
        share = builder.total((gain, builder.lift(other, 1)), (1, 1), shape)
        if size % 2:
            share = builder.join((share, builder.lift(builder.part(values, axis, even, size), 1)), axis)
        builder.limit(share, builder.bounds[values])
        results.append(builder.open(share, bits if values == number else 0))
    return results[0], results[1]


STEPS: Mapping[str, Callable[["Lowering", Node], Tensor]] = {
    "Relu": relu,
    "Step": step,
    "LeakyRelu": leaky_relu,
    "Abs": absolute,
    "Clip": clip,
    "Max": max_of,
    "Min": min_of,
    "ArgMax": arg_max,
}
"""Operator: how it is lowered."""
