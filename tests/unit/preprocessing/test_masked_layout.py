"""How a comparison follows from what is opened: against comparing, for random numbers, masks and every layout."""

import numpy as np
import pytest

from mpc_infer.preprocessing.masked_layout import (
    coefficients,
    fat_tables,
    lean_tables,
    monomials,
    narrow_tables,
    products,
)
from mpc_infer.preprocessing.masked_requests import FAT, FAT_NARROW, LAYOUTS, LEAN, LEAN_NARROW

COUNT = 4000


def windows(layout):
    """Pairs of numbers of one bit more than the window: anywhere, close together, and with equal digits."""
    random, bits = np.random.default_rng(1), LAYOUTS[layout].window + 1
    c, r = random.integers(0, 1 << bits, (2, COUNT))
    r[: COUNT // 4] = (c[: COUNT // 4] + random.integers(-2, 3, COUNT // 4)) % (1 << bits)
    r[COUNT // 4 : COUNT // 2] = c[COUNT // 4 : COUNT // 2] ^ (1 << random.integers(0, bits, COUNT // 4))
    return c, r


def digits(values, layout):
    found, place = [], LAYOUTS[layout].window
    for bits in LAYOUTS[layout].digits:
        place -= bits
        found.append((values >> place) & ((1 << bits) - 1))
    return found


def patterns(c, r, layout):
    """Mask bits, and what is opened: u of every digit, e of every digit but the last."""
    pairs = list(zip(digits(c, layout), digits(r, layout), strict=True))
    bits = [one < other for one, other in pairs] + [one == other for one, other in pairs[:-1]]
    masks = np.random.default_rng(2).integers(0, 1 << len(bits), COUNT)
    return masks, masks ^ sum(bit.astype(np.int64) << place for place, bit in enumerate(bits))


def test_the_windows():
    assert [LAYOUTS[layout].window for layout in (FAT, LEAN, FAT_NARROW, LEAN_NARROW)] == [32, 32, 24, 24]
    assert [layout.terms for layout in LAYOUTS if not layout.lean] == [24, 12]


@pytest.mark.parametrize("layout", range(len(LAYOUTS)))
def test_less_is_a_combination_of_products_of_masks(layout):
    (c, r), count = windows(layout), len(LAYOUTS[layout].digits)
    masks, opened = patterns(c, r, layout)
    total = np.zeros(COUNT, np.int64)
    for chosen in [0, *monomials(count)]:
        total += coefficients(count, chosen)[opened] * (masks & chosen == chosen)
    low = (1 << LAYOUTS[layout].window) - 1
    assert (total == ((c & low) < (r & low))).all()


def expected(c, r, layout):
    # The highest bit of the difference says that it is negative.
    return ((c - r) >> LAYOUTS[layout].window) & 1 == 0


@pytest.mark.parametrize("layout", [FAT, FAT_NARROW])
def test_the_fat_layouts_terms(layout):
    (c, r), tables, window = windows(layout), fat_tables(layout), LAYOUTS[layout].window
    masks, opened = patterns(c, r, layout)
    sign = r >> window
    terms = np.concatenate(
        [
            np.ones((COUNT, 1), np.int64),
            sign[:, None],
            (1 - 2 * sign[:, None]) * tables.monomials[masks].astype(np.int64),
        ],
        axis=1,
    )
    public = opened | ((c >> window) ^ 1) << LAYOUTS[layout].tables
    found = [
        sum(tables.signs[at] * terms[row, tables.terms[at]] for at in range(*tables.starts[p : p + 2]))
        for row, p in enumerate(public)
    ]
    assert (np.array(found) == expected(c, r, layout)).all()
    assert terms.shape[1] == LAYOUTS[layout].terms


def test_the_wide_lean_layouts_terms():
    (c, r), tables = windows(LEAN), lean_tables()
    masks, opened = patterns(c, r, LEAN)
    public = opened | ((c >> 32) ^ 1) << 11
    bits = np.bitwise_count(tables.low[public] & tables.mono_low[masks])
    bits += np.bitwise_count(tables.high[public] & tables.mono_high[masks])
    bits += np.bitwise_count(tables.single[public] & masks.astype(np.uint16))
    positive = (bits + tables.constant[public] + (r >> 32)) % 2
    assert (positive == expected(c, r, LEAN)).all()


def test_the_narrow_lean_layouts_terms():
    (c, r), tables = windows(LEAN_NARROW), narrow_tables()
    masks, opened = patterns(c, r, LEAN_NARROW)
    public = opened | ((c >> 24) ^ 1) << 7
    known = masks.astype(np.uint32) | tables.monomials[masks].astype(np.uint32) << np.uint32(7)
    positive = (np.bitwise_count(tables.chosen[public] & known) + tables.constant[public] + (r >> 24)) % 2
    assert (positive == expected(c, r, LEAN_NARROW)).all()


def test_how_many_products_are_shared():
    assert len(monomials(4)) == 22
    assert [len([c for c in monomials(d) if c.bit_count() > 1]) for d in (4, 6)] == [15, 83]
    # Mask bits that no product holds would be opened in vain.
    for count in (3, 4, 6):
        assert (
            sum(map(int, np.bitwise_or.reduce(products(count)) & (1 << np.arange(2 * count - 1)) > 0)) == 2 * count - 1
        )
