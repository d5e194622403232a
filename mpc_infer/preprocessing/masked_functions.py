"""Functions of one variable, cut into segments with a polynomial each.

A segment's number is read off a public number that carries a mask, so it may be one too high: every polynomial is
fitted over its own segment and the one before. Only the dealer needs the polynomials.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Function:
    """A function and the precision in which its values are shared.

    Attributes:
        name: for messages and documents.
        evaluate: on float64.
        scale_bits: fractional bits of the shared result: its value must stay below 2^(62 - scale_bits).
        power_bits: fractional bits of the public powers; the coefficients that multiply them have the rest.
    """

    name: str
    evaluate: Callable[[float], float]
    scale_bits: int = 44
    power_bits: int = 23


def _sigmoid(x: float) -> float:
    return 0.5 + 0.5 * math.tanh(0.5 * x)


def _gelu(x: float) -> float:
    return 0.5 * x * (1.0 + math.erf(x / math.sqrt(2.0)))


def _softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def _reciprocal(x: float) -> float:
    return 1.0 / max(x, 0.25)


def _rsqrt(x: float) -> float:
    return 1.0 / math.sqrt(max(x, 0.25))


FUNCTIONS = (
    Function("sigmoid", _sigmoid),
    Function("tanh", math.tanh),
    Function("gelu", _gelu),
    Function("silu", lambda x: x * _sigmoid(x)),
    Function("softplus", _softplus),
    Function("exp", lambda x: math.exp(min(x, 14.0)), scale_bits=42),
    Function("reciprocal", _reciprocal, scale_bits=32, power_bits=14),
    Function("rsqrt", _rsqrt, scale_bits=32, power_bits=14),
    Function("erf", math.erf),
)
"""By number, as a spline's last parameter names them."""


MAX_DROPPED = 32
"""Fractional bits of a value that a selection or truncation can drop."""


def scale_bits(function: int, frac_bits: int) -> int:
    """Fractional bits of a function's shared value where its argument has so many."""
    return min(FUNCTIONS[function].scale_bits, frac_bits + MAX_DROPPED)


@lru_cache(maxsize=64)
def segment_polynomials(function: int, frac_bits: int, place: int, index: int, low: int, terms: int) -> Floats:
    """Polynomials of all segments: (terms, 2^index) coefficients, the constant ones first.

    The variable is 0 to 1 on the segment, -1 to 0 on the one before. Through the values at Chebyshev's nodes of both.

    Args:
        function: number in `FUNCTIONS`.
        frac_bits: of the argument's units.
        place: a segment has 2^place units.
        index: there are 2^index segments.
        low: units at which the first one begins.
        terms: coefficients of each.
    """
    unit = 2.0**-frac_bits
    nodes = np.cos((2 * np.arange(terms) + 1) * np.pi / (2 * terms))
    powers = np.linalg.inv(np.vander(nodes, terms, increasing=True))
    starts = unit * (low + (np.arange(1 << index) << place))
    points = starts[:, None] + unit * (1 << place) * nodes
    values = np.vectorize(FUNCTIONS[function].evaluate, otypes=[np.float64])(points)
    polynomials: Floats = np.ascontiguousarray((values @ powers.T).T)
    polynomials.setflags(write=False)
    return polynomials
