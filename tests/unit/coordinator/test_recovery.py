"""The coordinator dies while a job is under way: what the parties answered is fetched, and nothing runs twice."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.client.jobs import Submission
from mpc_infer.errors import SessionAborted, Unavailable
from tests.unit.coordinator.simulation import BIAS, IMPORTED, Network, Party, hang, until

ROWS = np.array([[1.0, 2.0, 3.0]])


async def _submit(net: Network, delivery: str = "coordinator") -> Submission:
    await net.client().publish(IMPORTED, "shift", 1)
    return await net.client().submit("shift", {"x": ROWS}, delivery=delivery)


async def _answer_and_say_nothing(party: Party, request: Any) -> Any:
    """A party whose answer the coordinator does not live to hear."""
    await party.on_RunSession(request)
    return await hang(party, request)


@pytest.mark.parametrize("delivery", ["coordinator", "client"])
async def test_what_all_parties_answered_is_fetched_after_a_restart(tmp_path: Path, delivery: str) -> None:
    net = Network(tmp_path)
    for party in net.parties:
        party.hooks["RunSession"] = _answer_and_say_nothing
    async with net.run():
        submission = await _submit(net, delivery)
        await until(lambda: all(party.answers for party in net.parties))
    for party in net.parties:
        party.hooks.clear()
    sessions = len(net.hall.commitments)
    async with net.run():
        result = await net.client().get(submission)
        np.testing.assert_array_equal(result.outputs["y"], ROWS + BIAS)
        await net.client().wait_anchored(result, timeout_s=20.0)
    assert len(net.hall.commitments) == sessions


async def test_a_job_that_a_party_did_not_answer_fails_and_is_not_run_again(tmp_path: Path) -> None:
    net = Network(tmp_path)
    for party in net.parties:
        party.hooks["RunSession"] = hang
    async with net.run():
        submission = await _submit(net)
        await until(lambda: all("RunSession" in party.calls for party in net.parties))
    for party in net.parties:
        party.hooks.clear()
    async with net.run():
        with pytest.raises(SessionAborted):
            await net.client().get(submission)
        assert not any(party.answers for party in net.parties)
        await net.client().infer("shift", {"x": ROWS})


async def test_jobs_that_shared_a_session_are_fetched_each_by_itself(tmp_path: Path) -> None:
    net = Network(tmp_path, batching={"max_delay_ms": 200.0, "max_rows": 2})
    for party in net.parties:
        party.hooks["RunSession"] = _answer_and_say_nothing
    async with net.run():
        submissions = [await _submit(net), await net.client().submit("shift", {"x": 2 * ROWS})]
        await until(lambda: all(len(party.answers) == 2 for party in net.parties))
        assert [rows for rows, _ in net.parties[0].sessions] == [2]
    for party in net.parties:
        party.hooks.clear()
    async with net.run():
        for submission, inputs in zip(submissions, (ROWS, 2 * ROWS), strict=True):
            np.testing.assert_array_equal((await net.client().get(submission)).outputs["y"], inputs + BIAS)
    assert len(net.parties[0].sessions) == 1


async def test_a_job_whose_row_was_lost_is_answered_when_it_is_sent_again(tmp_path: Path) -> None:
    net = Network(tmp_path)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        client = net.client()
        submission = await client._jobs.prepare("shift", {"x": ROWS}, "coordinator", 30.0, detach=False)
        first = client._jobs.checked(submission, await client._jobs.send(submission))
    net.config.coordinator.database.unlink()
    async with net.run():
        again = net.client()._jobs
        result = again.checked(submission, await again.send(submission))
        assert result.receipt == first.receipt
        assert len(net.parties[0].sessions) == 1


async def test_a_party_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    async def unreachable(party: Party, request: Any) -> Any:
        raise Unavailable("starting")

    net = Network(tmp_path)
    for party in net.parties:
        party.hooks["RunSession"] = _answer_and_say_nothing
    async with net.run():
        submission = await _submit(net)
        await until(lambda: all(party.answers for party in net.parties))
    for party in net.parties:
        party.hooks["RunSession"] = unreachable
        party.calls.clear()
    async with net.run():
        same = asyncio.create_task(net.service.submit(submission.prepared.message, net.owner.address))
        await until(lambda: all("RunSession" in party.calls for party in net.parties))
        for party in net.parties:
            party.hooks.clear()
        assert (await same).job_id == submission.job_id
        assert (await net.client().get(submission)).outputs["y"].shape == (1, 3)


async def test_a_recovered_job_belongs_to_its_contents(tmp_path: Path) -> None:
    net = Network(tmp_path)
    for party in net.parties:
        party.hooks["RunSession"] = _answer_and_say_nothing
    async with net.run():
        submission = await _submit(net)
        await until(lambda: all(party.answers for party in net.parties))
    for party in net.parties:
        party.hooks.clear()
    async with net.run():
        stored = await net.service._floor.ledger.do(lambda store: store.job(submission.job_id))
        assert submission.prepared.message.sealed_inputs[0].ciphertext not in stored.request
        assert (await net.client().get(submission)).receipt.receipt.job_id == submission.job_id
