"""The link: rounds, large frames, bad frames, lost peers, and the next session after each."""

import contextlib
import dataclasses
import secrets
import socket
import time

import numpy as np
import pytest

from mpc_infer.engine.frames import HEADER_BYTES, ElementType, Header, Kind
from mpc_infer.engine.tls_link import TlsLink
from mpc_infer.errors import (
    InternalError,
    MessageTooLarge,
    NotPermitted,
    PeerFailed,
    PeerTimeout,
    SessionAborted,
    UnexpectedFrame,
)


def swap(link, shape=(3, 2), dtype=np.int64):
    return link.exchange(np.full(shape, link.rank, dtype))


def works(ring):
    ring.begin()
    for arrays in ring.call(swap):
        assert [int(array.flat[0]) for array in arrays] == list(range(len(ring.links)))
    ring.call(lambda link: link.end())


@pytest.mark.parametrize("size", [2, 3, 4])
def test_exchange(make_ring, size):
    ring = make_ring(size)
    for _ in range(3):
        works(ring)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 3, 4), (3, 0, 2)])
def test_types_and_shapes(make_ring, dtype, shape):
    ring = make_ring(2)
    ring.begin()
    for arrays in ring.call(lambda link: swap(link, shape, dtype)):
        assert all(array.shape == shape and array.dtype == dtype for array in arrays)


def test_messages_differ_by_receiver(make_ring):
    ring = make_ring(3)
    ring.begin()
    received = ring.call(
        lambda link: link.exchange_bytes([f"{link.rank}>{to}".encode() for to in range(3)], max_bytes=8)
    )
    assert received == [[f"{sender}>{to}".encode() for sender in range(3)] for to in range(3)]


def test_large_frames_both_ways_do_not_block(make_ring):
    ring = make_ring(3, step_timeout_s=30.0)
    ring.begin(60)
    for arrays in ring.call(lambda link: swap(link, (1 << 20,))):
        assert [int(array.sum()) for array in arrays] == [0, 1 << 20, 2 << 20]


def test_costs_are_counted(make_ring):
    ring = make_ring(3)
    ring.begin()
    ring.call(swap)
    ring.call(lambda link: link.exchange_bytes([b"12345"] * 3, max_bytes=5))
    for link in ring.links:
        assert link.counters.rounds == 2
        assert link.counters.bytes_sent == link.counters.bytes_received == 2 * (2 * HEADER_BYTES + 48 + 5)


def test_limits_of_the_sender(make_ring):
    ring = make_ring(2)
    ring.begin()
    with pytest.raises(MessageTooLarge):
        ring.links[0].exchange(np.zeros((1 << 23) + 1, np.int64))
    with pytest.raises(MessageTooLarge):
        ring.links[0].exchange_bytes([b"12", b"12"], max_bytes=1)
    with pytest.raises(InternalError):
        ring.links[0].exchange(np.zeros(1, np.float64))


def test_a_round_outside_a_session_is_a_defect(make_ring):
    with pytest.raises(InternalError):
        make_ring(2).links[0].exchange(np.zeros(1, np.int64))


CORRECT = {"kind": Kind.DATA, "sender": 2, "dtype": ElementType.INT64, "step": 0, "dims": (3, 2), "length": 48}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", Kind.HELLO),
        ("sender", 1),
        ("dtype", ElementType.UINT64),
        ("dtype", ElementType.BYTES),
        ("step", 1),
        ("dims", (2, 3)),
        ("dims", (6,)),
        ("length", 40),
        ("length", 1 << 40),
        ("session_id", bytes(16)),
    ],
)
def test_a_wrong_frame_aborts_everywhere(make_ring, field, value):
    ring = make_ring(3)
    session_id = ring.begin()
    fields = {**CORRECT, "session_id": session_id, field: value}
    header = Header(**fields).to_bytes()

    def work(link):
        if link.rank != 2:
            return swap(link)
        for connection in link._meeting.connections.values():
            connection.queue(header + bytes(48))
            connection.flush()
        # The others' frames of this round may have come before they saw the bad one. The next round does not.
        return [swap(link) for _ in range(2)]

    errors = ring.outcomes(work)
    assert all(isinstance(error, UnexpectedFrame) for error in errors[:2]), errors
    assert all(error.party == 2 for error in errors[:2])
    assert isinstance(errors[2], SessionAborted)
    works(ring)


def test_bytes_that_are_no_frame_abort(make_ring):
    ring = make_ring(2)
    ring.begin()

    def work(link):
        if link.rank == 0:
            return swap(link)
        link._meeting.connections[0].queue(b"x" * 64)
        return link._meeting.connections[0].flush()

    assert isinstance(ring.outcomes(work)[0], UnexpectedFrame)
    works(ring)


def test_shapes_that_differ_abort(make_ring):
    ring = make_ring(2)
    ring.begin()
    errors = ring.outcomes(lambda link: swap(link, (3 + link.rank,)))
    assert all(isinstance(error, UnexpectedFrame) for error in errors)
    works(ring)


def test_a_reason_reaches_everybody(make_ring):
    ring = make_ring(3)
    ring.begin()

    def work(link):
        if link.rank == 1:
            return link.abort(NotPermitted("party 1 has had enough"))
        return swap(link)

    errors = ring.outcomes(work)
    for error in (errors[0], errors[2]):
        assert isinstance(error, SessionAborted)
        assert "had enough" in error.message
        assert error.party == 1
    works(ring)


def test_a_silent_peer_is_named_by_everybody(make_ring):
    ring = make_ring(3, step_timeout_s=0.5)
    ring.begin()
    errors = ring.outcomes(swap, ranks=[0, 2])
    assert all(isinstance(error, PeerTimeout) and error.party == 1 for error in errors), errors
    works(ring)


def test_the_sessions_deadline_ends_a_wait(make_ring):
    ring = make_ring(2, step_timeout_s=60.0)
    ring.begin(0.5)
    (error,) = ring.outcomes(swap, ranks=[0])
    assert isinstance(error, PeerTimeout)
    assert error.party == 1


def test_a_peer_that_hangs_up_is_named(make_ring):
    ring = make_ring(3)
    ring.begin()

    def work(link):
        if link.rank == 1:
            return [item.close() for item in link._meeting.connections.values()]
        return swap(link)

    errors = ring.outcomes(work)
    assert all(isinstance(errors[rank], PeerFailed) and errors[rank].party == 1 for rank in (0, 2)), errors
    works(ring)


def test_a_peer_that_never_comes_is_named(make_ring):
    ring = make_ring(3, step_timeout_s=0.6)
    session_id = secrets.token_bytes(16)
    errors = ring.outcomes(lambda link: link.begin(session_id, time.monotonic() + 5), ranks=[0, 2])
    assert all(isinstance(error, PeerTimeout) and error.party == 1 for error in errors), errors
    works(ring)


def test_who_still_waits_hears_that_the_session_is_over(make_ring):
    ring = make_ring(3, step_timeout_s=20.0)
    session_id = secrets.token_bytes(16)

    def work(link):
        seconds = 0.5 if link.rank == 0 else 20.0
        link.begin(session_id, time.monotonic() + seconds)

    errors = ring.outcomes(work, ranks=[0, 2])
    assert all(isinstance(error, PeerTimeout) and error.party == 1 for error in errors), errors
    assert "party 0 aborted" in errors[1].message
    works(ring)


def test_parties_in_different_sessions_do_not_meet(make_ring):
    ring = make_ring(2, step_timeout_s=0.6)
    errors = ring.outcomes(lambda link: link.begin(secrets.token_bytes(16), time.monotonic() + 5))
    assert all(isinstance(error, PeerTimeout) for error in errors)
    works(ring)


def test_a_party_that_starts_again_is_met_again(make_ring):
    ring = make_ring(3)
    works(ring)
    ring.links[1].close()
    ring.links[1] = TlsLink(ring.configs[1])
    works(ring)


def test_a_late_party_is_waited_for(make_ring):
    ring = make_ring(2)
    session_id = secrets.token_bytes(16)

    def work(link):
        if link.rank == 0:
            time.sleep(0.4)
        link.begin(session_id, time.monotonic() + 5)

    assert ring.outcomes(work) == [None, None]


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_a_party_that_is_ahead_is_not_lost(make_ring, size):
    # Party 0 has met both and sends its first frame while party 1 still waits for party 2.
    ring = make_ring(3)
    session_id = secrets.token_bytes(16)

    def work(link):
        if link.rank == 2:
            time.sleep(0.3)
        link.begin(session_id, time.monotonic() + 5)
        if link.rank == 1:
            link._meeting.advance()
        time.sleep(0.2 * link.rank)
        if link.rank == 1:
            link._meeting.advance()
        messages = link.exchange_bytes([bytes(size)] * 3, max_bytes=size)
        return [len(message) for message in messages], len(swap(link))

    assert ring.call(work) == [([size] * 3, 3)] * 3


def test_a_forgotten_session_is_given_up_by_the_next(make_ring):
    ring = make_ring(2)
    ring.begin()
    works(ring)


def test_cancelling_ends_a_wait(make_ring):
    ring = make_ring(2)
    ring.links[0].close()
    ring.links[0] = TlsLink(ring.configs[0], cancelled=lambda: SessionAborted("the operator said so"))
    session_id = secrets.token_bytes(16)
    (error,) = ring.outcomes(lambda link: link.begin(session_id, time.monotonic() + 5), ranks=[0])
    assert "operator" in str(error)


@pytest.mark.parametrize("data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"])
def test_strangers_do_not_disturb(make_ring, data):
    ring = make_ring(2)
    strangers = [socket.create_connection(ring.configs[rank].listen) for rank in (0, 1) for _ in range(5)]
    for stranger in strangers:
        stranger.sendall(data)
    works(ring)
    for stranger in strangers:
        stranger.close()


@pytest.mark.parametrize("wrong", ["role", "authority", "identity"])
def test_a_wrong_certificate_is_not_met(make_ring, wrong):
    ring, other = make_ring(2, step_timeout_s=0.8), make_ring(2)
    credentials = {
        "role": ring.credentials(1, role="client"),
        "authority": other.credentials(1),
        "identity": ring.credentials(0),
    }[wrong]
    ring.links[1].close()
    ring.links[1] = TlsLink(dataclasses.replace(ring.configs[1], credentials=credentials))
    session_id = secrets.token_bytes(16)
    errors = ring.outcomes(lambda link: link.begin(session_id, time.monotonic() + 5))
    assert isinstance(errors[0], PeerTimeout)
    assert errors[0].party == 1
    assert isinstance(errors[1], SessionAborted)


def test_silent_strangers_do_not_keep_a_peer_out(make_ring):
    ring = make_ring(2)
    with contextlib.ExitStack() as stack:
        for _ in range(17):
            stack.enter_context(socket.create_connection(ring.configs[0].targets[0]))
        session_id = secrets.token_bytes(16)
        outcomes = ring.outcomes(lambda link: link.begin(session_id, time.monotonic() + 4))
    assert outcomes == [None, None]
