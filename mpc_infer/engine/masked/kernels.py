"""A party's loops over elements, online. Each reads its material once, in the order in which it lies in memory.

``first`` says whether this is party 0, which adds what is public. ``bits`` are fractional bits that a value has too
many; such values get an offset of a quarter of the modulus here, so that c = z + 2^(modulus - 2) + r.
"""

import numpy as np
from numpy.typing import NDArray

from mpc_infer.preprocessing.compiled import kernel

Words = NDArray[np.uint64]
Halves = NDArray[np.uint32]
Quarters = NDArray[np.uint16]
Bytes = NDArray[np.uint8]
Lanes = Halves | Quarters

_ZERO = np.uint64(0)
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_SIGN = np.uint64(32)
_NARROW_SIGN = np.uint64(24)


@kernel("u8[::1], u8, b1, u4[:, ::1], u8[:, ::1], u8[::1]")
def compare_lean(delta: Words, bits: np.uint64, first: bool, halves: Halves, words: Words, out: Words) -> None:
    """Pick the entries of the truth tables; see `lean_tables_left` for their layout. 12 bits each, back to back."""
    lead = np.uint64(1 if first else 0)
    pending, filled, place = _ZERO, 0, 0
    for i in range(delta.size):
        window = delta[i] >> bits
        low = np.uint32(window)
        d0, d1, d2, d3 = low >> np.uint32(27), low >> np.uint32(22), low >> np.uint32(17), low >> np.uint32(12)
        d0, d1, d2, d3 = d0 & np.uint32(31), d1 & np.uint32(31), d2 & np.uint32(31), d3 & np.uint32(31)
        one = np.uint32(1)
        found = (halves[0, i] >> d0) & one
        found |= ((halves[1, i] >> d1) & one) << np.uint32(1)
        found |= ((halves[2, i] >> d2) & one) << np.uint32(2)
        found |= ((halves[3, i] >> d3) & one) << np.uint32(3)
        found |= ((halves[4, i] >> d0) & one) << np.uint32(6)
        found |= ((halves[5, i] >> d1) & one) << np.uint32(7)
        found |= ((halves[6, i] >> d2) & one) << np.uint32(8)
        found |= ((halves[7, i] >> d3) & one) << np.uint32(9)
        d4, d5 = (window >> np.uint64(6)) & np.uint64(63), window & np.uint64(63)
        wide = ((words[0, i] >> d4) & _ONE) << np.uint64(4)
        wide |= ((words[1, i] >> d5) & _ONE) << np.uint64(5)
        wide |= ((words[2, i] >> d4) & _ONE) << np.uint64(10)
        negated = (((window >> _SIGN) & _ONE) ^ _ONE) & lead
        field = np.uint64(found) | wide | (negated << np.uint64(11))
        pending |= field << np.uint64(filled)
        filled += 12
        if filled >= 64:
            out[place] = pending
            place += 1
            filled -= 64
            pending = field >> np.uint64(12 - filled) if filled else _ZERO
    if filled:
        out[place] = pending


@kernel("u8[::1], u8, b1, u8[:, ::1], u1[::1]")
def compare_narrow(delta: Words, bits: np.uint64, first: bool, tables: Words, out: Bytes) -> None:
    """Pick the entries of the truth tables; see `narrow_tables_left` for their layout."""
    lead, six = (_ONE if first else _ZERO), np.uint64(63)
    for i in range(delta.size):
        window = delta[i] >> bits
        d0, d1, d2 = (window >> np.uint64(18)) & six, (window >> np.uint64(12)) & six, (window >> np.uint64(6)) & six
        found = (tables[0, i] >> d0) & _ONE
        found |= ((tables[1, i] >> d1) & _ONE) << np.uint64(1)
        found |= ((tables[2, i] >> d2) & _ONE) << np.uint64(2)
        found |= ((tables[3, i] >> (window & six)) & _ONE) << np.uint64(3)
        found |= ((tables[4, i] >> d0) & _ONE) << np.uint64(4)
        found |= ((tables[5, i] >> d1) & _ONE) << np.uint64(5)
        found |= ((tables[6, i] >> d2) & _ONE) << np.uint64(6)
        found |= ((((window >> _NARROW_SIGN) & _ONE) ^ _ONE) & lead) << np.uint64(7)
        out[i] = np.uint8(found)


@kernel("u8[::1], u8, b1, u8[:, :, ::1], u1[::1]")
def compare_fat(delta: Words, bits: np.uint64, first: bool, tables: Words, out: Bytes) -> None:
    """Pick the entries of the truth tables; see `fat_tables_left` for their layout."""
    count = tables.shape[1]
    digits = (count + 1) // 2
    for i in range(delta.size):
        window = delta[i] >> bits
        found = ((window >> np.uint64(8 * digits)) & _ONE) ^ _ONE if first else _ZERO
        found <<= np.uint64(count)
        for digit in range(digits):
            value = (window >> np.uint64(8 * (digits - 1 - digit))) & np.uint64(255)
            part, bit = value >> np.uint64(6), value & np.uint64(63)
            found |= ((tables[i, digit, part] >> bit) & _ONE) << np.uint64(digit)
            if digit < digits - 1:
                found |= ((tables[i, digits + digit, part] >> bit) & _ONE) << np.uint64(digits + digit)
        out[i] = np.uint8(found)


@kernel("u8[::1], b1, u1[::1], u2[::1], u8[::1], u4[::1], u2[::1], u8[::1], u4[::1], u8[::1]")
def flip_lean(
    pattern: Words,
    first: bool,
    constant: Bytes,
    single: Quarters,
    low: Words,
    high: Halves,
    chosen: Quarters,
    mono_low: Words,
    mono_high: Halves,
    out: Words,
) -> None:
    """XOR into the drawn bits this party's share of the comparison's result.

    Args:
        pattern: opened, 12 bits each, back to back.
        constant, single, low, high: of `LeanTables`.
        chosen: this party's shares of the mask bits.
        mono_low, mono_high: and of their products.
        out: 64 bits to a word.
    """
    at, shift = 0, _ZERO
    for start in range(0, chosen.size, 64):
        word = _ZERO
        for i in range(start, min(start + 64, chosen.size)):
            p = pattern[at] >> shift
            shift += np.uint64(12)
            if shift >= np.uint64(64):
                at += 1
                shift -= np.uint64(64)
                if shift > _ZERO:
                    p |= pattern[at] << (np.uint64(12) - shift)
            p &= np.uint64(4095)
            bits = (mono_low[i] & low[p]) ^ np.uint64(mono_high[i] & high[p]) ^ np.uint64(chosen[i] & single[p])
            bits ^= bits >> np.uint64(32)
            bits ^= bits >> np.uint64(16)
            bits ^= bits >> np.uint64(8)
            bits ^= bits >> np.uint64(4)
            bits = (np.uint64(0x6996) >> (bits & np.uint64(15))) & _ONE
            if first:
                bits ^= np.uint64(constant[p])
            word |= bits << np.uint64(i - start)
        out[start >> 6] ^= word


@kernel("u1[::1], b1, u1[::1], u4[::1], u1[::1], u2[::1], u8[::1]")
def flip_narrow(
    pattern: Bytes,
    first: bool,
    constant: Bytes,
    asked: Halves,
    chosen: Bytes,
    monomials: Quarters,
    out: Words,
) -> None:
    """As `flip_lean`.

    Args:
        pattern: opened.
        constant, asked: of `NarrowTables`, `asked` being its `chosen`.
        chosen: this party's shares of the mask bits, bit 7 being somebody else's affair.
        monomials: and of their products.
        out: 64 bits to a word.
    """
    seven, own = np.uint32(7), np.uint32(127)
    for start in range(0, pattern.size, 64):
        word = _ZERO
        for i in range(start, min(start + 64, pattern.size)):
            p = pattern[i]
            bits = ((np.uint32(monomials[i]) << seven) | (np.uint32(chosen[i]) & own)) & asked[p]
            bits ^= bits >> np.uint32(16)
            bits ^= bits >> np.uint32(8)
            bits ^= bits >> np.uint32(4)
            bit = (np.uint64(0x6996) >> np.uint64(bits & np.uint32(15))) & _ONE
            if first:
                bit ^= np.uint64(constant[p])
            word |= bit << np.uint64(i - start)
        out[start >> 6] ^= word


@kernel("u8[::1], b1, u8[::1], u8[:, ::1], u8[::1]")
def select_lean(delta: Words, first: bool, flips: Words, words: Words, out: Words) -> None:
    """Add [positive] (delta - R): q (delta - R) + (1 - 2 q) (m delta - m R), q the opened flip.

    Args:
        delta: (n,) opened values.
        flips: q, 64 bits to a word.
        words: (3, n) shares of m, R, m R.
        out: (n,).
    """
    lead = _ONE if first else _ZERO
    for i in range(delta.size):
        flip = (flips[i >> 6] >> np.uint64(i & 63)) & _ONE
        on = _ZERO - flip
        value = words[0, i] * delta[i] - words[2, i]
        out[i] += ((lead * delta[i] - words[1, i]) & on) + ((value ^ on) + flip)


@kernel(
    "u8[::1], u8, u8, b1, u8[::1], u8[:, ::1], u2[:, ::1], u8[::1]",
    "u8[::1], u8, u8, b1, u8[::1], u8[:, ::1], u4[:, ::1], u8[::1]",
)
def select_lean_wide(
    delta: Words,
    bits: np.uint64,
    modulus: np.uint64,
    first: bool,
    flips: Words,
    words: Words,
    small: Lanes,
    out: Words,
) -> None:
    """As `select_lean`, of the value modulo 2^modulus without its lowest bits; small (2, n): shares of M and m M."""
    lead, up = _ONE if first else _ZERO, modulus - bits
    offset, less = _ONE << (modulus - _TWO), _ONE << (modulus - _TWO - bits)
    within, last = _ALL >> (np.uint64(64) - modulus), modulus - _ONE
    for i in range(delta.size):
        c = (delta[i] + offset) & within
        public = (c >> bits) - less
        wrap = (c >> last) - _ONE
        flip = (flips[i >> 6] >> np.uint64(i & 63)) & _ONE
        on = _ZERO - flip
        plain = lead * public - words[1, i] + ((np.uint64(small[0, i]) << up) & wrap)
        value = words[0, i] * public - words[2, i] + ((np.uint64(small[1, i]) << up) & wrap)
        out[i] += (plain & on) + ((value ^ on) + flip)


@kernel(
    "u8[::1], u8, u8, b1, u1[::1], i8[::1], i8[::1], i8[::1], u8[:, ::1], u8[:, ::1], u2[:, ::1], u8[::1]",
    "u8[::1], u8, u8, b1, u1[::1], i8[::1], i8[::1], i8[::1], u8[:, ::1], u8[:, ::1], u4[:, ::1], u8[::1]",
)
def select_fat(
    delta: Words,
    bits: np.uint64,
    modulus: np.uint64,
    first: bool,
    pattern: Bytes,
    starts: NDArray[np.int64],
    terms: NDArray[np.int64],
    signs: NDArray[np.int64],
    ones: Words,
    many: Words,
    small: Lanes,
    out: Words,
) -> None:
    """Add [positive] (delta - R), from shares of the terms that the opened pattern asks for.

    Args:
        starts, terms, signs: of `FatTables`.
        ones, many, small: shares of all terms but the constant, of all times R, and (when bits are dropped) times M.
        out: (n,).
    """
    lead, up = _ONE if first else _ZERO, modulus - bits
    offset, less = _ONE << (modulus - _TWO), _ONE << (modulus - _TWO - bits)
    within, last = _ALL >> (np.uint64(64) - modulus), modulus - _ONE
    for i in range(delta.size):
        public, wrap = delta[i], _ZERO
        if bits != _ZERO:
            public = (public + offset) & within
            wrap = (public >> last) - _ONE
            public = (public >> bits) - less
        total, masked, top = _ZERO, _ZERO, _ZERO
        for position in range(starts[pattern[i]], starts[pattern[i] + 1]):
            term, sign = terms[position], np.uint64(signs[position])
            total += sign * (ones[i, term - 1] if term > 0 else lead)
            masked += sign * many[i, term]
            if bits != _ZERO:
                top += sign * np.uint64(small[i, term])
        out[i] += total * public - masked
        if bits != _ZERO:
            out[i] += (top << up) & wrap


@kernel("u8[::1], u8, u8, b1, u2[::1], u8[::1]", "u8[::1], u8, u8, b1, u4[::1], u8[::1]")
def truncate(delta: Words, bits: np.uint64, modulus: np.uint64, first: bool, small: Lanes, out: Words) -> None:
    """Add the public part of the value without its lowest bits, and the share of what a wrap adds: M, in few bits."""
    up, offset, less = modulus - bits, _ONE << (modulus - _TWO), _ONE << (modulus - _TWO - bits)
    within, last = _ALL >> (np.uint64(64) - modulus), modulus - _ONE
    for i in range(delta.size):
        c = (delta[i] + offset) & within
        out[i] += (np.uint64(small[i]) << up) & ((c >> last) - _ONE)
        if first:
            out[i] += (c >> bits) - less


@kernel("u8[::1], u8, b1, u8[::1], u8[::1]")
def bit_lean(flips: Words, scale: np.uint64, first: bool, shares: Words, out: Words) -> None:
    """Add [positive] 2^scale: q + (1 - 2 q) m."""
    lead = _ONE if first else _ZERO
    for i in range(out.size):
        flip = (flips[i >> 6] >> np.uint64(i & 63)) & _ONE
        on = _ZERO - flip
        out[i] += ((lead & on) + ((shares[i] ^ on) + flip)) << scale


@kernel("u1[::1], u8, b1, i8[::1], i8[::1], i8[::1], u8[:, ::1], u8[::1]")
def bit_fat(
    pattern: Bytes,
    scale: np.uint64,
    first: bool,
    starts: NDArray[np.int64],
    terms: NDArray[np.int64],
    signs: NDArray[np.int64],
    ones: Words,
    out: Words,
) -> None:
    """Add [positive] 2^scale, from shares of all terms but the constant."""
    lead = _ONE if first else _ZERO
    for i in range(out.size):
        total = _ZERO
        for position in range(starts[pattern[i]], starts[pattern[i] + 1]):
            term = terms[position]
            total += np.uint64(signs[position]) * (ones[i, term - 1] if term > 0 else lead)
        out[i] += total << scale


@kernel("u8[::1], u8, u8, u8, u8, u8[:, :, ::1], u8[::1]")
def spline(
    delta: Words, bits: np.uint64, place: np.uint64, power_bits: np.uint64, low: np.uint64, tables: Words, out: Words
) -> None:
    """Add the share of the polynomial at each value: the public segment's, in powers of the public place.

    Args:
        place: bits of a place within a segment.
        power_bits: fractional bits of the powers.
        low: units at which the first segment begins.
        tables: (n, segments, terms).
    """
    segments, terms = np.uint64(tables.shape[1] - 1), tables.shape[2]
    inside = (_ONE << place) - _ONE
    up = power_bits - place if place < power_bits else _ZERO
    down = place - power_bits if place > power_bits else _ZERO
    for i in range(delta.size):
        units = (delta[i] >> bits) - low
        row = tables[i, (units >> place) & segments]
        first = ((units & inside) << up) >> down
        power, total = first, row[0] + row[1] * first
        for k in range(2, terms):
            power = (power * first) >> power_bits
            total += row[k] * power
        out[i] += total


@kernel("u8[::1], u8, u8[:, ::1], u8[::1]")
def match(delta: Words, low: np.uint64, tables: Words, out: Words) -> None:
    """Add [value = 0]: the entry of each table, (n, numbers), at the public number."""
    last = np.uint64(tables.shape[1] - 1)
    for i in range(delta.size):
        out[i] += tables[i, (delta[i] >> low) & last]
