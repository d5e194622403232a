"""Seeds of pairs: the same at both ends, new in every session, and zero in the sum."""

import numpy as np
import pytest

from mpc_infer.engine.pairs import PairSeeds, draw_halves
from mpc_infer.errors import InternalError


def make(size, session=b"s" * 16):
    halves = [draw_halves(size) for _ in range(size)]
    return [
        PairSeeds.combine(rank, session, halves[rank], [halves[peer][rank] for peer in range(size)])
        for rank in range(size)
    ]


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_shares_of_zero(size):
    pairs = make(size)
    shares = [item.zero_share((50, 3), "test") for item in pairs]
    assert not sum(shares[1:], start=shares[0]).any()
    assert all(share.any() for share in shares)
    assert not np.array_equal(shares[0], pairs[0].zero_share((50, 3), "other"))


def test_both_ends_have_the_same_stream_and_each_direction_its_own():
    first, second, _ = make(3)
    assert first.stream(0, 1, "p").bytes(32) == second.stream(0, 1, "p").bytes(32)
    assert first.stream(0, 1, "p").bytes(32) != first.stream(1, 0, "p").bytes(32)


def test_nobody_has_a_strangers_stream():
    with pytest.raises(InternalError):
        make(3)[2].stream(0, 1, "p")
    with pytest.raises(InternalError):
        make(3)[2].stream(2, 2, "p")


def test_the_session_is_part_of_the_seed():
    halves = draw_halves(2)
    one, two = (PairSeeds.combine(0, session, halves, halves) for session in (b"1" * 16, b"2" * 16))
    assert one.seeds[1] != two.seeds[1]


def test_no_seed_in_its_text():
    pairs = make(2)[0]
    assert pairs.seeds[1].hex() not in repr(pairs)
    assert str(pairs.seeds[1]) not in repr(pairs)
