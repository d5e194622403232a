"""Intervals of products, sums, convolutions and pools."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mpc_infer.graph.interval import (
    COMPARE_BITS,
    CURVE_ERROR,
    FLOAT_ERROR,
    LEVEL,
    PRODUCT_BITS,
    TRUNCATION,
    Interval,
    Reals,
    between,
    check,
)
from mpc_infer.graph.ir import Node
from mpc_infer.graph.windows import grouped, numbers, windows


def truncated(node: Node, centre: Reals, radius: Reals, magnitude: Reals, frac_bits: int) -> Interval:
    """A product, from its interval and the sum of absolute values at 2 f fractional bits: that of every partial sum."""
    magnitude = magnitude * (1 + FLOAT_ERROR)
    check(node, magnitude, PRODUCT_BITS, "a product")
    return Interval(centre / 2**frac_bits, (radius + magnitude * FLOAT_ERROR) / 2**frac_bits + TRUNCATION)


def _within(value: Interval, bound: Reals, centre: Reals) -> Interval:
    """What lies in the interval, and no further than a bound from a centre."""
    low, high = np.maximum(value.low, centre - bound), np.minimum(value.high, centre + bound)
    # Both hold, so they meet; float64 may part two that touch.
    return between(np.minimum(low, high), np.maximum(low, high))


def linear(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """By elements, and by the length of the rows."""
    data, weight = operands[:2]
    scale = 2.0**frac_bits
    bias = operands[2].centre if len(operands) == 3 else np.zeros(weight.centre.shape[1])
    length, columns = data.along(-1), np.sqrt((weight.centre**2).sum(axis=0))
    centre = data.centre @ weight.centre + bias * scale
    radius = data.radius @ np.abs(weight.centre)
    # Of every partial sum, not only of the whole; that is bounded by both lengths, too.
    sums = np.minimum(data.magnitude @ np.abs(weight.centre), length * columns * (1 + FLOAT_ERROR))
    result = truncated(node, centre, radius, sums + np.abs(bias) * scale, frac_bits)
    short = _within(
        result, length * columns * (1 + FLOAT_ERROR) / scale + 2, np.broadcast_to(bias, result.centre.shape)
    )
    stretch = weight.stretch(weight.centre) if weight.stretch is not None else float(np.linalg.norm(weight.centre))
    longest = stretch * length / scale + float(np.linalg.norm(bias)) + 2 * np.sqrt(len(bias))
    return replace(short, axis=result.centre.ndim - 1, length=longest)


def matmul(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """By elements, by lengths, and as means where the left factor has them."""
    left, right = operands
    centre = left.centre @ right.centre
    radius = np.abs(left.centre) @ right.radius + left.radius @ right.magnitude
    bound = left.along(-1) * right.along(-2) * (1 + FLOAT_ERROR)
    sums = np.minimum(left.magnitude @ right.magnitude, bound)
    if not left.mean:
        result = truncated(node, centre, radius, sums, frac_bits)
        return _within(result, np.asarray(bound / 2**frac_bits + 2), np.zeros(()))
    # Weights that sum to 1, but for what the engine is off.
    off = 1 + 2 * CURVE_ERROR * right.centre.shape[-2] / 2**frac_bits
    largest = right.magnitude.max(axis=-2, keepdims=True)
    sums = np.minimum(sums, largest * off * 2.0**frac_bits)
    result = truncated(node, centre, radius, sums, frac_bits)
    spread = (off - 1) * largest + 2
    low = right.low.min(axis=-2, keepdims=True) - spread
    high = right.high.max(axis=-2, keepdims=True) + spread
    short = _within(result, (high - low) / 2, (high + low) / 2)
    length = right.along(-1) * off + 2 * np.sqrt(right.centre.shape[-1])
    return replace(short, axis=result.centre.ndim - 1, length=length)


def add(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Sums of centres, radii, and lengths."""
    left, right = operands
    return _summed(left, right, left.centre + right.centre)


def sub(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Differences of centres, sums of radii and lengths."""
    left, right = operands
    return _summed(left, right, left.centre - right.centre)


def _summed(left: Interval, right: Interval, centre: Reals) -> Interval:
    radius = np.broadcast_to(left.radius + right.radius, centre.shape)
    last = centre.ndim - 1
    length = _length(left, centre.shape) + _length(right, centre.shape)
    return Interval(centre, radius, axis=last, length=length)


def _length(value: Interval, shape: tuple[int, ...]) -> float:
    """Along the last axis of a shape that a value is broadcast to."""
    width = value.centre.shape[-1] if value.centre.ndim else 1
    return value.along(-1) * float(np.sqrt(shape[-1] / width)) if value.centre.ndim else np.inf


def multiply(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """By the four corners; a square is not negative."""
    left, right = operands
    corners = [one * other for one in (left.low, left.high) for other in (right.low, right.high)]
    low, high = np.minimum.reduce(corners), np.maximum.reduce(corners)
    if node.inputs[0] == node.inputs[1]:
        low = np.where((left.low < 0) & (left.high > 0), 0.0, np.minimum(left.low**2, left.high**2))
    whole = between(low, high)
    result = truncated(node, whole.centre, whole.radius, left.magnitude * right.magnitude, frac_bits)
    shape = result.centre.shape
    lengths = [
        float(one.magnitude.max(initial=0.0)) * _length(other, shape) for one, other in ((left, right), (right, left))
    ]
    length = min(lengths) / 2**frac_bits + 2 * np.sqrt(shape[-1])
    return replace(result, axis=len(shape) - 1, length=length)


def conv(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """By elements."""
    image, kernels = operands[:2]
    centres, weight = grouped(node, image.centre, kernels.centre)
    radii, _ = grouped(node, image.radius, kernels.centre)
    rows, columns = _places(node, image, kernels)
    shape = (image.centre.shape[0], kernels.centre.shape[0], rows, columns)
    bias = operands[2].centre[:, None, None] * 2.0**frac_bits if len(operands) == 3 else np.zeros((1, 1, 1))
    centre = (weight @ centres).reshape(shape) + bias
    radius = (np.abs(weight) @ radii).reshape(shape)
    sums = (np.abs(weight) @ (np.abs(centres) + radii)).reshape(shape) + np.abs(bias)
    return truncated(node, centre, radius, sums, frac_bits)


def _places(node: Node, image: Interval, kernels: Interval) -> tuple[int, int]:
    one = windows(node, image.centre[:, :1], kernels.centre.shape[2:], fill=0)
    return one.shape[-2], one.shape[-1]


def max_pool(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """The largest ends of every window. Where values wait to be truncated, near ties go either way."""
    (image,), kernel = operands, numbers(node, "kernel")
    check(node, 2 * image.magnitude, COMPARE_BITS, "what it compares")
    low, high = (windows(node, end, kernel, fill=-np.inf).max(axis=2) for end in (image.low, image.high))
    return between(low - LEVEL * math.prod(kernel).bit_length(), high)


def average_pool(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Means of centres and radii."""
    (image,) = operands
    kernel = numbers(node, "kernel")
    factor = round(2**frac_bits / (kernel[0] * kernel[1]))
    sums = [windows(node, part, kernel, fill=0).sum(axis=2) for part in (image.centre, image.radius, image.magnitude)]
    centre, radius, magnitude = (factor * part for part in sums)
    return truncated(node, centre, radius, magnitude, frac_bits)


LINEAR: Mapping[str, Callable[[Node, Sequence[Interval], int], Interval]] = {
    "Linear": linear,
    "MatMul": matmul,
    "Add": add,
    "Sub": sub,
    "Mul": multiply,
    "Conv": conv,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
}
"""Operator: the interval of its result."""
