import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mpc_infer.errors import InvalidInput, InvalidRequest, MessageTooLarge, MpcInferError, WrongDtype, WrongShape
from mpc_infer.sharing import decode_tensors, encode_tensors

ARRAYS = hnp.arrays(np.uint64, hnp.array_shapes(min_dims=0, max_dims=4, max_side=3))
TENSORS = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=20), ARRAYS, max_size=4)
SAMPLE = encode_tensors({"b": np.array([[1, 2]], np.uint64), "a": np.array(7, np.uint64)})


def one(name=b"x", dtype=1, shape=(1,), data=b"\0" * 8, count=1):
    head = struct.pack("<H", len(name)) + name + struct.pack(f"<BB{len(shape)}Q", dtype, len(shape), *shape)
    return b"MPT1" + struct.pack("<I", count) + head + data


def test_known_bytes():
    assert SAMPLE.hex() == (
        "4d505431" "02000000"
        "0100" "61" "01" "00" "0700000000000000"
        "0100" "62" "01" "02" "0100000000000000" "0200000000000000" "0100000000000000" "0200000000000000"
    )  # fmt: skip


@given(TENSORS)
def test_decoding_undoes_encoding(tensors):
    data = encode_tensors(tensors)
    found = decode_tensors(data)
    assert sorted(found) == sorted(tensors)
    for name, array in tensors.items():
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)
    assert encode_tensors(found) == data


def test_decoded_arrays_are_aligned_and_writable():
    found = decode_tensors(SAMPLE)["b"]
    found += np.uint64(1)
    assert found.flags.aligned
    assert decode_tensors(SAMPLE)["b"].tolist() == [[1, 2]]


def test_order_and_layout_in_memory_do_not_matter():
    array = np.arange(6, dtype=np.uint64).reshape(2, 3)
    assert encode_tensors({"a": array, "b": array}) == encode_tensors({"b": np.asfortranarray(array), "a": array})


@given(st.integers(0, len(SAMPLE) - 1))
def test_truncated_bytes_are_refused(length):
    with pytest.raises(InvalidRequest):
        decode_tensors(SAMPLE[:length])


@given(st.binary(max_size=200))
@example(b"MPT1" + b"\xff" * 60)
def test_arbitrary_bytes_never_do_anything_else(data):
    try:
        found = decode_tensors(data)
    except MpcInferError:
        return
    assert encode_tensors(found) == data


@given(st.integers(0, len(SAMPLE) - 1), st.integers(1, 255))
def test_a_changed_byte_is_another_value_or_refused(position, change):
    data = bytearray(SAMPLE)
    data[position] ^= change
    try:
        found = decode_tensors(bytes(data))
    except InvalidRequest:
        return
    assert encode_tensors(found) == bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        SAMPLE + b"\0",
        b"MPT2" + SAMPLE[4:],
        one(name=b""),
        one(name=b"\xff"),
        one(name=b"n" * 257),
        one(dtype=0),
        one(dtype=2),
        one(shape=(0,), data=b""),
        one(shape=(2**63, 2), data=b""),
        one(shape=(2**32, 2**32), data=b""),
        one(shape=(1,) * 9),
        one(count=2) + one()[8:],
        one(name=b"b", count=2) + one(name=b"a")[8:],
        b"MPT1" + struct.pack("<I", 2**32 - 1),
    ],
)
def test_malformed_bytes_are_refused(data):
    with pytest.raises(InvalidRequest):
        decode_tensors(data)


def test_limits_are_the_callers():
    with pytest.raises(MessageTooLarge):
        decode_tensors(SAMPLE, max_bytes=len(SAMPLE) - 1)
    with pytest.raises(InvalidRequest):
        decode_tensors(SAMPLE, max_tensors=1)
    assert len(decode_tensors(SAMPLE, max_bytes=len(SAMPLE), max_tensors=2)) == 2


def test_no_tensors_are_a_set_too():
    assert decode_tensors(encode_tensors({})) == {}


@pytest.mark.parametrize("array", [np.zeros((0, 3), np.uint64), np.zeros((1,) * 9, np.uint64)])
def test_empty_and_deep_arrays_are_refused(array):
    with pytest.raises(WrongShape):
        encode_tensors({"x": array})


def test_other_dtypes_are_refused():
    with pytest.raises(WrongDtype):
        encode_tensors({"x": np.zeros(3)})


@pytest.mark.parametrize("name", ["", "n" * 257, "\ud800"])
def test_bad_names_are_refused(name):
    with pytest.raises(InvalidInput):
        encode_tensors({name: np.zeros(1, np.uint64)})
