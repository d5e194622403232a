"""The coordinator is killed while the parties compute: their answers are not lost, and nothing is computed twice."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.process import RoleProcess
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.store import JobState
from tests.integration.conftest import TOLERANCE, Working

MANY = 4096
PARTIES = ("party0", "party1", "party2")


@pytest.fixture
def coordinator(net: Devnet) -> Iterator[RoleProcess]:
    """The coordinator; afterwards it runs again."""
    role = net.role("coordinator")
    yield role
    if not role.alive:
        net.restart("coordinator")


def rows_of(database: Path, query: str, job_id: bytes) -> list[tuple[int]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(query, (job_id,)).fetchall()


def all_began(net: Devnet, job_id: bytes) -> None:
    """Wait until every party has consumed the job's nonce."""
    query = "select 1 from requests where job_id = ?"
    deadline = time.monotonic() + 30
    while not all(rows_of(net.layout.role(name) / "party.sqlite", query, job_id) for name in PARTIES):
        if time.monotonic() > deadline:
            pytest.fail("the session did not begin")
        time.sleep(0.005)


def test_a_coordinator_killed_in_mid_session_fetches_what_the_parties_answered(
    net: Devnet, coordinator: RoleProcess, alice: Client, published: dict[str, TrainedModel], works: Working
) -> None:
    works()
    model = published["digits"]
    rows = np.resize(model.rows, (MANY, model.rows.shape[1]))
    submission = alice.submit(model.name, {"x": rows}, deadline_s=60)
    all_began(net, submission.job_id)
    coordinator.kill()
    database = net.layout.role("coordinator") / "coordinator.sqlite"
    ((state,),) = rows_of(database, "select state from jobs where job_id = ?", submission.job_id)
    assert JobState(state) is JobState.ACCEPTED, "the coordinator was killed too late to show anything"
    net.restart("coordinator")
    result = alice.get(submission)
    assert np.abs(result.outputs["logits"] - model.plain(rows)).max() < TOLERANCE
    alice.wait_anchored(result)
    alice.verify(alice.bundle(result))
