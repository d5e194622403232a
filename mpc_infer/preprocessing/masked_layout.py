"""How a comparison's result depends on the bits that are opened: monomials of masks, and their public coefficients.

A comparison cuts the low bits of a public number c and of its mask r into d digits. For digit i, u_i = [c_i < r_i] and
e_i = [c_i = r_i] (not for the last digit), and ::

    [low(c) < low(r)] = u_0 + e_0 u_1 + e_0 e_1 u_2 + ...          at most one term is 1

The parties open ũ = u XOR a mask bit and ẽ likewise. Each bit is b̃ + (1 - 2 b̃) m for its mask bit m, so the right
side is a sum of products of mask bits with coefficients that the opened pattern gives; modulo 2, b is b̃ + m. A
pattern's bit i is ũ_i, bit d + i is ẽ_i; a set of variables is written as the pattern in which exactly these bits are
1.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mpc_infer.preprocessing.masked_requests import LAYOUTS, LEAN, LEAN_NARROW


@dataclass(frozen=True, repr=False)
class FatTables:
    """Tables of a layout with one opening, of d digits.

    Attributes:
        starts, terms, signs: for pattern p (bit 2 d - 1: the public sign bit, negated) the positions ``starts[p]`` to
            ``starts[p + 1]`` hold the terms with a coefficient other than 0, and its sign, of [c - r is not negative].
            Term 0 is 1, term 1 is the mask's sign bit s, term 2 + k is (1 - 2 s) times monomial k.
        monomials: uint8 (2^(2 d - 1), terms - 2), the monomials for each value of the mask bits.
    """

    starts: NDArray[np.int64]
    terms: NDArray[np.int64]
    signs: NDArray[np.int64]
    monomials: NDArray[np.uint8]


@dataclass(frozen=True, repr=False)
class LeanTables:
    """Tables of the wide layout with two openings, all over patterns of 11 bits; bit 11 is the public sign bit.

    Attributes:
        constant: uint8 (4096,), the XOR of the constant term and the negated sign bit.
        single: uint16 (4096,), which monomials of degree 1 to add: a mask over the mask bits themselves.
        low, high: uint64 and uint32 (4096,), which of the other 83 monomials to add.
        mono_low, mono_high: the same 83 monomials for each value of the mask bits (2048,).
    """

    constant: NDArray[np.uint8]
    single: NDArray[np.uint16]
    low: NDArray[np.uint64]
    high: NDArray[np.uint32]
    mono_low: NDArray[np.uint64]
    mono_high: NDArray[np.uint32]


@dataclass(frozen=True, repr=False)
class NarrowTables:
    """Tables of the narrow layout with two openings, all over patterns of 7 bits; bit 7 is the public sign bit.

    Attributes:
        constant: uint8 (256,), the XOR of the constant term and the negated sign bit.
        chosen: uint32 (256,), which monomials to add: bits 0 to 6 the mask bits themselves, then their 15 products.
        monomials: uint16 (128,), the products for each value of the mask bits.
    """

    constant: NDArray[np.uint8]
    chosen: NDArray[np.uint32]
    monomials: NDArray[np.uint16]


def products(digits: int) -> list[int]:
    """The terms of the comparison, as sets of variables."""
    return [1 << i | sum(1 << digits + j for j in range(i)) for i in range(digits)]


def monomials(digits: int) -> list[int]:
    """All sets of variables that divide a term, but for the empty one, in ascending order."""
    return sorted({part for term in products(digits) for part in _subsets(term)} - {0})


def coefficients(digits: int, chosen: int) -> NDArray[np.int64]:
    """Coefficient over Z of a monomial of mask bits in [low(c) < low(r)], for every opened pattern."""
    patterns = np.arange(1 << 2 * digits - 1)
    total = np.zeros(patterns.size, dtype=np.int64)
    for term in products(digits):
        if chosen & ~term == 0:
            total += patterns & (term & ~chosen) == term & ~chosen
    signed: NDArray[np.int64] = total * (1 - 2 * (np.bitwise_count(patterns & chosen).astype(np.int64) % 2))
    return signed


@cache
def fat_tables(layout: int) -> FatTables:
    """See `FatTables`."""
    digits = len(LAYOUTS[layout].digits)
    sets = monomials(digits)
    low = np.stack([coefficients(digits, chosen) for chosen in (0, *sets)], axis=1)
    basis = np.concatenate([low[:, :1], 1 - 2 * low[:, :1], low[:, 1:]], axis=1)
    flipped = -basis
    flipped[:, 0] += 1
    rows, terms = np.nonzero(both := np.concatenate([basis, flipped]))
    starts = np.searchsorted(rows, np.arange(len(both) + 1)).astype(np.int64)
    masks = np.arange(1 << 2 * digits - 1)
    values = np.stack([masks & chosen == chosen for chosen in sets], axis=1).astype(np.uint8)
    return FatTables(starts, np.ascontiguousarray(terms), both[rows, terms], values)


@cache
def lean_tables() -> LeanTables:
    """See `LeanTables`."""
    digits = len(LAYOUTS[LEAN].digits)
    sets = _several(digits)
    masks = np.arange(1 << 2 * digits - 1)
    low, high = _packed([coefficients(digits, chosen) % 2 == 1 for chosen in sets])
    mono_low, mono_high = _packed([masks & chosen == chosen for chosen in sets])
    constant = (coefficients(digits, 0) % 2).astype(np.uint8)
    return LeanTables(
        constant=np.concatenate([constant, constant ^ 1]),
        single=np.tile(_singles(digits).astype(np.uint16), 2),
        low=np.tile(low, 2),
        high=np.tile(high, 2),
        mono_low=mono_low,
        mono_high=mono_high,
    )


@cache
def narrow_tables() -> NarrowTables:
    """See `NarrowTables`."""
    digits = len(LAYOUTS[LEAN_NARROW].digits)
    sets, bits = _several(digits), 2 * digits - 1
    masks = np.arange(1 << bits)
    products, _ = _packed([coefficients(digits, chosen) % 2 == 1 for chosen in sets])
    monomials, _ = _packed([masks & chosen == chosen for chosen in sets])
    constant = (coefficients(digits, 0) % 2).astype(np.uint8)
    chosen = _singles(digits).astype(np.uint32) | products.astype(np.uint32) << np.uint32(bits)
    return NarrowTables(np.concatenate([constant, constant ^ 1]), np.tile(chosen, 2), monomials.astype(np.uint16))


def _several(digits: int) -> list[int]:
    return [chosen for chosen in monomials(digits) if chosen.bit_count() > 1]


def _singles(digits: int) -> NDArray[np.int64]:
    # Which monomials of degree 1 to add: a mask over the mask bits themselves.
    chosen = [chosen for chosen in monomials(digits) if chosen.bit_count() == 1]
    none = np.zeros(1 << 2 * digits - 1, dtype=np.int64)
    return sum(((coefficients(digits, each) % 2) * each for each in chosen), none)


def _subsets(chosen: int) -> list[int]:
    part, parts = chosen, [0]
    while part:
        parts.append(part)
        part = (part - 1) & chosen
    return parts


def _packed(columns: list[NDArray[np.bool_]]) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    words = np.zeros((2, columns[0].size), dtype=np.uint64)
    for index, column in enumerate(columns):
        words[index // 64] |= column.astype(np.uint64) << np.uint64(index % 64)
    return words[0], words[1].astype(np.uint32)
