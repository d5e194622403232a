"""Messages between a party and its lanes."""

import asyncio
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer import errors
from mpc_infer.party.frames import (
    MAX_FRAME,
    Message,
    decode,
    encode,
    error_message,
    raise_error,
    read_frame,
    receive_frame,
)

SCALARS = st.one_of(st.text(max_size=20), st.integers(-(2**53), 2**53), st.none())
MESSAGES = st.builds(
    Message,
    kind=st.text(max_size=10),
    number=st.integers(0, 2**40),
    fields=st.dictionaries(st.text(max_size=8), SCALARS, max_size=5),
    blobs=st.dictionaries(st.text(max_size=8), st.binary(max_size=100), max_size=5),
)


@given(MESSAGES)
def test_what_is_encoded_is_decoded(message):
    assert decode(encode(message)[4:]) == message


@given(st.binary(max_size=200))
def test_anything_else_is_refused_cleanly(data):
    with pytest.raises(errors.InternalError):
        decode(data)


@given(MESSAGES, st.integers(0, 400))
def test_a_truncated_frame_is_refused(message, cut):
    body = encode(message)[4:]
    if cut < len(body):
        with pytest.raises(errors.InternalError):
            decode(body[:cut])


def test_frames_pass_through_a_socket_one_after_the_other():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        messages = [Message("a", 1, {"x": 1}, {"b": b"1" * 1000}), Message("b", 2)]
        ours.sendall(b"".join(map(encode, messages)))
        assert [receive_frame(theirs), receive_frame(theirs)] == messages
        ours.close()
        with pytest.raises(EOFError):
            receive_frame(theirs)


async def test_the_asyncio_side_reads_the_same():
    reader = asyncio.StreamReader()
    reader.feed_data(encode(Message("a", 7, blobs={"b": b"xyz"})))
    assert await read_frame(reader) == Message("a", 7, blobs={"b": b"xyz"})


async def test_a_frame_that_claims_too_much_is_refused():
    reader = asyncio.StreamReader()
    reader.feed_data(struct.pack("<I", MAX_FRAME + 1))
    with pytest.raises(errors.InternalError, match="claims"):
        await read_frame(reader)


def test_errors_keep_code_remedy_and_party():
    error = errors.PeerFailed("gone", remedy="look", party=2)
    with pytest.raises(errors.PeerFailed, match="gone") as caught:
        raise_error(decode(encode(error_message(3, error))[4:]))
    assert (caught.value.remedy, caught.value.party) == ("look", 2)


@pytest.mark.parametrize("read", [Message.text, Message.integer, Message.real, Message.blob])
def test_a_field_that_is_missing_or_of_another_type_is_refused(read):
    with pytest.raises(errors.InternalError, match="valid x"):
        read(Message("run", fields={"x": None}), "x")


def test_blobs_are_not_shown():
    assert "secret" not in repr(Message("run", blobs={"key": b"secret"}))
