"""The dealer's loops over elements: what the parties' shares of truth tables and products of masks must add up to.

Each function takes what all parties but the last have drawn, already added up (or XORed), and overwrites it with what
is left for the last party.
"""

import numpy as np
from numpy.typing import NDArray

from mpc_infer.preprocessing.compiled import kernel

Words = NDArray[np.uint64]
Halves = NDArray[np.uint32]
Quarters = NDArray[np.uint16]
Bytes = NDArray[np.uint8]
Lanes = Halves | Quarters
Floats = NDArray[np.float64]

_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_LOW = np.uint64(0xFFFFFFFF)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel("u8[::1], u8, u1[::1]")
def sign_bits(mask: Words, place: np.uint64, out: Bytes) -> None:
    """One bit of each mask."""
    for i in range(mask.size):
        out[i] = np.uint8((mask[i] >> place) & _ONE)


@kernel("u8[::1], u8, u2[::1], u4[:, ::1], u8[:, ::1]")
def lean_tables_left(mask: Words, bits: np.uint64, chosen: Quarters, halves: Halves, words: Words) -> None:
    """Truth tables of the wide lean layout, by XOR.

    Args:
        mask: (n,).
        bits: low bits of the mask to drop.
        chosen: (n,) the mask bits, u of digit i at bit i, e at bit 6 + i.
        halves: (8, n) u of digits 0 to 3, e of digits 0 to 3.
        words: (3, n) u of digits 4 and 5, e of digit 4.
    """
    five, six, one = np.uint64(31), np.uint64(63), np.uint32(1)
    for i in range(mask.size):
        low = (mask[i] >> bits) & _LOW
        pattern = np.uint32(chosen[i])
        for digit in range(4):
            value = np.uint32((low >> np.uint64(27 - 5 * digit)) & five)
            point = one << value
            halves[digit, i] ^= (point - one) ^ (np.uint32(0) - ((pattern >> np.uint32(digit)) & one))
            halves[4 + digit, i] ^= point ^ (np.uint32(0) - ((pattern >> np.uint32(6 + digit)) & one))
        wide = np.uint64(pattern)
        fourth, fifth = _ONE << ((low >> np.uint64(6)) & six), _ONE << (low & six)
        words[0, i] ^= (fourth - _ONE) ^ (_ZERO - ((wide >> np.uint64(4)) & _ONE))
        words[1, i] ^= (fifth - _ONE) ^ (_ZERO - ((wide >> np.uint64(5)) & _ONE))
        words[2, i] ^= fourth ^ (_ZERO - ((wide >> np.uint64(10)) & _ONE))


@kernel("u8[::1], u8, u1[::1], u8[:, ::1]")
def narrow_tables_left(mask: Words, bits: np.uint64, chosen: Bytes, tables: Words) -> None:
    """Truth tables of the narrow lean layout, by XOR: (7, n) words, u of digits 0 to 3, then e of digits 0 to 2."""
    six = np.uint64(63)
    for i in range(mask.size):
        low, pattern = mask[i] >> bits, np.uint64(chosen[i])
        for digit in range(4):
            point = _ONE << ((low >> np.uint64(18 - 6 * digit)) & six)
            tables[digit, i] ^= (point - _ONE) ^ (_ZERO - ((pattern >> np.uint64(digit)) & _ONE))
            if digit < 3:
                tables[4 + digit, i] ^= point ^ (_ZERO - ((pattern >> np.uint64(4 + digit)) & _ONE))


@kernel("u8[::1], u8, u1[::1], u8[:, :, ::1]")
def fat_tables_left(mask: Words, bits: np.uint64, chosen: Bytes, tables: Words) -> None:
    """Truth tables of a fat layout of d digits, by XOR: (n, 2 d - 1, 4) words, u of all digits, e of all but one."""
    digits = (tables.shape[1] + 1) // 2
    for i in range(mask.size):
        low = mask[i] >> bits
        for table in range(tables.shape[1]):
            digit = table if table < digits else table - digits
            value = (low >> np.uint64(8 * (digits - 1 - digit))) & np.uint64(255)
            flip = _ZERO - ((np.uint64(chosen[i]) >> np.uint64(table)) & _ONE)
            for part in range(4):
                inside = value >> np.uint64(6) == np.uint64(part)
                point = _ONE << (value & np.uint64(63)) if inside else _ZERO
                below = point - _ONE if inside else (_ALL if value >> np.uint64(6) > np.uint64(part) else _ZERO)
                tables[i, table, part] ^= flip ^ (below if table < digits else point)


@kernel("u2[::1], u8[::1], u4[::1], u8[::1], u4[::1]")
def flip_left(chosen: Quarters, mono_low: Words, mono_high: Halves, low: Words, high: Halves) -> None:
    """Products of mask bits, by XOR; the tables are those of `LeanTables`."""
    for i in range(chosen.size):
        low[i] ^= mono_low[chosen[i]]
        high[i] ^= mono_high[chosen[i]]


@kernel("u1[::1], u2[::1], u2[::1]")
def narrow_flip_left(chosen: Bytes, monomials: Quarters, products: Quarters) -> None:
    """Products of mask bits, by XOR; the table is that of `NarrowTables`."""
    for i in range(chosen.size):
        products[i] ^= monomials[chosen[i]]


@kernel("u8[::1], u8, u8, u8[::1], u8[:, ::1], u2[:, ::1]", "u8[::1], u8, u8, u8[::1], u8[:, ::1], u4[:, ::1]")
def lean_terms_left(mask: Words, bits: np.uint64, modulus: np.uint64, flips: Words, words: Words, small: Lanes) -> None:
    """m, R, m R and, when a wrap must be undone, M and m M, by subtraction.

    Args:
        mask: (n,).
        bits, modulus: R is the mask modulo 2^modulus without its lowest bits, M its highest bit.
        flips: m, 64 bits to a word.
        words: (3, n).
        small: (2, n), or empty when no bits are dropped and the modulus is 2^64.
    """
    within, last = _ALL >> (np.uint64(64) - modulus), modulus - _ONE
    for i in range(mask.size):
        flip = (flips[i >> 6] >> np.uint64(i & 63)) & _ONE
        shifted = (mask[i] & within) >> bits
        words[0, i] = flip - words[0, i]
        words[1, i] = shifted - words[1, i]
        words[2, i] = flip * shifted - words[2, i]
    if small.size > 0:
        for i in range(mask.size):
            flip = (flips[i >> 6] >> np.uint64(i & 63)) & _ONE
            top = (mask[i] >> last) & _ONE
            small[0, i] = top - small[0, i]
            small[1, i] = flip * top - small[1, i]


@kernel(
    "u8[::1], u8, u8, u1[::1], u1[::1], u1[:, ::1], u8[:, ::1], u8[:, ::1], u2[:, ::1]",
    "u8[::1], u8, u8, u1[::1], u1[::1], u1[:, ::1], u8[:, ::1], u8[:, ::1], u4[:, ::1]",
)
def fat_terms_left(
    mask: Words,
    bits: np.uint64,
    modulus: np.uint64,
    chosen: Bytes,
    sign: Bytes,
    monomials: Bytes,
    ones: Words,
    many: Words,
    small: Lanes,
) -> None:
    """A fat layout's terms but for the constant, all times R, and all times M if bits are dropped, by subtraction.

    Args:
        mask, bits, modulus, small: as `lean_terms_left`, small of (n, terms).
        chosen, sign: (n,) mask bits, and the sign bit of the mask that was compared.
        monomials: `FatTables.monomials`.
        ones, many: (n, terms - 1) and (n, terms).
    """
    within, last, terms = _ALL >> (np.uint64(64) - modulus), modulus - _ONE, many.shape[1]
    term = np.zeros(terms, dtype=np.uint64)
    term[0] = _ONE
    for i in range(mask.size):
        negative = np.uint64(sign[i])
        shifted, top = (mask[i] & within) >> bits, (mask[i] >> last) & _ONE
        term[1] = negative
        for k in range(terms - 2):
            term[2 + k] = np.uint64(monomials[chosen[i], k]) * (_ONE - negative - negative)
        for k in range(terms - 1):
            ones[i, k] = term[1 + k] - ones[i, k]
        for k in range(terms):
            many[i, k] = term[k] * shifted - many[i, k]
        if bits != _ZERO:
            for k in range(terms):
                small[i, k] = term[k] * top - small[i, k]


@kernel("u8[::1], u8, u8, u8[::1], u2[::1]", "u8[::1], u8, u8, u8[::1], u4[::1]")
def shifted_left(mask: Words, bits: np.uint64, modulus: np.uint64, words: Words, small: Lanes) -> None:
    """The mask modulo 2^modulus without its lowest bits, and its highest bit, by subtraction."""
    within, last = _ALL >> (np.uint64(64) - modulus), modulus - _ONE
    for i in range(mask.size):
        words[i] = ((mask[i] & within) >> bits) - words[i]
        small[i] = ((mask[i] >> last) & _ONE) - small[i]


@kernel("u8[::1], u8, u8[:, ::1]")
def match_left(mask: Words, low: np.uint64, tables: Words) -> None:
    """1 where the public number is the mask, by subtraction: (n, numbers), a power of two of them."""
    last = np.uint64(tables.shape[1] - 1)
    for i in range(mask.size):
        place = (mask[i] >> low) & last
        for v in range(tables.shape[1]):
            tables[i, v] = np.uint64(np.uint64(v) == place) - tables[i, v]


@kernel("u8[::1], u8, u8, Array(f8, 2, 'C', readonly=True), f8, f8, u8[:, :, ::1]")
def spline_left(
    mask: Words, bits: np.uint64, place: np.uint64, coefficients: Floats, scale: float, unit: float, tables: Words
) -> None:
    """The polynomials of all segments in terms of the public place within a segment, by subtraction.

    With the mask's own place p in [0, 1) and segment m, the public place u and segment v stand for x = u - p in segment
    v - m, or, when u < p, at x + 1 in the segment before: every polynomial holds on its own segment and the one before.
    The polynomial in u is that in x, shifted by p (repeated synthetic division).

    Args:
        mask, bits: as above.
        place: bits of a place within a segment.
        coefficients: (terms, segments) of the polynomials on [-1, 1).
        scale, unit: what 1 is in the constant coefficient, and in the others.
        tables: (n, segments, terms).
    """
    terms, segments = coefficients.shape
    low = (_ONE << place) - _ONE
    width = float(low + _ONE)
    twice = np.empty((terms, 2 * segments))
    twice[:, :segments] = coefficients
    twice[:, segments:] = coefficients
    shifted = np.empty((terms, segments))
    for i in range(mask.size):
        rest = mask[i] >> bits
        start = segments - np.int64((rest >> place) & np.uint64(segments - 1))
        back = -float(rest & low) / width
        for k in range(terms):
            for v in range(segments):
                shifted[k, v] = twice[k, start + v]
        for j in range(terms - 1):
            for k in range(terms - 2, j - 1, -1):
                for v in range(segments):
                    shifted[k, v] += back * shifted[k + 1, v]
        for v in range(segments):
            tables[i, v, 0] = np.uint64(np.int64(np.floor(scale * shifted[0, v] + 0.5))) - tables[i, v, 0]
            for k in range(1, terms):
                tables[i, v, k] = np.uint64(np.int64(np.floor(unit * shifted[k, v] + 0.5))) - tables[i, v, k]
