"""The store from the event loop: every call runs on one thread of its own, in order."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mpc_infer.store import CoordinatorStore

Answer = TypeVar("Answer")


class Ledger:
    """Owns the store and its thread: a commit waits for the disk, and the event loop must not."""

    def __init__(self, path: Path, key: bytes) -> None:
        self.store = CoordinatorStore(path, key)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")

    async def do(self, action: Callable[[CoordinatorStore], Answer]) -> Answer:
        """Run an action on the store's thread.

        Raises:
            StoreError: the database failed.
            MpcInferError: what the action raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, action, self.store)

    def close(self) -> None:
        """Finish what is queued, then close the file."""
        self._thread.shutdown(wait=True)
        self.store.close()
