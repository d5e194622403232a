"""Intervals of functions, comparisons and normalisations."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from mpc_infer.errors import ModelRefused
from mpc_infer.graph.functions import constant_units
from mpc_infer.graph.interval import (
    COMPARE_BITS,
    CURVE_ERROR,
    FLOAT_ERROR,
    TRUNCATION,
    VALUE_BITS,
    Interval,
    Reals,
    between,
    check,
    check_compared,
)
from mpc_infer.graph.ir import Node

Rule = Callable[[Node, Sequence[Interval], int], Interval]
_erf = np.vectorize(math.erf, otypes=[np.float64])
LOWEST, HIGHEST = 2.0**-14, 2.0**15
"""Divisors and radicands lie between."""
LARGEST_EXPONENT = 15 * math.log(2)
"""What Exp makes of it is 2^15."""
SUM_BITS = 30
"""A normalisation's sum of squares stays below 2^30, its variance below 2^15."""


def relu(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """max(x, 0): vectors get no longer."""
    (value,) = operands
    check_compared(node, value.magnitude, frac_bits)
    return _no_longer(value, between(np.maximum(value.low, 0), np.maximum(value.high, 0)), 1)


def absolute(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """|x|."""
    (value,) = operands
    check_compared(node, value.magnitude, frac_bits)
    crosses = (value.low < 0) & (value.high > 0)
    ends = np.abs(value.low), np.abs(value.high)
    return _no_longer(value, between(np.where(crosses, 0.0, np.minimum(*ends)), np.maximum(*ends)), 1)


def step(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """0 or 1, and known where all of the interval, but for the unit that a truncation is off, has one sign."""
    (value,) = operands
    check_compared(node, value.magnitude, frac_bits)
    one = 2.0**frac_bits
    return between(np.where(value.low >= 1, one, 0.0), np.where(value.high < -1, 0.0, one))


def leaky_relu(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """max(x, 0) + alpha min(x, 0)."""
    (value,) = operands
    check_compared(node, value.magnitude, frac_bits)
    slope = constant_units(node.attributes["alpha"], frac_bits) / 2**frac_bits
    ends = [np.where(end > 0, end, slope * end) for end in (value.low, value.high)]
    crosses = (value.low < 0) & (value.high > 0)
    low, high = (np.where(crosses, pick(*ends, np.zeros(())), pick(*ends)) for pick in (_least, _most))
    found = between(low - TRUNCATION, high + TRUNCATION)
    return _no_longer(value, found, max(1.0, abs(slope)))


def _least(*values: Reals) -> Reals:
    return np.asarray(np.minimum.reduce(np.broadcast_arrays(*values)))


def _most(*values: Reals) -> Reals:
    return np.asarray(np.maximum.reduce(np.broadcast_arrays(*values)))


def _no_longer(value: Interval, found: Interval, factor: float) -> Interval:
    """Every element is at most a factor times what it was, but for the error of a curve."""
    length = factor * value.length + 2 * CURVE_ERROR * float(np.sqrt(value.centre.shape[value.axis]))
    return replace(found, axis=value.axis, length=length)


def clip(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Between two bounds."""
    (value,) = operands
    low, high = (constant_units(node.attributes[key], frac_bits) for key in ("low", "high"))
    for bound in (low, high):
        check(node, value.magnitude + abs(bound), COMPARE_BITS, "what it compares")
    return between(np.clip(value.low, low, high), np.clip(value.high, low, high))


def maximum(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """The larger ends."""
    return _extreme(node, operands, np.maximum)


def minimum(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """The smaller ends."""
    return _extreme(node, operands, np.minimum)


def _extreme(node: Node, operands: Sequence[Interval], pick: Callable[[Reals, Reals], Reals]) -> Interval:
    left, right = operands
    check(node, left.magnitude + right.magnitude, COMPARE_BITS, "what it compares")
    return between(pick(left.low, right.low), pick(left.high, right.high))


def _rising(function: Callable[[Reals], Reals]) -> Rule:
    def rule(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
        (value,), scale = operands, 2.0**frac_bits
        check_compared(node, value.magnitude, frac_bits)
        low, high = (function(end / scale) * scale for end in (value.low, value.high))
        return between(low - CURVE_ERROR, high + CURVE_ERROR)

    return rule


def _dipping(function: Callable[[Reals], Reals], place: float) -> Rule:
    """Functions that fall to one least value, and rise from there; |f(x)| <= |x|."""

    def rule(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
        (value,), scale = operands, 2.0**frac_bits
        check_compared(node, value.magnitude, frac_bits)
        ends = [function(end / scale) * scale for end in (value.low, value.high)]
        least = float(function(np.asarray(place))) * scale
        dips = (value.low <= place * scale) & (value.high >= place * scale)
        low = np.where(dips, least, np.minimum(*ends))
        found = between(low - CURVE_ERROR, np.maximum(*ends) + CURVE_ERROR)
        return _no_longer(value, found, 1)

    return rule


def _gelu(x: Reals) -> Reals:
    return np.asarray(0.5 * x * (1.0 + _erf(x / math.sqrt(2.0))))


def _silu(x: Reals) -> Reals:
    return np.asarray(0.5 * x * (1.0 + np.tanh(0.5 * x)))


def exponential(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Up to 2^15."""
    (value,), scale = operands, 2.0**frac_bits
    check_compared(node, value.magnitude, frac_bits)
    if not float(value.high.max()) <= LARGEST_EXPONENT * scale:
        raise ModelRefused(
            f"node {node.name!r} (Exp): its argument may reach {float(value.high.max()) / scale:.1f}, "
            f"and must stay below {LARGEST_EXPONENT:.1f}",
            remedy="use Softmax, which takes the largest off first, or clip the argument",
        )
    low, high = (np.exp(end / scale) * scale for end in (value.low, value.high))
    off = _relative(scale)
    return between(low * (1 - off) - CURVE_ERROR, high * (1 + off) + CURVE_ERROR)


def _relative(scale: float) -> float:
    """What Exp, Reciprocal and Rsqrt may be off, of their value: they have f digits of it."""
    return 1e-3 + CURVE_ERROR / scale


def reciprocal(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Away from zero, on either side."""
    (value,), scale = operands, 2.0**frac_bits
    low, high = value.low / scale, value.high / scale
    _check_divisor(node, np.where(low > 0, low, -high), np.maximum(np.abs(low), np.abs(high)), frac_bits)
    return _inverted(1 / high, 1 / low, scale)


def rsqrt(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """Of what is positive."""
    (value,), scale = operands, 2.0**frac_bits
    low, high = value.low / scale, value.high / scale
    _check_divisor(node, low, high, frac_bits)
    return _inverted(1 / np.sqrt(high), 1 / np.sqrt(low), scale)


def _inverted(low: Reals, high: Reals, scale: float) -> Interval:
    slack = _relative(scale) * np.maximum(np.abs(low), np.abs(high)) * scale + CURVE_ERROR
    return between(low * scale - slack, high * scale + slack)


def _check_divisor(node: Node, nearest: Reals, farthest: Reals, frac_bits: int) -> None:
    # A divisor is brought to [1, 2) by a factor that is a power of two: it needs a unit to stand for it.
    lowest, highest = max(LOWEST, 2.0**-frac_bits), min(HIGHEST, 2.0 ** (frac_bits + 1))
    if not (float(nearest.min()) >= lowest and float(farthest.max()) < highest):
        raise ModelRefused(
            f"node {node.name!r} ({node.op}): its argument may come nearer to zero than 2^{math.log2(lowest):.0f} "
            f"or reach 2^{math.log2(highest):.0f}",
            remedy="clip the argument, or add a constant to it, so that it provably stays between",
        )


def softmax(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """From 0 to 1, with a sum of 1."""
    (value,), one = operands, 2.0**frac_bits
    check_compared(node, 2 * value.magnitude, frac_bits)
    shape, width = value.centre.shape, value.centre.shape[-1]
    found = between(np.full(shape, -CURVE_ERROR), np.full(shape, one + CURVE_ERROR))
    length = one + 2 * CURVE_ERROR * float(np.sqrt(width))
    return replace(found, axis=len(shape) - 1, length=length, mean=True)


def layer_norm(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """A row of length sqrt(n), at most, times gamma, plus beta."""
    value, gamma, beta = operands
    scale, width = 2.0**frac_bits, value.centre.shape[-1]
    far = np.maximum(
        value.high - value.low.mean(axis=-1, keepdims=True), value.high.mean(axis=-1, keepdims=True) - value.low
    )
    squares = min(float((far**2).sum(axis=-1).max()), value.along(-1) ** 2) * (1 + FLOAT_ERROR) / scale**2
    check(node, np.asarray(squares), SUM_BITS, "a sum of squares, without fractional bits,")
    check(node, np.asarray(squares / width), min(15, frac_bits + 1), "a variance, without fractional bits,")
    longest = normal_length(width, frac_bits)
    product = gamma.magnitude * longest + CURVE_ERROR
    shape = value.centre.shape
    found = Interval(np.broadcast_to(beta.centre, shape), np.broadcast_to(product, shape))
    length = longest * float(gamma.magnitude.max()) + float(np.linalg.norm(beta.centre))
    return replace(found, axis=len(shape) - 1, length=length + 2 * CURVE_ERROR * math.sqrt(width))


def normal_length(width: int, frac_bits: int) -> float:
    """Of what a normalisation makes of a row, before gamma and beta: sqrt(n), and what engines are off.

    The variance of the row as it is centred comes out at most 1 / n units too low: epsilon counts as a unit at least,
    and makes up for the unit that the second truncation takes. (A variance of one unit has a root below its own.) So it
    is at least n / (n + 1) of itself. 1 / n is rounded to f + 8 bits; the root is off by less than 8 units of 1.
    """
    rounded = 1 + width / 2.0 ** (frac_bits + 9)
    return math.sqrt((width + 1) * rounded) * (1 + 8 / 2.0**frac_bits)


def arg_max(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """A place on the last axis."""
    (value,) = operands
    check(node, 2 * value.magnitude, COMPARE_BITS, "what it compares")
    *shape, width = value.centre.shape
    found = between(np.zeros(shape), np.full(shape, (width - 1) * 2.0**frac_bits))
    check(node, found.magnitude, VALUE_BITS)
    return found


FUNCTIONS: Mapping[str, Rule] = {
    "Relu": relu,
    "Abs": absolute,
    "Step": step,
    "LeakyRelu": leaky_relu,
    "Clip": clip,
    "Max": maximum,
    "Min": minimum,
    "Sigmoid": _rising(lambda x: 0.5 + 0.5 * np.tanh(0.5 * x)),
    "Tanh": _rising(lambda x: np.tanh(x)),
    "Erf": _rising(lambda x: np.asarray(_erf(x))),
    "Softplus": _rising(lambda x: np.logaddexp(0.0, x)),
    "Gelu": _dipping(_gelu, -0.7517915),
    "Silu": _dipping(_silu, -1.2784645),
    "Exp": exponential,
    "Reciprocal": reciprocal,
    "Rsqrt": rsqrt,
    "Softmax": softmax,
    "LayerNorm": layer_norm,
    "ArgMax": arg_max,
}
"""Operator: the interval of its result."""
