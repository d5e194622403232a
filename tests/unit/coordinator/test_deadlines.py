"""A job is over, and its owner knows, by its deadline; a job that is known is answered after it as before."""

from pathlib import Path

import numpy as np
import pytest

from mpc_infer.clock import SystemClock
from mpc_infer.errors import DeadlineExpired, JobConflict, MpcInferError
from mpc_infer.store import JobState
from mpc_infer.v1 import coordinator_pb2
from tests.unit.coordinator.simulation import IMPORTED, Network, hang

ROWS = np.array([[1.0, 2.0, 3.0]])


async def _stored_in_time(net: Network, deadline_s: float) -> MpcInferError:
    """Run a job that must fail. Its failure was stored by its deadline, on the coordinator's own clock."""
    client = net.client()
    submission = await client.submit("shift", {"x": ROWS}, deadline_s=deadline_s)
    with pytest.raises(MpcInferError) as caught:
        await client.get(submission)
    record = await net.service._floor.ledger.do(lambda store: store.job(submission.job_id))
    assert record.state is JobState.FAILED
    assert record.updated_ms <= submission.prepared.request.deadline
    return caught.value


@pytest.mark.parametrize("silent", [("RunSession",), ("RunSession", "AbortSession")], ids=["lane", "party"])
async def test_a_job_with_a_silent_party_fails_before_its_deadline(tmp_path: Path, silent: tuple[str, ...]) -> None:
    net = Network(tmp_path, clock=SystemClock())
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        net.parties[1].hooks = dict.fromkeys(silent, hang)
        error = await _stored_in_time(net, 4.0)
    assert error.party == 1


async def test_a_job_that_never_gets_a_lane_fails_before_its_deadline(tmp_path: Path) -> None:
    net = Network(tmp_path, clock=SystemClock())
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        net.parties[1].hooks["RunSession"] = hang
        await net.client().submit("shift", {"x": ROWS}, deadline_s=60.0)
        assert isinstance(await _stored_in_time(net, 3.0), DeadlineExpired)


async def test_the_same_bytes_after_the_deadline_give_the_stored_answer(net: Network) -> None:
    submission = await net.client()._jobs.prepare("shift", {"x": ROWS}, "coordinator", 30.0, detach=False)
    message = submission.prepared.message
    first = await net.service.submit(message, net.owner.address)
    net.clock.advance(3600 * 1000)
    again = await net.service.submit(message, net.owner.address)
    assert again.receipt == first.receipt
    message.sealed_inputs[0].ciphertext += b"x"
    with pytest.raises(JobConflict):
        await net.service.submit(message, net.owner.address)


async def test_a_failed_job_is_told_as_failed_after_its_deadline(net: Network) -> None:
    submission = await net.client()._jobs.prepare("shift", {"x": ROWS}, "coordinator", 0.5, detach=False)
    net.parties[1].hooks["RunSession"] = hang
    first = await net.service.submit(submission.prepared.message, net.owner.address)
    net.clock.advance(3600 * 1000)
    again = await net.service.submit(submission.prepared.message, net.owner.address)
    assert again == first
    assert again.state == coordinator_pb2.JOB_STATE_FAILED
