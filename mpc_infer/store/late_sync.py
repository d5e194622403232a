"""Transactions that did not wait for the disk are on it a moment later, many with one wait."""

import asyncio
from collections.abc import Awaitable, Callable

from mpc_infer.telemetry import Log

_LOG = Log("store")
SYNC_AFTER_S = 0.05
"""How long after such a transaction the disk is waited for. A loss of power takes at most what was committed in this
time and while the disk was waited for."""


class LateSync:
    """Asks for `Database.sync` soon after it was told that there is something to sync.

    Args:
        sync: waits for the disk, elsewhere than on the event loop.
    """

    def __init__(self, sync: Callable[[], Awaitable[None]]) -> None:
        self._sync = sync
        self._dirty = False
        self._task: asyncio.Task[None] | None = None

    def soon(self) -> None:
        """Something was committed that the disk may not have yet."""
        self._dirty = True
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="late-sync")
            self._task.add_done_callback(self._ended)

    async def close(self) -> None:
        """Wait for what is under way; what was told before is on the disk then."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while self._dirty:
            await asyncio.sleep(SYNC_AFTER_S)
            self._dirty = False
            await self._sync()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.error("the disk may lack what was committed last", exception=error)
