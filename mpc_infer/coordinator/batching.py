"""Which jobs run together: the queue, and what is taken from it when a lane becomes free.

One session runs one model. It takes waiting jobs of that model, one of each owner in turn, as many as their rows fit;
an owner that was served goes behind the others. So one owner's many jobs do not keep another's waiting, and no model
or large job is passed over twice. Jobs that must be over soon run alone: a session ends with the earliest
deadline of its jobs, and nobody's job shall fail by a neighbour's haste.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from mpc_infer.coordinator.accept import AcceptedJob
from mpc_infer.coordinator.collect import Collected
from mpc_infer.errors import Unavailable
from mpc_infer.ids import Address, ModelHash

MAX_JOBS = 256
"""Jobs of one session: as many as a party takes."""


@dataclass(frozen=True)
class Batching:
    """How jobs are put together.

    Attributes:
        max_rows: rows of a session of several jobs.
        max_delay_s: how long a job waits for company although a lane is free.
    """

    max_rows: int = 64
    max_delay_s: float = 0.0


@dataclass(frozen=True, eq=False)
class Place:
    """A job's place in the queue.

    Attributes:
        late: from then on it must be over too soon to be put together with others, on the event loop's clock.
        ripe: when it has waited long enough for company, on the event loop's clock.
        started: told when its session begins.
        outcome: its checked answer, or why there is none.
    """

    job: AcceptedJob
    late: float
    ripe: float
    started: Callable[[], Awaitable[None]] = field(repr=False)
    outcome: "asyncio.Future[Collected]" = field(repr=False)

    @property
    def model(self) -> ModelHash:
        """The model that it is for."""
        return self.job.request.model_hash

    @property
    def rows(self) -> int:
        """Its rows."""
        return self.job.request.rows


class Queue:
    """Jobs that wait for a lane, by owner, each owner's in the order they came."""

    def __init__(self, rules: Batching, max_waiting: int) -> None:
        self._rules = rules
        self._max_waiting = max_waiting
        self._owners: dict[Address, list[Place]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __contains__(self, place: Place) -> bool:
        return place in self._owners.get(place.job.request.owner, ())

    def enter(self, place: Place) -> None:
        """Take a place.

        Raises:
            Unavailable: the queue is full.
        """
        if self._count >= self._max_waiting:
            raise Unavailable(f"{self._count} jobs wait already", remedy="send the same request again later")
        self._owners.setdefault(place.job.request.owner, []).append(place)
        self._count += 1

    def leave(self, place: Place) -> bool:
        """Give a place up. Returns whether it was still waiting."""
        owner = place.job.request.owner
        if place not in self._owners.get(owner, ()):
            return False
        self._owners[owner].remove(place)
        self._count -= 1
        if not self._owners[owner]:
            del self._owners[owner]
        return True

    def due(self) -> float | None:
        """When the next job has waited long enough for company; None: nothing waits."""
        return min((place.ripe for place in self._all()), default=None)

    def take(self, now: float) -> list[Place]:
        """The jobs of the next session, in the order of its rows; none, if all may still wait for company.

        Args:
            now: on the event loop's clock.
        """
        for first in self._heads():
            if places := self._together(first, now):
                for place in places:
                    self.leave(place)
                self._behind(places)
                return places
        return []

    def _all(self) -> Iterator[Place]:
        return (place for places in self._owners.values() for place in places)

    def _heads(self) -> Iterator[Place]:
        """The first waiting job of every model, owners in turn."""
        seen: set[ModelHash] = set()
        for place in self._all():
            if place.model not in seen:
                seen.add(place.model)
                yield place

    def _together(self, first: Place, now: float) -> list[Place]:
        """A session of a model, or nothing where it may wait for more."""
        if first.late <= now or first.rows >= self._rules.max_rows:
            return [first]
        places, full = self._gathered(first, now)
        ripe = full or any(place.ripe <= now for place in self._all() if place.model == first.model)
        return places if ripe else []

    def _gathered(self, first: Place, now: float) -> tuple[list[Place], bool]:
        """One job of every owner, then another, until no more fits. Also returns whether a job was left behind."""
        own = first.job.request.owner
        owners = [*(owner for owner in self._owners if owner != own), own]
        waiting = [deque(self._company(owner, first, now)) for owner in owners]
        places, left, full = [first], self._rules.max_rows - first.rows, False
        while waiting := [queue for queue in waiting if queue]:
            for queue in waiting:
                place = queue.popleft()
                if place.rows > left or len(places) == MAX_JOBS:
                    full = True
                    queue.clear()  # an owner's jobs keep their order
                else:
                    places.append(place)
                    left -= place.rows
        return places, full or left == 0

    def _company(self, owner: Address, first: Place, now: float) -> list[Place]:
        """An owner's jobs that may join."""
        same = (place for place in self._owners[owner] if place.model == first.model and place is not first)
        return [place for place in same if place.late > now]

    def _behind(self, places: list[Place]) -> None:
        """Owners that were served wait behind the others."""
        for owner in dict.fromkeys(place.job.request.owner for place in places):
            if (waiting := self._owners.pop(owner, None)) is not None:
                self._owners[owner] = waiting


def session_rows(rows: int, max_rows: int) -> int:
    """Rows of a session: the next power of two, so that material of few sizes fits; large jobs run as they are."""
    padded = 1 << (rows - 1).bit_length()
    return padded if padded <= max_rows else rows
