"""Answers are dropped once they are old, again and again, and a broken database ends nothing."""

import asyncio
import os

from mpc_infer import errors
from mpc_infer.clock import SystemClock
from mpc_infer.ids import JobId
from mpc_infer.party import pruning as module
from mpc_infer.store import Admission, Answered, PartyStore

OWNER = "0x" + "aa" * 20
DAY_MS = 86_400_000


def answer(store, number, now_ms):
    job = JobId(number.to_bytes(32, "big"))
    store.admit(os.urandom(16), [Admission(OWNER, job, job, b"r" * 32)])
    store.put_answers([Answered(OWNER, job, b"answer", job)], now_ms)
    return job


async def until_gone(store, job):
    async with asyncio.timeout(20):
        while store.answer(OWNER, job, b"r" * 32) is not None:  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.01)


async def test_old_answers_go_and_young_ones_stay(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.01)
    store, now_ms = PartyStore(tmp_path / "party.sqlite", bytes(32)), SystemClock().now_ms()
    old, young = answer(store, 1, now_ms - 2 * DAY_MS), answer(store, 2, now_ms)
    work = asyncio.create_task(module.pruning(store, SystemClock(), 86_400))
    await until_gone(store, old)

    def broken(before_ms):
        raise errors.StoreError("the disk is gone")

    with monkeypatch.context() as patched:
        patched.setattr(store, "drop_answers", broken)
        async with asyncio.timeout(20):
            while "could not be dropped" not in caplog.text:  # noqa: ASYNC110 - there is no event
                await asyncio.sleep(0.01)
    await until_gone(store, answer(store, 3, now_ms - 2 * DAY_MS))
    assert store.answer(OWNER, young, b"r" * 32) == b"answer"
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    store.close()
