"""Background work with an owner: started once, ended once, and never lost without a word."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from mpc_infer.telemetry import Log

_LOG = Log("coordinator.tasks")


class Owned:
    """Tasks that belong to one object and end with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Start a task. If it fails and nobody awaits it, the log says so."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, grace_s: float = 0.0) -> None:
        """Give the tasks some time, then cancel what is left and wait for its end."""
        if self._tasks and grace_s > 0:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in tuple(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(task, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.debug("a task ended with an error", task=task.get_name(), error=type(error).__name__)
