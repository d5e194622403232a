"""Errors of functions, comparisons and normalisations.

A function of slope L at most makes L e of an error e. What engines are off is in docs/engine.md, section 7, in units,
where the function exceeds 1 relative to it; fewer fractional bits make no more units of it.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from mpc_infer.graph.error_step import Rule, Step, around_zero, stretched, undecided
from mpc_infer.graph.functions import CONSTANT_BITS, constant_units
from mpc_infer.graph.interval import CURVE_ERROR, LEVEL, TRUNCATION, Interval, Reals
from mpc_infer.graph.range_functions import normal_length
from mpc_infer.graph.windows import numbers

CURVES: Mapping[str, float] = {
    "Sigmoid": 3,
    "Tanh": 4,
    "Erf": 2,
    "Gelu": 2.5,
    "Silu": 2,
    "Softplus": 2.5,
    "Exp": 2.5,
    "Reciprocal": 2.5,
    "Rsqrt": 2.5,
    "Softmax": 12,
    "LayerNorm": 8,
}
"""The table of docs/engine.md: a test compares them."""
SLOPES: Mapping[str, float] = {"Sigmoid": 0.25, "Tanh": 1.0, "Erf": 1.13, "Gelu": 1.13, "Silu": 1.1, "Softplus": 1.0}
SPANS: Mapping[str, float] = {"Sigmoid": 1.0, "Tanh": 2.0}
"""No two values of these are further apart."""
CURVED_BELOW = 16.0
"""Beyond, functions are constant or x."""


def relu(step: Step) -> Interval:
    """No more than it was."""
    return stretched(step, 1.0, 0.0)


def absolute(step: Step) -> Interval:
    """2 max(x, 0) - x: what waits to be truncated is, twice."""
    return stretched(step, 1.0, 2 * TRUNCATION)


def jump(step: Step) -> Interval:
    """0 or 1: all of it, unless both are surely on one side of zero."""
    return undecided(step, step.scale, step.errors[0].radius + TRUNCATION)


def leaky_relu(step: Step) -> Interval:
    """Two truncations, the encoding of the slope, and a product's truncation."""
    slope = numbers(step.node, "alpha")[0] / 2.0**CONSTANT_BITS
    off = abs(constant_units(step.node.attributes["alpha"], step.frac_bits) / step.scale - slope)
    more = step.values[0].magnitude * off + TRUNCATION * (1 + abs(1 - slope) + abs(slope))
    return stretched(step, max(1.0, abs(slope)), more)


def clip(step: Step) -> Interval:
    """Two selections, and the encodings of both bounds."""
    return stretched(step, 1.0, 2 * TRUNCATION + 0.5)


def larger(step: Step) -> Interval:
    """Of two: no more than the larger error."""
    radius = np.maximum(step.errors[0].radius, step.errors[1].radius)
    return around_zero(np.broadcast_to(radius, step.shape))


def smooth(step: Step) -> Interval:
    """By the steepest slope."""
    op = str(step.node.op)
    size = np.minimum(step.result.magnitude / step.scale, CURVED_BELOW)
    found = stretched(step, SLOPES[op], CURVES[op] * np.maximum(size, 1.0))
    return replace(found, radius=np.minimum(found.radius, SPANS.get(op, np.inf) * step.scale + CURVES[op]))


def exponential(step: Step) -> Interval:
    """exp(x + e) - exp(x) is at most exp(x + e) e."""
    (value,), (error,) = step.values, step.errors
    steepest = np.exp((value.high + error.radius) / step.scale)
    return around_zero(steepest * error.radius + CURVES["Exp"] * np.maximum(steepest, 1.0))


def reciprocal(step: Step) -> Interval:
    """|1/x^ - 1/x| = e / |x^ x|."""
    (value,), (error,) = step.values, step.errors
    nearest = np.minimum(np.abs(value.low), np.abs(value.high)) / step.scale
    real = nearest - error.radius / step.scale
    return _inverted(step, error.radius / (nearest * real), nearest, real, "Reciprocal")


def rsqrt(step: Step) -> Interval:
    """1/sqrt(x) is nowhere steeper than 1/2 x^-3/2 where x is least."""
    (value,), (error,) = step.values, step.errors
    nearest = value.low / step.scale
    real = nearest - error.radius / step.scale
    return _inverted(step, error.radius / 2 * np.maximum(real, 0.0) ** -1.5, np.sqrt(nearest), real, "Rsqrt")


def _inverted(step: Step, radius: Reals, divisor: Reals, real: Reals, op: str) -> Interval:
    """Where the real argument might be zero, nothing is known."""
    more = CURVES[op] * np.maximum(1 / divisor, 1.0)
    return around_zero(np.where(real > 0, radius + more, np.inf))


def softmax(step: Step) -> Interval:
    """Slopes sum to half at most. The engine adds up the errors of a row's exponentials, whose sum is 1 at least."""
    (error,), width = step.errors, step.shape[-1]
    largest = error.radius.max(axis=-1, keepdims=True)
    more = max(CURVES["Softmax"], CURVES["Exp"] * (width + 2))
    radius = np.minimum(largest / 2 + more, step.scale + CURVES["Softmax"])
    return around_zero(np.broadcast_to(radius, step.shape))


def layer_norm(step: Step) -> Interval:
    """What is normalised may be nearly constant, and then has no digits: only the length of rows is sure."""
    gamma, beta = step.values[1], step.errors[2]
    weights = gamma.magnitude + step.errors[1].radius
    width = step.shape[-1]
    longest = math.sqrt(width) + normal_length(width, step.frac_bits)
    return around_zero(np.broadcast_to(longest * weights + beta.radius + CURVE_ERROR, step.shape))


def arg_max(step: Step) -> Interval:
    """Any place, unless one is ahead of all others by more than the errors."""
    (value,), (error,) = step.values, step.errors
    width = value.centre.shape[-1]
    slack = error.radius + LEVEL * width.bit_length()
    lowest = (value.low - slack).max(axis=-1)
    others = np.sort(value.high + slack, axis=-1)[..., -2] if width > 1 else np.full(lowest.shape, -np.inf)
    return around_zero(np.where(lowest > others, 0.0, (width - 1) * step.scale))


FUNCTIONS: Mapping[str, Rule] = {
    "Relu": relu,
    "Abs": absolute,
    "Step": jump,
    "LeakyRelu": leaky_relu,
    "Clip": clip,
    "Max": larger,
    "Min": larger,
    **dict.fromkeys(SLOPES, smooth),
    "Exp": exponential,
    "Reciprocal": reciprocal,
    "Rsqrt": rsqrt,
    "Softmax": softmax,
    "LayerNorm": layer_norm,
    "ArgMax": arg_max,
}
"""Operator: the bound of its result's error."""
