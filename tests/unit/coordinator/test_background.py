"""What runs in the background: it does not fail in silence, forgets what is old, and keeps what is not."""

import asyncio
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.coordinator.tasks import Owned
from mpc_infer.errors import InternalError, JobNotFound, Unavailable
from mpc_infer.rpc.messages import sealing_key_to
from mpc_infer.sharing import SealingKeys
from mpc_infer.v1 import coordinator_pb2
from tests.unit.coordinator.simulation import IMPORTED, Network, until

ROWS = np.array([[1.0, 2.0, 3.0]])


def _errors(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_background_task_that_fails_is_an_error_and_ends_the_role(
    net: Network, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Any:
        raise ValueError("no block at all")

    net.chain.head = broken
    await until(net.background.failed.is_set)
    assert any(record.exc_info for record in _errors(caplog))
    with pytest.raises(InternalError, match="head"):
        net.background.check()


async def test_a_task_of_a_job_that_fails_by_a_defect_is_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def defect() -> None:
        raise ValueError("a defect")

    async def refused() -> None:
        raise Unavailable("too many jobs")

    owned = Owned()
    tasks = [owned.start(defect(), "defect"), owned.start(refused(), "refused")]
    await until(lambda: all(task.done() for task in tasks))
    await owned.close()
    assert [record.exc_info is not None for record in _errors(caplog)] == [True]


async def test_a_party_that_comes_back_with_another_key_is_asked_again(net: Network) -> None:
    before = await net.service.network()
    party = net.parties[1]
    party.keys = SealingKeys.generate()
    assert await net.service.network() == before
    party.lost()
    keys = (await net.service.network()).parties[1].sealing_keys
    assert list(keys) == [sealing_key_to(key) for key in party.keys.public_keys]


async def test_results_are_dropped_after_their_time_and_receipts_are_not(tmp_path: Path) -> None:
    net = Network(tmp_path, keep_results_s=3600.0)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        result = await net.client().infer("shift", {"x": ROWS}, anchored=True)
    net.clock.advance(3601 * 1000)
    async with net.run():
        client, job_id = net.client(), result.job_id
        young = await client.infer("shift", {"x": ROWS})
        await _until_dropped(net, job_id)
        states = [status.state async for status in client._jobs.watch(job_id, 20.0)]
        assert states == ["ANCHORED"]
        assert (await client.bundle(result)).inclusion is not None
        assert (await net.service.job(young.job_id, net.owner.address)).result


async def _until_dropped(net: Network, job_id: bytes) -> None:
    store = net.service._floor.ledger.store
    await until(lambda: store.job(job_id).result is None)
    with pytest.raises(JobNotFound, match="no longer kept"):
        await net.service.job(job_id, net.owner.address)


async def test_models_are_listed_by_name_by_hash_and_in_pages(net: Network) -> None:
    for name, version in (("shift", 2), ("another", 1)):
        await net.client().publish(IMPORTED, name, version)
    wanted = coordinator_pb2.ListModelsRequest
    everything = list((await net.service.models(wanted())).models)
    assert len(everything) == 3
    found: list[Any] = []
    while page := (await net.service.models(wanted(limit=2, after=found[-1].model_hash if found else b""))).models:
        assert len(page) <= 2
        found.extend(page)
    assert found == everything
    one = everything[1].model_hash
    assert [each.model_hash for each in (await net.service.models(wanted(model_hash=one))).models] == [one]
    assert not (await net.service.models(wanted(model_hash=bytes(32)))).models
    assert not (await net.service.models(wanted(model_hash=one, name="nobody"))).models


async def test_what_the_end_of_a_task_starts_ends_with_it() -> None:
    owned, ended = Owned(), []

    async def another() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("another")

    async def first() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            owned.start(another(), "another")
            await asyncio.sleep(0)

    owned.start(first(), "first")
    await asyncio.sleep(0)
    await owned.close()
    assert ended == ["another"]


async def test_a_session_that_is_cancelled_before_its_first_step_keeps_no_job_waiting(net: Network) -> None:
    owned = net.service._jobs._owned
    start = owned.start

    def cancelled(work: Any, name: str) -> Any:
        task = start(work, name)
        if name.startswith("session"):
            task.cancel()
        return task

    owned.start = cancelled
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await net.client().infer("shift", {"x": ROWS})
