"""Who waits for a change of which job."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from mpc_infer.errors import Unavailable
from mpc_infer.ids import JobId

MAX_WATCHERS = 1024


class Bell:
    """Rings when a job changes. Rings that nobody waits for are kept: no change is missed between two waits."""

    def __init__(self) -> None:
        self._condition = asyncio.Condition()
        self._rung = True

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the next ring. The first wait returns at once.

        Returns:
            Whether it rang before the time was up.
        """
        async with self._condition:
            try:
                async with asyncio.timeout(max(timeout_s, 0.0)):
                    await self._condition.wait_for(lambda: self._rung)
            except TimeoutError:
                return False
            self._rung = False
            return True

    async def ring(self) -> None:
        """Say that something changed."""
        async with self._condition:
            self._rung = True
            self._condition.notify_all()


class Board:
    """The bells of all watched jobs."""

    def __init__(self) -> None:
        self._bells: dict[JobId, set[Bell]] = {}
        self._count = 0

    @contextmanager
    def watched(self, job_id: JobId) -> Iterator[Bell]:
        """A bell for one job while the block runs.

        Raises:
            Unavailable: too many watch already.
        """
        if self._count >= MAX_WATCHERS:
            raise Unavailable(f"{MAX_WATCHERS} watchers are connected already", remedy="ask with GetJob")
        bell = Bell()
        self._bells.setdefault(job_id, set()).add(bell)
        self._count += 1
        try:
            yield bell
        finally:
            self._count -= 1
            self._bells[job_id].discard(bell)
            if not self._bells[job_id]:
                del self._bells[job_id]

    async def changed(self, job_id: JobId) -> None:
        """Ring every bell of a job."""
        for bell in tuple(self._bells.get(job_id, ())):
            await bell.ring()

    async def all_changed(self) -> None:
        """Ring every bell."""
        for job_id in tuple(self._bells):
            await self.changed(job_id)
