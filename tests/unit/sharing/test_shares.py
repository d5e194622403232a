import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpc_infer.errors import InvalidInput, WrongDtype, WrongShape
from mpc_infer.sharing import combine, encode, split

RINGS = hnp.arrays(np.uint64, hnp.array_shapes(min_dims=0, max_dims=3, max_side=4))


@given(RINGS, st.integers(2, 5))
def test_shares_sum_to_the_value(ring, parties):
    shares = split(ring, parties)
    assert len(shares) == parties
    assert all(share.shape == ring.shape and share.dtype == np.uint64 for share in shares)
    assert np.array_equal(combine(shares), ring)
    assert np.array_equal(combine(shares[::-1]), ring)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_each_share_by_itself_looks_uniform(index):
    share = split(encode(np.zeros(20_000)), 3)[index]
    counts = np.bincount(share.view(np.uint8), minlength=256)
    expected = share.nbytes / 256
    chi_square = float(((counts - expected) ** 2 / expected).sum())
    assert chi_square < 400  # 255 degrees of freedom: exceeded by chance once in 10^8 runs


def test_two_splits_of_one_value_differ():
    ring = encode(np.ones(8))
    assert not np.array_equal(split(ring, 2)[0], split(ring, 2)[0])


def test_the_input_is_left_alone():
    ring = encode(np.arange(5.0))
    split(ring, 3)
    assert np.array_equal(ring, encode(np.arange(5.0)))


@pytest.mark.parametrize("parties", [1, 0, -1])
def test_one_party_is_no_sharing(parties):
    with pytest.raises(InvalidInput):
        split(encode(1.0), parties)


def test_other_dtypes_are_refused():
    with pytest.raises(WrongDtype):
        split(np.ones(3), 2)
    with pytest.raises(WrongDtype):
        combine([np.ones(3, np.int64)])


def test_shares_of_different_shapes_are_refused():
    with pytest.raises(WrongShape):
        combine([np.ones(3, np.uint64), np.ones((1, 3), np.uint64)])
    with pytest.raises(InvalidInput):
        combine([])
