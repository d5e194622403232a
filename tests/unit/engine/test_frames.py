"""Frames: fixed bytes, read strictly; aborts carry our words only."""

import pytest

from mpc_infer.engine.frames import (
    HEADER_BYTES,
    MAX_REASON,
    ElementType,
    Header,
    Kind,
    decode_abort,
    encode_abort,
)
from mpc_infer.errors import (
    InternalError,
    MaterialUnusable,
    PeerTimeout,
    PlanMismatch,
    SessionAborted,
    Unavailable,
    UnexpectedFrame,
)

HEADER = Header(Kind.DATA, 2, ElementType.INT64, bytes(range(16)), 7, (3, 4), 96)


def test_round_trip():
    assert HEADER_BYTES == 64
    assert Header.from_bytes(HEADER.to_bytes()) == HEADER


def test_known_bytes():
    expected = "4d50493102020202" + bytes(range(16)).hex() + "070000000300000004000000" + "00" * 20
    assert HEADER.to_bytes().hex() == expected + "6000000000000000"


@pytest.mark.parametrize(("offset", "value"), [(0, 0), (4, 0), (4, 9), (6, 3), (7, 8)])
def test_malformed(offset, value):
    data = bytearray(HEADER.to_bytes())
    data[offset] = value
    with pytest.raises(UnexpectedFrame):
        Header.from_bytes(data)


@pytest.mark.parametrize("dims", [(1 << 32,), (1, 1 << 40), (-1,)])
def test_an_axis_that_does_not_fit(dims):
    with pytest.raises(InternalError, match="does not fit"):
        Header(Kind.DATA, 0, ElementType.INT64, bytes(16), 0, dims, 8).to_bytes()


def test_too_many_axes():
    with pytest.raises(InternalError):
        Header(Kind.DATA, 0, ElementType.INT64, bytes(16), 0, (1,) * 8, 8).to_bytes()


@pytest.mark.parametrize("kind", [PeerTimeout, PlanMismatch, MaterialUnusable, UnexpectedFrame])
def test_an_abort_keeps_kind_and_blame(kind):
    error = decode_abort(encode_abort(kind("what happened", party=2)), sender=1)
    assert type(error) is kind
    assert error.party == 2
    assert "what happened" in error.message


def test_an_abort_without_blame_names_its_sender():
    error = decode_abort(encode_abort(Unavailable("the dealer is away")), sender=1)
    assert type(error) is SessionAborted
    assert error.party == 1
    assert "UNAVAILABLE" in error.message


def test_foreign_errors_say_nothing():
    payload = encode_abort(ValueError("secret 12345"))
    assert b"12345" not in payload
    assert decode_abort(payload, 0).party == 0


def test_an_abort_is_short_and_printable():
    assert len(encode_abort(PeerTimeout("x" * 5000, party=1))) <= MAX_REASON
    assert "\x1b" not in decode_abort(bytes([255, 3]) + b"???" + b"\x1b[31m\xff", 0).message


@pytest.mark.parametrize("payload", [b"", b"\x01"])
def test_a_malformed_abort_is_one_too(payload):
    assert isinstance(decode_abort(payload, 3), UnexpectedFrame)
