"""How large the values of a program can be: what decides how much of each is read, and how much is sent.

A bound says that the signed integer that a value stands for is not larger in size, at the value's own scale. Bounds of
inputs and of what nodes make come from the model's range analysis (`FixedPoint.value_bits`); of what lies between they
follow from the requests, here. None: nothing is known, and the limits of the engine hold.

Outside of its domain a spline is some other segment's polynomial, so that its bound holds for every argument.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from mpc_infer.preprocessing.masked_functions import scale_bits, segment_polynomials
from mpc_infer.preprocessing.masked_requests import (
    FAT,
    FAT_NARROW,
    LAYOUTS,
    LEAN,
    LEAN_NARROW,
    WORD_BITS,
    MaskedRequest,
)

Bound = int | None
LARGEST = 1 << 62
"""What a truncation can take. A larger bound says nothing: the model's owner has shown that no value reaches it."""


def bound_of(request: MaskedRequest, bounds: Sequence[Bound], shapes: Sequence[tuple[int, ...]]) -> Bound:
    """The bound of a request's value.

    Args:
        bounds, shapes: of what it reads.
    """
    rule = RULES.get(request.op)
    known = [bound for bound in bounds if bound is not None]
    if rule is None or (request.op not in ANY_ARGUMENT and len(known) < len(bounds)):
        return None
    found = rule(request, known, shapes)
    return found if found < LARGEST else None


def narrowed(one: Bound, other: Bound) -> Bound:
    """The smaller of two bounds of one value."""
    return other if one is None or (other is not None and other < one) else one


def layout_for(bound: Bound, bits: int, *, lean: bool) -> int:
    """The layout with the smallest window in which a value fits when its lowest bits are ignored."""
    wide, narrow = (LEAN, LEAN_NARROW) if lean else (FAT, FAT_NARROW)
    # Two units more: bits that are ignored, or not sent, may borrow.
    fits = bound is not None and (bound >> bits) + 2 < 1 << LAYOUTS[narrow].window
    return narrow if fits else wide


def modulus_for(bound: Bound, bits: int) -> int:
    """Modulo which power of two a value may be known for its lowest bits to be dropped; 64 if nothing is known."""
    if bound is None:
        return WORD_BITS
    # What openings leave out of the lowest bits makes the value lower, by less than one in the last bit that stays.
    return min(WORD_BITS, (bound + (1 << bits)).bit_length() + 2)


@lru_cache(maxsize=64)
def _spline_bound(bits: int, frac_bits: int, place: int, index: int, low: int, function: int, terms: int) -> int:
    polynomials = segment_polynomials(function, frac_bits, place, index, low, terms)
    largest = float(np.abs(polynomials).sum(axis=0).max())
    # The rest: coefficients, and powers of a public place, are rounded.
    return int((largest * 1.01 + 2.0**-8) * 2.0 ** scale_bits(function, frac_bits))


Rule = Callable[[MaskedRequest, list[int], Sequence[tuple[int, ...]]], int]


def _same(request: MaskedRequest, bounds: list[int], shapes: Sequence[tuple[int, ...]]) -> int:
    return bounds[0]


def _largest(request: MaskedRequest, bounds: list[int], shapes: Sequence[tuple[int, ...]]) -> int:
    return max(bounds)


def _shift(request: MaskedRequest, bounds: list[int], shapes: Sequence[tuple[int, ...]]) -> int:
    _, start, axis, step = request.params
    return bounds[0] + max(abs(start), abs(start + step * (shapes[0][axis] - 1)))


RULES: Mapping[str, Rule] = {
    "open": _same,
    "unfold": _same,
    "lift": lambda request, bounds, shapes: bounds[0] * abs(request.params[0]),
    "multiply": lambda request, bounds, shapes: bounds[0] * bounds[1],
    "matmul": lambda request, bounds, shapes: bounds[0] * bounds[1] * request.params[0],
    "compare": lambda request, bounds, shapes: 1,
    "flip": lambda request, bounds, shapes: 1,
    "truncate": lambda request, bounds, shapes: (bounds[0] >> request.params[0]) + 2,
    "select": lambda request, bounds, shapes: (bounds[1] >> request.params[0]) + 2,
    "bit": lambda request, bounds, shapes: 1 << request.params[0],
    "match": lambda request, bounds, shapes: 1,
    "spline": lambda request, bounds, shapes: _spline_bound(*request.params),
    "sum": lambda request, bounds, shapes: sum(bounds),
    "scale": lambda request, bounds, shapes: bounds[0] * abs(request.params[1]),
    "shift": _shift,
    "reshape": _same,
    "permute": _same,
    "slice": _same,
    "concat": _largest,
    "reduce": lambda request, bounds, shapes: bounds[0] * shapes[0][request.params[1]],
    "patches": _same,
}
"""Operation: the bound of what it makes. Products by weights have none: their bounds come from the range analysis."""

ANY_ARGUMENT = frozenset({"compare", "flip", "bit", "match", "spline"})
"""Operations whose results are small whatever they read."""
