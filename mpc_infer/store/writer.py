"""A store from an event loop: a commit may wait for the disk, and an event loop must not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mpc_infer.store.base import Store
from mpc_infer.store.late_sync import LateSync

Answer = TypeVar("Answer")


class Writer:
    """One thread for a store's transactions, since they take turns anyway.

    Args:
        store: whose transactions they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self._late = LateSync(self.sync)

    async def do(self, call: Callable[..., Answer], *arguments: Any) -> Answer:
        """Do something on the thread. Raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)

    async def unsynced(self, call: Callable[..., Answer], *arguments: Any, small: bool) -> Answer:
        """A transaction that waits for no disk, which has it a moment later. Raises what it raises.

        Args:
            call: the transaction.
            arguments: its own.
            small: it costs less than to ask a thread: it is done here, unless it would wait for another one.
        """
        answer = call(*arguments) if small and not self._store.busy else await self.do(call, *arguments)
        self._late.soon()
        return answer

    async def sync(self) -> None:
        """Wait until the disk has all that was written.

        Raises:
            StoreError: the disk failed.
        """
        await self.do(self._store.sync)

    async def flush(self) -> None:
        """Wait until everything that was written is on the disk. No transaction is under way any more."""
        await self._late.close()

    async def close(self) -> None:
        """The same, and end the thread."""
        await self.flush()
        self._thread.shutdown(wait=True)
