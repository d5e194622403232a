"""The store from the event loop: a commit waits for the disk, and the event loop must not."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mpc_infer.errors import StoreError
from mpc_infer.ids import JobId
from mpc_infer.store import CoordinatorStore, EndedJob, JobRecord, NewJob, Writer

Answer = TypeVar("Answer")
MAX_GROUP = 256
"""Jobs that are written in one transaction."""


@dataclass(frozen=True)
class _Entry:
    job: NewJob | EndedJob
    durable: bool
    written: "asyncio.Future[bool]"


class Ledger:
    """Owns the store and its threads: one writes, in order, another reads meanwhile.

    What is to be written of jobs while a commit is under way goes into the next one together: under load many jobs
    share a commit, and a single job waits for no other. A commit waits for the disk where one of its jobs must; the
    others are on it a moment later.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.store = CoordinatorStore(path, key)
        self._writer = Writer(self.store)
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-read")
        self._queue: list[_Entry] = []
        self._writing: asyncio.Task[None] | None = None

    async def do(self, action: Callable[[CoordinatorStore], Answer]) -> Answer:
        """Run an action on the thread that writes.

        Raises:
            StoreError: the database failed.
            MpcInferError: what the action raises.
        """
        return await self._writer.do(action, self.store)

    async def read(self, action: Callable[[CoordinatorStore], Answer]) -> Answer:
        """Run an action that only reads: it waits for no commit, and sees every one that is over.

        Raises:
            StoreError: the database failed.
            MpcInferError: what the action raises.
        """
        return await asyncio.get_running_loop().run_in_executor(self._reader, action, self.store)

    async def sync(self) -> None:
        """Wait until the disk has all that was written.

        Raises:
            StoreError: the disk failed.
        """
        await self._writer.sync()

    async def accept(self, job: NewJob, *, durable: bool = True) -> JobRecord | None:
        """Accept a job; or give back the one that was accepted under the same id with the same contents.

        Args:
            durable: when this returns, a loss of power does not take the job.

        Raises:
            StoreError: the database failed.
            JobConflict: the id was used with other contents, or by another owner.
        """
        if await self._written(job, durable):
            return None
        return await self.read(lambda store: store.same_job(job))

    async def end(self, job: EndedJob) -> None:
        """Store that an accepted job is DONE or FAILED. A loss of power within a moment takes that: the job is found
        unfinished then, and the parties give their answers again.

        Raises:
            StoreError: the database failed, or the job is unknown or over already.
        """
        if not await self._written(job, durable=False):
            raise StoreError("the job is unknown, or is over already")

    async def _written(self, job: NewJob | EndedJob, durable: bool) -> bool:
        written = asyncio.get_running_loop().create_future()
        self._queue.append(_Entry(job, durable, written))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(), name="ledger")
        # Shielded: what others wait for is written whoever of us goes away.
        return await asyncio.shield(written)

    async def _write(self) -> None:
        try:
            while self._queue:
                group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
                await self._write_group(group)
        finally:
            self._writing = None

    async def _write_group(self, group: list[_Entry]) -> None:
        durable = any(entry.durable for entry in group)
        try:
            if durable:
                refused = await self._writer.do(_write_all, self.store, group, durable)
            else:
                refused = await self._writer.unsynced(_write_all, self.store, group, durable, small=len(group) == 1)
        except StoreError as error:
            if len(group) > 1:  # one entry's fault must not be the others'
                for each in group:
                    await self._write_group([each])
                return
            _settle(group[0].written, error)
            return
        for entry in group:
            _settle(entry.written, entry.job.job_id not in refused)

    async def close(self) -> None:
        """Finish what is queued, then close the file."""
        if self._writing is not None:
            await self._writing
        await self._writer.close()
        self._reader.shutdown(wait=True)
        self.store.close()


def _write_all(store: CoordinatorStore, entries: list[_Entry], durable: bool) -> frozenset[JobId]:
    accepted = [entry.job for entry in entries if isinstance(entry.job, NewJob)]
    ended = [entry.job for entry in entries if isinstance(entry.job, EndedJob)]
    return store.write_jobs(accepted, ended, durable=durable)


def _settle(written: "asyncio.Future[bool]", outcome: bool | StoreError) -> None:
    if written.cancelled():
        return
    if isinstance(outcome, StoreError):
        written.set_exception(outcome)
    else:
        written.set_result(outcome)
