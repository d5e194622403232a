"""How a comparison follows from what is opened: against comparing, for random numbers, masks and both layouts."""

import numpy as np
import pytest

from mpc_infer.preprocessing.masked_layout import coefficients, fat_tables, lean_tables, monomials, products
from mpc_infer.preprocessing.masked_requests import DIGITS, FAT, LEAN

COUNT = 4000
LOW = (1 << 32) - 1


def windows():
    """Pairs of 33-bit numbers: anywhere, close together, and with equal digits."""
    random = np.random.default_rng(1)
    c, r = random.integers(0, 1 << 33, (2, COUNT))
    r[: COUNT // 4] = (c[: COUNT // 4] + random.integers(-2, 3, COUNT // 4)) % (1 << 33)
    r[COUNT // 4 : COUNT // 2] = c[COUNT // 4 : COUNT // 2] ^ (1 << random.integers(0, 33, COUNT // 4))
    return c, r


def digits(values, layout):
    found, place = [], 32
    for bits in DIGITS[layout]:
        place -= bits
        found.append((values >> place) & ((1 << bits) - 1))
    return found


def patterns(c, r, layout):
    """Mask bits, and what is opened: u of every digit, e of every digit but the last."""
    pairs = list(zip(digits(c, layout), digits(r, layout), strict=True))
    bits = [one < other for one, other in pairs] + [one == other for one, other in pairs[:-1]]
    masks = np.random.default_rng(2).integers(0, 1 << len(bits), COUNT)
    return masks, masks ^ sum(bit.astype(np.int64) << place for place, bit in enumerate(bits))


@pytest.mark.parametrize("layout", [FAT, LEAN])
def test_the_digits_are_all_low_bits(layout):
    assert sum(DIGITS[layout]) == 32


@pytest.mark.parametrize("layout", [FAT, LEAN])
def test_less_is_a_combination_of_products_of_masks(layout):
    (c, r), count = windows(), len(DIGITS[layout])
    masks, opened = patterns(c, r, layout)
    total = np.zeros(COUNT, np.int64)
    for chosen in [0, *monomials(count)]:
        total += coefficients(count, chosen)[opened] * (masks & chosen == chosen)
    assert (total == ((c & LOW) < (r & LOW))).all()


def expected(c, r):
    # Bit 32 of the difference of 33-bit numbers says that it is negative.
    return ((c - r) >> 32) & 1 == 0


def test_the_fat_layouts_terms():
    (c, r), tables = windows(), fat_tables()
    masks, opened = patterns(c, r, FAT)
    sign = r >> 32
    terms = np.concatenate(
        [
            np.ones((COUNT, 1), np.int64),
            sign[:, None],
            (1 - 2 * sign[:, None]) * tables.monomials[masks].astype(np.int64),
        ],
        axis=1,
    )
    public = opened | ((c >> 32) ^ 1) << 7
    found = [
        sum(tables.signs[at] * terms[row, tables.terms[at]] for at in range(*tables.starts[p : p + 2]))
        for row, p in enumerate(public)
    ]
    assert (np.array(found) == expected(c, r)).all()
    assert terms.shape[1] == 24


def test_the_lean_layouts_terms():
    (c, r), tables = windows(), lean_tables()
    masks, opened = patterns(c, r, LEAN)
    public = opened | ((c >> 32) ^ 1) << 11
    bits = np.bitwise_count(tables.low[public] & tables.mono_low[masks])
    bits += np.bitwise_count(tables.high[public] & tables.mono_high[masks])
    bits += np.bitwise_count(tables.single[public] & masks.astype(np.uint16))
    positive = (bits + tables.constant[public] + (r >> 32)) % 2
    assert (positive == expected(c, r)).all()


def test_how_many_products_are_shared():
    assert len(monomials(4)) == 22
    assert len([chosen for chosen in monomials(6) if chosen.bit_count() > 1]) == 83
    # Mask bits that no product holds would be opened in vain.
    for count in (4, 6):
        assert (
            sum(map(int, np.bitwise_or.reduce(products(count)) & (1 << np.arange(2 * count - 1)) > 0)) == 2 * count - 1
        )
