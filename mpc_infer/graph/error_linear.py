"""Errors of products, sums, convolutions and pools.

With hats on what the engine reads: x^ y^ - x y = x^ (y^ - y) + (x^ - x) y, and |y| is at most |y^| and its error.
"""

import math
from collections.abc import Mapping

import numpy as np

from mpc_infer.graph.error_step import Rule, Step, around_zero
from mpc_infer.graph.interval import CURVE_ERROR, FLOAT_ERROR, LEVEL, TRUNCATION, Interval, Reals
from mpc_infer.graph.windows import grouped, numbers, windows


def linear(step: Step) -> Interval:
    """By elements, and by the length of the rows."""
    (data, weight), (error, off) = step.values[:2], step.errors[:2]
    real = np.abs(weight.centre) + off.radius
    given, wrong = data.along(-1), error.along(-1)
    from_weights = np.minimum(data.magnitude @ off.radius, given * _columns(off.radius))
    from_data = np.minimum(error.radius @ real, wrong * _columns(real))
    bias = step.errors[2].radius if len(step.errors) == 3 else np.zeros(real.shape[1])
    radius = _truncated(from_weights + from_data, step) + bias
    spectral = weight.stretch(weight.centre) if weight.stretch is not None else float(np.linalg.norm(weight.centre))
    ill = float(np.linalg.norm(off.radius))
    total = (given * ill + wrong * (spectral + ill)) * (1 + FLOAT_ERROR) / step.scale
    length = total + float(np.linalg.norm(bias)) + TRUNCATION * math.sqrt(len(bias))
    return around_zero(radius, len(step.shape) - 1, length)


def _columns(matrix: Reals) -> Reals:
    return np.asarray(np.sqrt((matrix**2).sum(axis=0)))


def _truncated(product: Reals, step: Step) -> Reals:
    """An error at 2 f fractional bits, brought to f."""
    return np.asarray(product * (1 + FLOAT_ERROR) / step.scale + TRUNCATION)


def matmul(step: Step) -> Interval:
    """By elements, by lengths, and as means where the left factor has them."""
    (left, right), (wrong, off) = step.values, step.errors
    real = right.magnitude + off.radius
    from_right = np.minimum(left.magnitude @ off.radius, left.along(-1) * off.along(-2))
    from_left = np.minimum(wrong.radius @ real, wrong.along(-1) * (right.along(-2) + off.along(-2)))
    if not left.mean:
        return around_zero(np.broadcast_to(_truncated(from_right + from_left, step), step.shape))
    # A mean of errors is no larger than the largest, but for what the weights' sum is off.
    total = step.scale + 2 * CURVE_ERROR * right.centre.shape[-2]
    from_right = np.minimum(from_right, total * off.radius.max(axis=-2, keepdims=True))
    radius = np.broadcast_to(_truncated(from_right + from_left, step), step.shape)
    shares = float(wrong.radius.sum(axis=-1).max(initial=0.0))
    length = (total * off.along(-1) + shares * (right.along(-1) + off.along(-1))) * (1 + FLOAT_ERROR) / step.scale
    return around_zero(radius, len(step.shape) - 1, length + TRUNCATION * math.sqrt(step.shape[-1]))


def add(step: Step) -> Interval:
    """Sums of errors, and of lengths."""
    radius = np.broadcast_to(step.errors[0].radius + step.errors[1].radius, step.shape)
    return around_zero(radius, len(step.shape) - 1, sum(_length(error, step.shape) for error in step.errors))


def _length(error: Interval, shape: tuple[int, ...]) -> float:
    """Along the last axis of a shape that an error is broadcast to."""
    if not error.centre.ndim:
        return float("inf")
    return error.along(-1) * math.sqrt(shape[-1] / error.centre.shape[-1])


def multiply(step: Step) -> Interval:
    """Element by element."""
    (left, right), (wrong, off) = step.values, step.errors
    radius = left.magnitude * off.radius + wrong.radius * (right.magnitude + off.radius)
    return around_zero(np.broadcast_to(_truncated(radius, step), step.shape))


def conv(step: Step) -> Interval:
    """By elements."""
    (image, kernels), (error, off) = step.values[:2], step.errors[:2]
    real = np.abs(kernels.centre) + off.radius
    sizes, wrong_kernels = grouped(step.node, image.magnitude, off.radius)
    errors, real_kernels = grouped(step.node, error.radius, real)
    product = (wrong_kernels @ sizes + real_kernels @ errors).reshape(step.shape)
    bias = step.errors[2].radius[:, None, None] if len(step.errors) == 3 else 0.0
    return around_zero(_truncated(product, step) + bias)


def max_pool(step: Step) -> Interval:
    """The largest error of every window; where values wait to be truncated, near ties go either way."""
    kernel = numbers(step.node, "kernel")
    radius = windows(step.node, step.errors[0].radius, kernel, fill=0.0).max(axis=2)
    return around_zero(radius + LEVEL * math.prod(kernel).bit_length())


def average_pool(step: Step) -> Interval:
    """Means of errors, and what the encoding of one over the number of elements is off."""
    kernel = numbers(step.node, "kernel")
    share = step.scale / math.prod(kernel)
    factor = round(share)
    sums = (windows(step.node, each, kernel, fill=0.0).sum(axis=2) for each in _parts(step))
    sizes, errors = sums
    return around_zero(_truncated(sizes * abs(factor - share) + errors * share, step))


def _parts(step: Step) -> tuple[Reals, Reals]:
    return step.values[0].magnitude, step.errors[0].radius


LINEAR: Mapping[str, Rule] = {
    "Linear": linear,
    "MatMul": matmul,
    "Add": add,
    "Sub": add,
    "Mul": multiply,
    "Conv": conv,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
}
"""Operator: the bound of its result's error."""
