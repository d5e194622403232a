"""Which lanes are free: a lane group is the lane of one index at every party, and runs one session at a time."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from mpc_infer.coordinator.material import Shape


def nobody(shape: Shape) -> bool:
    """No job needs what is done in the background."""
    return False


@dataclass(eq=False)
class Work:
    """Work in the background that holds a lane.

    Attributes:
        needed_by: whether a job of some shape would have to do the same first, if it had the lane now.
        wanted: set when the work should make way.
        awaited: a job waits for the work itself, and has not asked another lane for way.
    """

    needed_by: Callable[[Shape], bool]
    wanted: asyncio.Event = field(default_factory=asyncio.Event)
    awaited: bool = False

    def release(self, *, call_off: bool) -> None:
        """The job that waited for it does so no more; and the work, if it is to be called off, makes way."""
        self.awaited = False
        if call_off:
            self.wanted.set()


class LanePool:
    """Hands out lane groups: to sessions, and to work in the background that makes way for jobs.

    Args:
        lanes: how many there are.
        freed: told whenever a lane was given back.
    """

    def __init__(self, lanes: int, freed: Callable[[], None] = lambda: None) -> None:
        self._count = lanes
        self._free = deque(range(lanes))
        self._background: dict[int, Work] = {}
        self.freed = freed

    @property
    def count(self) -> int:
        """How many lanes there are."""
        return self._count

    def take(self) -> int | None:
        """A free lane for a session, if there is one. It must be given back."""
        return self._free.popleft() if self._free else None

    def put_back(self, lane: int) -> None:
        """A lane was not needed after all."""
        self._free.appendleft(lane)

    def take_background(self, lane: int, needed_by: Callable[[Shape], bool] = nobody) -> asyncio.Event | None:
        """This lane, if it is free now, for work that makes way when the event is set. It must be given back.

        Args:
            needed_by: whether a job of some shape would have to do the same work first. Asked while the work goes on.
        """
        if lane not in self._free:
            return None
        self._free.remove(lane)
        work = self._background[lane] = Work(needed_by)
        return work.wanted

    def give_back(self, lane: int) -> None:
        """A lane is free again."""
        self._background.pop(lane, None)
        self._free.append(lane)
        self.freed()

    def ask_for_way(self, shape: Shape) -> Work | None:
        """Every job that waits too long asks one of those who hold a lane in the background.

        Args:
            shape: of the job.

        Returns:
            Work that the job needs itself and no other job waits for: it should wait for that, and release it then.
            None: other work was asked to make way, if there is any.
        """
        going_on = [work for work in self._background.values() if not work.wanted.is_set()]
        needed = [work for work in going_on if work.needed_by(shape)]
        for work in needed:
            if not work.awaited:
                work.awaited = True
                return work
        for work in going_on:
            if work not in needed:
                work.wanted.set()
                break
        return None
