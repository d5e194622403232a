"""An event loop on a thread of its own, on which synchronous code runs coroutines."""

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import Any, TypeVar

from mpc_infer.errors import InternalError

Answer = TypeVar("Answer")
STOP_S = 10.0
LOOK_S = 1.0
"""How often a caller that waits looks whether the loop still lives."""
LONGEST_S = 3 * 3600.0
"""Longest wait for a coroutine. Each has deadlines of its own, of one hour at most: this ends what they missed."""


class LoopThread:
    """Runs coroutines for callers that have no event loop. Safe to call from any thread but its own."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether the loop has ended."""
        return self._loop.is_closed() or not self._thread.is_alive()

    def run(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        """Run a coroutine to its end; an interrupt of the caller cancels it.

        Raises:
            InternalError: the loop was closed, or ended meanwhile, or the coroutine outlived every deadline.
        """
        if self.closed:
            work.close()
            raise InternalError("the client is closed", remedy="make a new one")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return self._wait(future)
        except BaseException:
            future.cancel()
            raise

    def _wait(self, future: "concurrent.futures.Future[Answer]") -> Answer:
        end = time.monotonic() + LONGEST_S
        while time.monotonic() < end:
            done, _ = concurrent.futures.wait({future}, timeout=LOOK_S)
            if done:
                return future.result()
            if self.closed:
                raise InternalError("the client's event loop has ended", remedy="make a new client")
        raise InternalError("a call outlived every deadline", remedy="make a new client")

    def iterate(self, items: AsyncIterator[Answer]) -> Iterator[Answer]:
        """Step through an asynchronous iterator."""

        async def following() -> tuple[bool, Answer | None]:
            try:
                return True, await anext(items)
            except StopAsyncIteration:
                return False, None

        while True:
            there, item = self.run(following())
            if not there or item is None:
                return
            yield item

    def close(self) -> None:
        """Stop the loop and wait for the thread. May be called again."""
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
        finally:
            self._loop.close()
