import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpc_infer.errors import InvalidInput, NotFinite, OutOfRange, WrongDtype, WrongShape
from mpc_infer.sharing import FRAC_BITS, LIMIT, decode, encode

REALS = st.floats(-LIMIT + 0.01, LIMIT - 0.01)
ARRAYS = hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=3, max_side=5), elements=REALS)


@given(ARRAYS)
def test_decoding_undoes_encoding_to_half_a_unit(values):
    ring = encode(values)
    assert ring.dtype == np.uint64
    assert ring.shape == values.shape
    assert ring.flags.c_contiguous
    assert np.all(np.abs(decode(ring) - values) <= 2.0 ** -(FRAC_BITS + 1))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1, 65536),
        (-1, 2**64 - 65536),
        (1.5, 98304),
        (-(2.0**-16), 2**64 - 1),
        (3 * 2.0**-17, 2),  # a tie goes to the even neighbour
        (32767.99998, 2**31 - 1),
        (-32767.99998, 2**64 - 2**31 + 1),
    ],
)
def test_known_encodings(value, expected):
    assert int(encode(value)) == expected


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "uint8", "int32", "int64", "uint64", "bool"]
)
def test_every_plain_dtype_is_encoded(dtype):
    ring = encode(np.array([[0, 1], [1, 0]], dtype=dtype))
    assert decode(ring).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_strided_and_big_endian_arrays_are_encoded():
    values = np.arange(12, dtype=">f4").reshape(3, 4).T
    assert np.array_equal(decode(encode(values)), values)


def test_fractional_bits_are_a_choice():
    assert int(encode(1.0, frac_bits=20)) == 2**20
    assert float(decode(np.array(2**20, np.uint64), frac_bits=20)) == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    with pytest.raises(NotFinite):
        encode(np.array([1.0, value]))


@pytest.mark.parametrize("value", [LIMIT, -LIMIT, LIMIT - 1e-9, 1e300, -1e300, 2**63, -(2**63), 2**64 - 1])
def test_what_does_not_fit_is_refused(value):
    with pytest.raises(OutOfRange):
        encode(np.array([value]))


@pytest.mark.parametrize(
    "values",
    [np.array([1 + 2j]), np.array(["1"]), np.array([None]), np.array([b"1"]), np.array(["2020"], "M8[s]"), [2**70]],
)
def test_other_dtypes_are_refused(values):
    with pytest.raises(WrongDtype):
        encode(values)


def test_long_doubles_are_refused():
    with pytest.raises(WrongDtype):
        encode(np.array([1], np.longdouble))


def test_ragged_lists_are_refused():
    with pytest.raises(WrongShape):
        encode([[1.0], [1.0, 2.0]])


def test_decoding_wants_ring_elements():
    with pytest.raises(WrongDtype):
        decode(np.array([1], np.int64))


@pytest.mark.parametrize("frac_bits", [-1, 47])
def test_fractional_bits_have_limits(frac_bits):
    with pytest.raises(InvalidInput):
        encode(1.0, frac_bits=frac_bits)


def test_an_empty_array_stays_empty():
    assert encode(np.zeros((0, 3))).shape == (0, 3)
