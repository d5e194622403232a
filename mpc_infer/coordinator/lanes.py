"""Which session runs where: a lane group is the lane of one index at every party, and runs one session at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mpc_infer.errors import DeadlineExpired, Unavailable
from mpc_infer.ids import Address


@dataclass
class Ticket:
    """A place in the queue; `lane` is set when it is called. `wanted` is set when a job wants it to make way."""

    owner: Address
    lane: "asyncio.Future[int]" = field(repr=False)
    wanted: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


class LanePool:
    """Hands out lane groups, to one owner after the other, each owner's jobs in the order they came."""

    def __init__(self, lanes: int, max_waiting: int) -> None:
        self._free = deque(range(lanes))
        self._max_waiting = max_waiting
        self._waiting: dict[Address, deque[Ticket]] = {}
        self._count = 0
        self._background: list[Ticket] = []

    @property
    def waiting(self) -> int:
        """How many tickets wait for a lane."""
        return self._count

    def enter(self, owner: Address) -> Ticket:
        """Take a place in the queue; a free lane is assigned at once. Every ticket must be used or left.

        Raises:
            Unavailable: the queue is full.
        """
        ticket = Ticket(owner, asyncio.get_running_loop().create_future())
        if self._free:
            ticket.lane.set_result(self._free.popleft())
            return ticket
        if self._count >= self._max_waiting:
            raise Unavailable(f"{self._count} jobs wait already", remedy="send the same request again later")
        self._waiting.setdefault(owner, deque()).append(ticket)
        self._count += 1
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give up a ticket, or the lane that it has. May be called again to no effect."""
        queue = self._waiting.get(ticket.owner)
        if ticket.lane.done():
            self._give_back(ticket)
        elif queue is not None and ticket in queue:
            queue.remove(ticket)
            self._count -= 1
            if not queue:
                del self._waiting[ticket.owner]
            ticket.lane.cancel()

    @asynccontextmanager
    async def lane(self, ticket: Ticket, timeout_s: float, patience_s: float = 0.0) -> AsyncIterator[int]:
        """Wait for the ticket's lane and hold it.

        Args:
            ticket: from `enter`.
            timeout_s: longest wait.
            patience_s: what holds a lane in the background is let go on for so long, then told to make way.

        Raises:
            DeadlineExpired: no lane became free in time.
        """
        try:
            if not await _called(ticket, min(patience_s, timeout_s)):
                self._ask_for_way()
                await _called(ticket, timeout_s - patience_s)
            if not ticket.lane.done():
                raise DeadlineExpired("the deadline passed while the job waited for a free lane")
            yield ticket.lane.result()
        finally:
            self.leave(ticket)

    def try_take(self, lane: int) -> Ticket | None:
        """A ticket for this lane if it is free now: for work that must make way for jobs."""
        if lane not in self._free:
            return None
        self._free.remove(lane)
        ticket = Ticket(Address(""), asyncio.get_running_loop().create_future())
        ticket.lane.set_result(lane)
        self._background.append(ticket)
        return ticket

    def _ask_for_way(self) -> None:
        """Every job that waits too long asks one of those who hold a lane in the background."""
        for ticket in self._background:
            if not ticket.wanted.is_set():
                ticket.wanted.set()
                return

    def _give_back(self, ticket: Ticket) -> None:
        if ticket.lane.cancelled():
            return
        lane = ticket.lane.result()
        ticket.lane = asyncio.get_running_loop().create_future()
        ticket.lane.cancel()
        if ticket in self._background:
            self._background.remove(ticket)
        following = self._next()
        if following is None:
            self._free.append(lane)
        else:
            following.lane.set_result(lane)

    def _next(self) -> Ticket | None:
        if not self._waiting:
            return None
        owner, queue = next(iter(self._waiting.items()))
        ticket = queue.popleft()
        self._count -= 1
        del self._waiting[owner]
        if queue:  # behind the other owners
            self._waiting[owner] = queue
        return ticket


async def _called(ticket: Ticket, timeout_s: float) -> bool:
    if not ticket.lane.done():
        await asyncio.wait({ticket.lane}, timeout=max(timeout_s, 0.0))
    return ticket.lane.done()
