"""The chain's newest block, read in the background so that no job waits for the chain."""

import asyncio
import time
from typing import Protocol

from mpc_infer.chain.records import Block
from mpc_infer.errors import ChainUnavailable, MpcInferError
from mpc_infer.telemetry import Log

_LOG = Log("coordinator.head")
MAX_KNOWN = 4096


class HeadReader(Protocol):
    """What reads the chain; blocking."""

    def head(self) -> Block:
        """The newest block."""


class Head:
    """The block that jobs are judged at.

    A job of an owner who just published a model, or was just admitted to one, must not be judged at a block from
    before: so the first job of every (model, owner) reads the head afresh, and all later ones use what is cached.
    """

    def __init__(self, reader: HeadReader, poll_s: float, stale_s: float) -> None:
        self._reader = reader
        self._poll_s = poll_s
        self._stale_s = stale_s
        self._block: int | None = None
        self._read_at = 0.0
        self._known: dict[tuple[bytes, str], None] = {}

    async def block_for(self, model_hash: bytes, owner: str) -> int:
        """The block at which to judge a job.

        Raises:
            ChainUnavailable: the chain does not answer, and what is cached is too old.
        """
        if (model_hash, owner) not in self._known:
            return await self.refresh()
        if self._block is None or time.monotonic() - self._read_at > self._stale_s:
            return await self.refresh()
        return self._block

    def worked(self, model_hash: bytes, owner: str) -> None:
        """A job of this owner with this model was accepted by the parties: the cached block will do from now on."""
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[(model_hash, owner)] = None

    def failed(self, model_hash: bytes, owner: str) -> None:
        """A job was refused: the next one reads the head afresh."""
        self._known.pop((model_hash, owner), None)

    async def refresh(self) -> int:
        """Read the newest block now.

        Raises:
            ChainUnavailable: the chain does not answer.
        """
        try:
            block = await asyncio.to_thread(self._reader.head)
        except MpcInferError as error:
            raise ChainUnavailable(f"the chain's head cannot be read: {error.message}") from error
        self._block = max(block.number, self._block or 0)
        self._read_at = time.monotonic()
        return self._block

    async def poll(self) -> None:
        """Read the head again and again: the body of a background task."""
        while True:
            try:
                await self.refresh()
            except ChainUnavailable as error:
                _LOG.warning("the head could not be read", reason=error.message)
            await asyncio.sleep(self._poll_s)
