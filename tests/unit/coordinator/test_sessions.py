"""Jobs of several owners in one session: each has its own receipt, its own deadline and its own failure."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.errors import CommitmentMismatch, DeadlineExpired, ModelInactive, SessionAborted
from mpc_infer.evidence.eip712 import Receipt
from mpc_infer.identity.signer import Signer
from mpc_infer.rpc.status import error_of
from mpc_infer.v1 import coordinator_pb2
from tests.unit.coordinator.simulation import BIAS, IMPORTED, Network, Party, fall, until


class Crowd:
    """Jobs that wait together: the lane is held by a first job until `let_go`."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.gate = asyncio.Event()
        self.tasks: list[asyncio.Task[coordinator_pb2.Job]] = []
        self.owners: list[Signer] = []
        self.messages: list[Any] = []

    async def gather(self, rows: Sequence[int], deadlines: Sequence[float] = ()) -> None:
        """Hold the lane, then let a job of a new owner wait for each number of rows."""

        async def held(party: Party, request: Any) -> Any:
            await self.gate.wait()
            return await party.on_RunSession(request)

        self.net.parties[0].hooks["RunSession"] = held
        await self._send(1, 30.0)
        await until(lambda: "RunSession" in self.net.parties[0].calls)
        self.net.parties[0].hooks.clear()
        for index, count in enumerate(rows):
            await self._send(count, deadlines[index] if deadlines else 30.0)
        await until(lambda: len(self.net.service._jobs._dispatch._queue) == len(rows))

    async def _send(self, rows: int, deadline_s: float) -> None:
        owner = Signer.generate()
        inputs = {"x": np.full((rows, 3), float(len(self.tasks)))}
        submission = await self.net.client(owner)._jobs.prepare(
            "shift", inputs, "coordinator", deadline_s, detach=False
        )
        self.owners.append(owner)
        self.messages.append(submission)
        self.tasks.append(asyncio.create_task(self.net.service.submit(submission.prepared.message, owner.address)))

    async def answers(self) -> list[coordinator_pb2.Job]:
        """What became of the jobs that waited."""
        self.gate.set()
        return list(await asyncio.gather(*self.tasks))[1:]

    def checked(self, index: int, job: coordinator_pb2.Job) -> Any:
        """An answer as its owner checks it."""
        client = self.net.client(self.owners[index + 1])
        return client._jobs.checked(self.messages[index + 1], job)

    @property
    def sessions(self) -> list[tuple[int, int]]:
        """Rows and jobs of every session after the first."""
        return [(rows, len(jobs)) for rows, jobs in self.net.parties[1].sessions[1:]]


@pytest.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    network = Network(tmp_path, batching={"max_rows": 64})
    async with network.run():
        await network.client().publish(IMPORTED, "shift", 1)
        yield Crowd(network)


async def test_jobs_of_several_owners_share_a_session_and_each_has_its_receipt(crowd: Crowd) -> None:
    await crowd.gather([1, 2, 1, 1])
    answers = await crowd.answers()
    assert crowd.sessions == [(8, 4)]
    for index, job in enumerate(answers):
        result = crowd.checked(index, job)
        np.testing.assert_array_equal(result.outputs["y"], np.full((len(result.outputs["y"]), 3), index + 1.0) + BIAS)
    receipts = [Receipt.from_words(job.receipt.receipt) for job in answers]
    assert len({receipt.job_id for receipt in receipts}) == 4
    assert len({job.session_id for job in answers}) == 1
    assert len({receipt.output_commitment for receipt in receipts}) == 4


async def test_a_neighbour_that_one_party_refuses_gets_the_reason_and_the_others_run(crowd: Crowd) -> None:
    await crowd.gather([1, 1, 1])
    refused = crowd.messages[2].job_id
    crowd.net.parties[1].refuse[refused] = CommitmentMismatch("the share does not open its commitment")
    answers = await crowd.answers()
    assert [job.state == coordinator_pb2.JOB_STATE_DONE for job in answers] == [True, False, True]
    error = error_of(answers[1].problem)
    assert (type(error), error.party) == (CommitmentMismatch, 1)
    assert crowd.sessions == [(4, 3)]
    crowd.checked(0, answers[0])
    crowd.checked(2, answers[2])


async def test_jobs_that_one_party_refuses_altogether_fail_at_once_with_its_reasons(crowd: Crowd) -> None:
    await crowd.gather([1, 1])
    reasons = [CommitmentMismatch("no"), ModelInactive("retired")]
    crowd.net.parties[2].refuse.update(zip([each.job_id for each in crowd.messages[1:]], reasons, strict=True))
    errors = [error_of(job.problem) for job in await crowd.answers()]
    assert [(type(error), error.party) for error in errors] == [(CommitmentMismatch, 2), (ModelInactive, 2)]
    assert crowd.net.parties[0].calls.count("AbortSession") == 1


async def test_jobs_that_all_parties_refuse_fail_with_that_and_nobody_is_blamed(crowd: Crowd) -> None:
    await crowd.gather([1, 1])
    for party in crowd.net.parties:
        party.refuse.update({message.job_id: ModelInactive("retired") for message in crowd.messages[1:]})
    for job in await crowd.answers():
        error = error_of(job.problem)
        assert (type(error), error.party) == (ModelInactive, None)


async def test_a_session_that_fails_fails_all_its_jobs_and_the_next_works(crowd: Crowd) -> None:
    await crowd.gather([1, 1])
    crowd.net.parties[2].hooks["RunSession"] = fall
    errors = [error_of(job.problem) for job in await crowd.answers()]
    assert all(isinstance(error, SessionAborted) and error.party == 2 for error in errors)
    crowd.net.parties[2].hooks.clear()
    await crowd.net.client().infer("shift", {"x": np.ones((1, 3))})


async def test_one_answer_that_does_not_check_out_fails_its_own_job_only(crowd: Crowd) -> None:
    async def twisted(party: Party, request: Any) -> Any:
        response = await party.on_RunSession(request)
        opening = response.answers[1].done.opening
        opening.share = opening.share[:-1] + bytes([opening.share[-1] ^ 1])
        return response

    await crowd.gather([1, 1, 1, 1, 1])
    crowd.net.parties[1].hooks["RunSession"] = twisted
    answers = await crowd.answers()
    states = [job.state for job in answers]
    assert states.count(coordinator_pb2.JOB_STATE_FAILED) == 1
    error = error_of(answers[1].problem)
    assert (type(error), error.party) == (CommitmentMismatch, 1)


async def test_a_job_in_a_hurry_is_not_put_together_with_others(crowd: Crowd) -> None:
    await crowd.gather([1, 1, 1], deadlines=[30.0, 0.9, 30.0])
    answers = await crowd.answers()
    assert all(job.state == coordinator_pb2.JOB_STATE_DONE for job in answers)
    assert sorted(crowd.sessions) == [(1, 1), (2, 2)]


async def test_a_large_job_runs_alone_and_as_it_is(crowd: Crowd) -> None:
    await crowd.gather([65, 1, 1])
    await crowd.answers()
    assert sorted(crowd.sessions) == [(2, 2), (65, 1)]


async def test_jobs_wait_for_company_as_long_as_is_configured(tmp_path: Path) -> None:
    net = Network(tmp_path, batching={"max_delay_ms": 300.0, "max_rows": 4})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        clients = [net.client(Signer.generate()) for _ in range(4)]
        inputs = {"x": np.ones((1, 3))}
        await asyncio.gather(*(client.infer("shift", inputs) for client in clients[:3]))
        assert [(rows, len(jobs)) for rows, jobs in net.parties[0].sessions] == [(4, 3)]
        await clients[3].infer("shift", inputs)
        await asyncio.gather(*(client.infer("shift", inputs) for client in clients))
        assert [(rows, len(jobs)) for rows, jobs in net.parties[0].sessions[1:]] == [(1, 1), (4, 4)]


async def test_batching_can_be_turned_off(tmp_path: Path) -> None:
    net = Network(tmp_path, batching={"max_rows": 1})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await asyncio.gather(*(net.client().infer("shift", {"x": np.ones((rows, 3))}) for rows in (1, 3, 1)))
    assert sorted((rows, len(jobs)) for rows, jobs in net.parties[0].sessions) == [(1, 1), (1, 1), (3, 1)]


async def test_a_deadline_that_passes_in_the_queue_touches_no_other_job(crowd: Crowd) -> None:
    await crowd.gather([1, 1], deadlines=[0.4, 30.0])
    first = await crowd.tasks[1]
    assert isinstance(error_of(first.problem), DeadlineExpired)
    answers = await crowd.answers()
    assert answers[1].state == coordinator_pb2.JOB_STATE_DONE
