"""The fleet itself: shares given from outside, what it reports, and that it leaves nothing behind."""

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench.fleet import Fleet
from bench.models import dense, random_weights
from mpc_infer.engine import get_engine
from mpc_infer.errors import ConfigError, MaterialUnusable, PeerFailed, PeerTimeout, Unavailable
from mpc_infer.sharing import decode, encode, split

ROOT = Path(__file__).parents[2]
GRAPH = dense([4, 2])
WEIGHTS = random_weights(GRAPH)
END_SECONDS = 30
ABANDONED = """
import sys, time
from bench.fleet import Fleet
with Fleet(2) as fleet:
    dealer = fleet._dealer._role.pid
    print(dealer, *(child.pid for child in fleet._children.values()), flush=True)
    time.sleep(600)
"""


def shares_of(values, size):
    parts = {name: split(encode(value), size) for name, value in values.items()}
    return [{name: part[rank] for name, part in parts.items()} for rank in range(size)]


def test_shares_and_material_may_come_from_outside(fleets):
    fleet, x = fleets(3), np.arange(8.0).reshape(2, 4)
    fleet.load_shares(GRAPH, shares_of(WEIGHTS, 3))
    material = fleet.prepare(GRAPH, batch=2)
    inference = fleet.infer_shares(GRAPH, shares_of({"x": x}, 3), material)
    expected = x @ decode(encode(WEIGHTS["W0"])) + WEIGHTS["b0"]
    assert np.abs(inference.outputs["z0"] - expected).max() < 1e-3
    with pytest.raises(MaterialUnusable):
        fleet.infer_shares(GRAPH, shares_of({"x": x}, 3), material)


def test_costs_of_material_are_those_of_its_plan(fleets):
    fleet = fleets(2)
    fleet.load(GRAPH, WEIGHTS)
    material, plan = fleet.prepare(GRAPH, batch=5), get_engine("crypten").plan(GRAPH, 5, 2)
    assert (material.material_bytes, material.correction_bytes) == (plan.material_bytes, plan.correction_bytes)
    assert material.offline_ms > 0


def test_a_party_that_has_ended_is_an_entry_among_the_answers():
    with Fleet(2, step_timeout_s=2.0) as fleet:
        fleet.load(GRAPH, WEIGHTS)
        messages = fleet.run_messages(GRAPH, {"x": np.ones((1, 4))}, fleet.prepare(GRAPH, 1))
        fleet.signal(0, signal.SIGKILL)
        gone, other = fleet.outcomes(messages)
        assert isinstance(gone, Unavailable)
        assert gone.party == 0
        assert isinstance(other, PeerFailed | PeerTimeout)
        assert other.party == 0


def test_an_engine_that_is_not_there_is_said():
    with pytest.raises(ConfigError, match="no engine"), Fleet(2, engine="abacus"):
        pass


@pytest.mark.slow
def test_a_killed_benchmark_leaves_no_process_behind():
    parent = subprocess.Popen([sys.executable, "-c", ABANDONED], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert select.select([parent.stdout], [], [], 120)[0]
        handles = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
    finally:
        parent.kill()
        parent.wait(END_SECONDS)
        parent.stdout.close()
    assert len(handles) == 3
    limit = time.monotonic() + END_SECONDS
    for handle in handles:  # readable once its process has ended
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        assert poller.poll(max(0.0, 1000 * (limit - time.monotonic())))
        os.close(handle)
