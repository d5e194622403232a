"""Tasks of jobs: started once, ended once, and never lost without a word. What runs for ever is a rpc Background."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from mpc_infer.errors import InternalError, MpcInferError
from mpc_infer.telemetry import Log

_LOG = Log("coordinator.tasks")


class Owned:
    """Tasks that belong to one object and end with it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> "asyncio.Task[Any]":
        """Start a task. Who awaits it hears its errors; a defect is logged in any case."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def close(self, grace_s: float = 0.0) -> None:
        """Give the tasks some time, then cancel what is left and wait for its end."""
        if self._tasks and grace_s > 0:
            await asyncio.wait(self._tasks, timeout=grace_s)
        while self._tasks:  # the end of one may start another: a lane is free, and a job waits
            task = next(iter(self._tasks))
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(task, return_exceptions=True)
            self._tasks.discard(task)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, MpcInferError) and not isinstance(error, InternalError):
            _LOG.debug("a task ended with an error", task=task.get_name(), code=error.code)
        else:
            _LOG.error("a task failed by a defect", exception=error, task=task.get_name())
