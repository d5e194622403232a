"""Waiting for peers: for a moment without sleeping, since waking up costs more than most answers take, then asleep."""

import os
import select
import time
from collections.abc import Callable

from mpc_infer.engine.tls_connection import Connection
from mpc_infer.errors import PeerTimeout, SessionAborted

SPIN_SECONDS = 200e-6
"""How long a party asks again and again before it sleeps. Not at all where there are more parties than processors: they
may all be here, and the processor belongs to whom one waits for."""
CANCEL_CHECK_SECONDS = 0.1
FLUSH_SECONDS = 0.2


class Waiting:
    """How one link waits.

    Args:
        cancelled: asked every tenth of a second during a wait; an error that it returns is raised.
        parties: of the link.
    """

    def __init__(self, cancelled: Callable[[], SessionAborted | None] | None, parties: int) -> None:
        self._cancelled = cancelled
        self._spin = 0.0 if parties > len(os.sched_getaffinity(0)) else SPIN_SECONDS

    def ready(self, pending: list[Connection], limit: float, step: int) -> list[Connection]:
        """Those of some connections that can go on; waits until there are any.

        Args:
            limit: `time.monotonic()` seconds.
            step: the round, for the message.

        Raises:
            PeerTimeout: nothing came until the limit.
            SessionAborted: cancelled.
        """
        buffered = [connection for connection in pending if connection.buffered]
        if buffered:
            return buffered
        poller, known = select.poll(), {}
        for connection in pending:
            known[connection.fileno()] = connection
            poller.register(connection.fileno(), connection.wants)
        events = self._at_once(poller)
        while not events:
            self.check(pending, limit, step)
            events = poller.poll(self._slice_ms(limit))
        return [known[number] for number, _ in events]

    def check(self, pending: list[Connection], limit: float, step: int) -> None:
        """Raise what `ready` raises, without waiting."""
        self.check_cancelled()
        if time.monotonic() >= limit:
            raise _timeout(pending, step)

    def check_cancelled(self) -> None:
        """Raise what the session was cancelled with."""
        error = self._cancelled() if self._cancelled is not None else None
        if error is not None:
            raise error

    def _at_once(self, poller: select.poll) -> list[tuple[int, int]]:
        # Between two questions the processor is offered to whoever wants it, who may be the peer.
        until = time.monotonic() + self._spin
        while True:
            events = poller.poll(0)
            if events or time.monotonic() >= until:
                return events
            os.sched_yield()

    def _slice_ms(self, limit: float) -> float:
        remaining = limit - time.monotonic()
        seconds = remaining if self._cancelled is None else min(remaining, CANCEL_CHECK_SECONDS)
        return max(1.0, 1000 * seconds)


def wait_for_one(connection: Connection, limit: float) -> None:
    """Sleep until one connection can go on, or to a limit."""
    poller = select.poll()
    poller.register(connection.fileno(), connection.wants)
    poller.poll(max(0.0, 1000 * (limit - time.monotonic())))


def flush_all(connections: list[Connection]) -> None:
    """Send what is queued, as far as it goes within a moment. Never raises."""
    limit = time.monotonic() + FLUSH_SECONDS
    open_ones = [connection for connection in connections if connection.flush() and not connection.sent]
    while open_ones and time.monotonic() < limit:
        poller = select.poll()
        for connection in open_ones:
            poller.register(connection.fileno(), select.POLLOUT)
        poller.poll(1000 * max(0.0, limit - time.monotonic()))
        open_ones = [connection for connection in open_ones if connection.flush() and not connection.sent]


def _timeout(pending: list[Connection], step: int) -> PeerTimeout:
    silent = next((item for item in pending if not item.received), pending[0])
    return PeerTimeout(f"party {silent.peer} did not answer in time in round {step}", party=silent.peer)
