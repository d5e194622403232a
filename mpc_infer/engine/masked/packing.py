"""Fields of a fixed number of bits, back to back in words: what travels of openings."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from mpc_infer.preprocessing.compiled import kernel

Words = NDArray[np.uint64]

_ZERO = np.uint64(0)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@kernel("u8[::1], i8, i8, u8[::1]")
def pack(values: Words, low: int, width: int, out: Words) -> None:
    """Bits ``low`` to ``low + width`` of each value, back to back."""
    within, pending, filled, place = _ALL >> np.uint64(64 - width), _ZERO, 0, 0
    for i in range(values.size):
        field = (values[i] >> np.uint64(low)) & within
        pending |= field << np.uint64(filled)
        filled += width
        if filled >= 64:
            out[place] = pending
            place += 1
            filled -= 64
            pending = field >> np.uint64(width - filled) if filled else _ZERO
    if filled:
        out[place] = pending


@kernel("u8[::1], u8[::1], u8[::1]")
def add_packed(own: Words, other: Words, tops: Words) -> None:
    """Add packed fields, each modulo 2^width.

    Without their highest bits two fields add up inside of a field, so that the words add up as one long number; the
    highest bits are added without a carry.

    Args:
        tops: of `field_tops`.
    """
    carry, turn = _ZERO, 0
    for i in range(own.size):
        top = tops[turn]
        one = own[i] & ~top
        first = one + (other[i] & ~top)
        total = first + carry
        carry = np.uint64(first < one) | np.uint64(total < first)
        own[i] = total ^ ((own[i] ^ other[i]) & top)
        turn += 1
        if turn == tops.size:
            turn = 0


@kernel("u8[::1], i8, i8, u8[::1]")
def unpack(words: Words, low: int, width: int, out: Words) -> None:
    """What `pack` took, with ``low`` zeros below."""
    within, step, up = _ALL >> np.uint64(64 - width), np.uint64(width), np.uint64(low)
    word, shift = 0, _ZERO
    for i in range(out.size):
        found = words[word] >> shift
        end = shift + step
        if end >= np.uint64(64):
            word += 1
            end -= np.uint64(64)
            if end > _ZERO:
                found |= words[word] << (np.uint64(64) - shift)
        out[i] = (found & within) << up
        shift = end


@cache
def field_tops(width: int) -> Words:
    """The highest bits of 64 packed fields: (width,) words."""
    tops = np.zeros(width, dtype=np.uint64)
    for place in range(width - 1, 64 * width, width):
        tops[place // 64] |= np.uint64(1 << place % 64)
    return tops
