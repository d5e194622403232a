"""Background work that a role cannot do without."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from mpc_infer.errors import InternalError
from mpc_infer.telemetry import Log

_LOG = Log("rpc.background")


class Background:
    """Tasks that run for as long as their role serves.

    One that fails leaves the role half alive: a party, say, that looks at the chain no more. So the failure is logged
    as an error, and `failed` is set: `serve_until_signal` then says NOT_SERVING and ends the role.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: tuple[str, BaseException] | None = None
        self.failed = asyncio.Event()
        """Set when the first task has failed."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        """Start a task. It may return when its owner ends it; it must not raise."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def check(self) -> None:
        """Raise if a task has failed.

        Raises:
            InternalError: so it is.
        """
        if self._failure is not None:
            name, error = self._failure
            raise InternalError(f"background task {name} failed", remedy="see the log, then start it again") from error

    async def close(self) -> None:
        """End all tasks that still run."""
        for task in tuple(self._tasks):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(task, return_exceptions=True)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        _LOG.error("a background task failed", exception=error, task=task.get_name())
        self._failure = self._failure or (task.get_name(), error)
        self.failed.set()
