"""A peer that sends a little at a time holds nobody beyond the session's deadline."""

import time

import numpy as np

from mpc_infer.engine.frames import ElementType, Header, Kind
from mpc_infer.errors import PeerTimeout, SessionAborted

SIZE = 1 << 20


def drip(link, session_id, until):
    """The right header, and then a byte of the payload now and then."""
    connection = link._meeting.connections[0]
    header = Header(Kind.DATA, 1, ElementType.UINT64, session_id, 0, (SIZE,), 8 * SIZE)
    connection.queue(header.to_bytes())
    while connection.flush() and time.monotonic() < until:
        connection.queue(b"\0")
        time.sleep(0.0002)


def test_bytes_that_trickle_in_end_with_the_session(make_ring):
    ring = make_ring(2, step_timeout_s=60.0)
    session_id = ring.begin(0.5)
    until = time.monotonic() + 30

    def work(link):
        if link.rank == 1:
            return drip(link, session_id, until)
        return link.exchange(np.zeros(SIZE, np.uint64))

    error, dripped = ring.outcomes(work)
    assert dripped is None
    assert isinstance(error, PeerTimeout)
    assert error.party == 1
    assert time.monotonic() < until


def test_a_session_is_called_off_while_bytes_trickle_in(make_ring):
    ring = make_ring(2, step_timeout_s=60.0)
    session_id = ring.begin(40)
    until = time.monotonic() + 30
    calls = []

    def cancelled():
        calls.append(0)
        return SessionAborted("called off") if len(calls) > 5 else None

    ring.links[0]._waiting._cancelled = cancelled

    def work(link):
        if link.rank == 1:
            return drip(link, session_id, until)
        return link.exchange(np.zeros(SIZE, np.uint64))

    error, dripped = ring.outcomes(work)
    assert dripped is None
    assert isinstance(error, SessionAborted)
    assert time.monotonic() < until
