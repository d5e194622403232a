"""Which lanes are free: a lane group is the lane of one index at every party, and runs one session at a time."""

import asyncio
from collections import deque
from collections.abc import Callable


class LanePool:
    """Hands out lane groups: to sessions, and to work in the background that makes way for jobs.

    Args:
        lanes: how many there are.
        freed: told whenever a lane was given back.
    """

    def __init__(self, lanes: int, freed: Callable[[], None] = lambda: None) -> None:
        self._count = lanes
        self._free = deque(range(lanes))
        self._background: dict[int, asyncio.Event] = {}
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

    def take_background(self, lane: int) -> asyncio.Event | None:
        """This lane, if it is free now, for work that makes way when the event is set. It must be given back."""
        if lane not in self._free:
            return None
        self._free.remove(lane)
        wanted = self._background[lane] = asyncio.Event()
        return wanted

    def give_back(self, lane: int) -> None:
        """A lane is free again."""
        self._background.pop(lane, None)
        self._free.append(lane)
        self.freed()

    def ask_for_way(self) -> None:
        """Every job that waits too long asks one of those who hold a lane in the background."""
        for wanted in self._background.values():
            if not wanted.is_set():
                wanted.set()
                return
