"""What is written of jobs: many in one transaction, each with its own outcome."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.errors import JobConflict, StoreError
from mpc_infer.ids import Address, JobId, ModelHash, PartySetId
from mpc_infer.store import EndedJob, JobState, NewJob, ReceiptRecord

OWNER = Address("0xann")


def _new(number: int, digest: bytes = b"same") -> NewJob:
    return NewJob(JobId(bytes([number]) * 32), OWNER, ModelHash(bytes(32)), digest, b"request", 1)


def _done(number: int, digest: bytes | None = None) -> EndedJob:
    job_id = JobId(bytes([number]) * 32)
    receipt = ReceiptRecord(job_id, digest or bytes([number]) * 32, b"signed", PartySetId(bytes(32)))
    return EndedJob(job_id, 2, result=b"result", receipt=receipt)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    found = Ledger(tmp_path / "coordinator.sqlite", bytes(32))
    yield found
    await found.close()


async def test_what_comes_at_once_shares_few_commits(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    groups = []
    write = ledger.store.write_jobs
    monkeypatch.setattr(
        ledger.store, "write_jobs", lambda new, ended, **more: groups.append(len(new)) or write(new, ended, **more)
    )
    assert await asyncio.gather(*(ledger.accept(_new(number)) for number in range(50))) == [None] * 50
    assert sum(groups) == 50
    assert len(groups) <= 3


async def test_every_entry_has_its_own_outcome(ledger: Ledger) -> None:
    await ledger.accept(_new(1))
    await ledger.accept(_new(2))
    await ledger.accept(_new(4))
    await ledger.end(_done(2))
    known, fresh, ended, again = await asyncio.gather(
        ledger.accept(_new(1)),
        ledger.accept(_new(3)),
        ledger.end(_done(4)),
        ledger.end(_done(2)),
        return_exceptions=True,
    )
    assert not isinstance(known, BaseException | None)
    assert known.state is JobState.ACCEPTED
    assert (fresh, ended) == (None, None)
    assert isinstance(again, StoreError)
    with pytest.raises(JobConflict):
        await ledger.accept(_new(1, b"other"))


async def test_an_entry_that_the_database_refuses_does_not_undo_its_neighbours(ledger: Ledger) -> None:
    for number in (1, 2, 3):
        await ledger.accept(_new(number))
    await ledger.end(_done(1))
    outcomes = await asyncio.gather(ledger.end(_done(2, bytes([1]) * 32)), ledger.end(_done(3)), return_exceptions=True)
    assert isinstance(outcomes[0], StoreError)
    assert outcomes[1] is None
    states = [(await ledger.read(lambda store, n=n: store.job(JobId(bytes([n]) * 32)))).state for n in (2, 3)]
    assert states == [JobState.ACCEPTED, JobState.DONE]
