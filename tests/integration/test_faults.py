"""Parties that go away or stand still in the middle: the job fails in time and names them, and the next one works."""

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.client.jobs import Submission
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.process import RoleProcess
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.errors import MpcInferError
from mpc_infer.store import JobState
from tests.integration.conftest import Working, back_at_work

DEADLINE_S = 8.0
MANY = 4096


@pytest.fixture
def party(net: Devnet) -> Iterator[RoleProcess]:
    """Party 1; afterwards it runs again, whatever happened to it."""
    role = net.party_process(1)
    yield role
    role.signal(signal.SIGCONT)
    net.restart("party1")


def many_rows(model: TrainedModel) -> np.ndarray:
    return np.resize(model.rows, (MANY, model.rows.shape[1]))


def lane_of(role: RoleProcess) -> int:
    """The process of a party's lane."""
    children = Path(f"/proc/{role.pid}/task/{role.pid}/children").read_text().split()
    lanes = [int(pid) for pid in children if b"mpc_infer.party.lane" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    assert len(lanes) == 1
    return lanes[0]


def failure(net: Devnet, client: Client, submission: Submission) -> MpcInferError:
    """The error of a job that must fail, and that the coordinator wrote down as failed before its deadline."""
    with pytest.raises(MpcInferError) as caught:
        client.get(submission)
    database = net.layout.role("coordinator") / "coordinator.sqlite"
    query = "select state, updated_ms from jobs where job_id = ?"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        ((state, ended_ms),) = connection.execute(query, (submission.prepared.job_id,)).fetchall()
    assert JobState(state) is JobState.FAILED
    assert ended_ms <= submission.prepared.request.deadline
    return caught.value


def fails(net: Devnet, client: Client, model: TrainedModel, rows: np.ndarray) -> MpcInferError:
    """Run a job that must fail."""
    return failure(net, client, client.submit(model.name, {"x": rows}, deadline_s=DEADLINE_S))


def after_it_runs(
    net: Devnet, client: Client, model: TrainedModel, rows: np.ndarray, hit: Callable[[], None]
) -> MpcInferError:
    """Submit, wait until the session runs, then hit; return the job's error."""
    submission = client.submit(model.name, {"x": rows}, deadline_s=DEADLINE_S)
    for status in client.watch(submission, timeout_s=DEADLINE_S):
        if status.state == "RUNNING":
            break
    hit()
    return failure(net, client, submission)


@pytest.mark.parametrize("whole", [True, False], ids=["party", "lane"])
def test_a_party_stopped_before_the_session(
    net: Devnet, party: RoleProcess, alice: Client, published: dict[str, TrainedModel], works: Working, whole: bool
) -> None:
    works()
    target = None if whole else lane_of(party)
    if target is None:
        party.signal(signal.SIGSTOP)
    else:
        os.kill(target, signal.SIGSTOP)
    error = fails(net, alice, published["digits"], published["digits"].rows[:1])
    assert error.party == 1, error
    party.signal(signal.SIGCONT)
    back_at_work(works)


def test_a_party_stopped_in_mid_session(
    net: Devnet, party: RoleProcess, alice: Client, published: dict[str, TrainedModel], works: Working
) -> None:
    works()
    model = published["digits"]
    error = after_it_runs(net, alice, model, many_rows(model), lambda: party.signal(signal.SIGSTOP))
    assert error.party == 1, error
    party.signal(signal.SIGCONT)
    back_at_work(works)


def test_a_party_killed_in_mid_session(
    net: Devnet, party: RoleProcess, alice: Client, published: dict[str, TrainedModel], works: Working
) -> None:
    works()
    model = published["digits"]
    error = after_it_runs(net, alice, model, many_rows(model), party.kill)
    assert error.party == 1, error
    net.restart("party1")
    back_at_work(works)


def test_a_lane_killed_comes_back_by_itself(
    party: RoleProcess, alice: Client, published: dict[str, TrainedModel], works: Working
) -> None:
    works()
    os.kill(lane_of(party), signal.SIGKILL)
    back_at_work(works)
    assert party.alive


@pytest.fixture
def away(net: Devnet) -> Iterator[Callable[[str], None]]:
    """Kills a role; afterwards it runs again, whatever the test found."""
    killed: list[str] = []

    def kill(name: str) -> None:
        killed.append(name)
        net.role(name).kill()

    yield kill
    for name in killed:
        net.restart(name)


def test_a_dealer_that_is_away(
    net: Devnet, away: Callable[[str], None], alice: Client, published: dict[str, TrainedModel], works: Working
) -> None:
    works()
    away("dealer")
    error = fails(net, alice, published["digits"], many_rows(published["digits"])[:777])
    # Refused at once or after a while, that is up to the network; but it is the dealer that is named.
    assert "the dealer" in error.message, error
    net.restart("dealer")
    back_at_work(works)


def test_a_coordinator_that_was_killed_keeps_its_jobs(
    net: Devnet, away: Callable[[str], None], alice: Client, published: dict[str, TrainedModel], works: Working
) -> None:
    rows = published["digits"].rows[:2]
    submission = alice.submit("digits", {"x": rows})
    before = alice.get(submission)
    away("coordinator")
    net.restart("coordinator")
    after = alice.get(submission)
    assert after.receipt == before.receipt
    alice.wait_anchored(after)
    alice.verify(alice.bundle(after))
    works()
