"""What the parties of a session compare before anything is computed."""

import dataclasses
import secrets
import time

import numpy as np
import pytest

from mpc_infer.engine.api import Outcome
from mpc_infer.engine.session import SessionSpec, run_session
from mpc_infer.errors import PlanMismatch
from mpc_infer.preprocessing import Material, Plan

PLAN = Plan("still", bytes(32), 1, 2, 16, 0, 0, ())


class Still:
    """An engine that opens nothing."""

    name = "still"

    def __init__(self):
        self.ran = False

    def run(self, *_):
        self.ran = True
        return Outcome({"y": np.zeros((2, 3), np.uint64)}, bytes(32), 0, 0)


@pytest.fixture
def ring(make_ring):
    return make_ring(2)


def run(ring, specs):
    engines, material_id = [Still() for _ in specs], secrets.token_bytes(16)

    def session(link):
        material = Material(PLAN, material_id, [])
        spec, engine = specs[link.rank], engines[link.rank]
        return run_session(link, engine, None, {}, {}, material, spec, time.monotonic() + 10)

    return ring.outcomes(session), engines


def spec(ring, **changes):
    fixed = SessionSpec(bytes(range(16)), b"j" * 32, b"m" * 32, ring.addresses, b"t" * 32)
    return dataclasses.replace(fixed, **changes)


def test_parties_that_agree_share_a_sharing_of_zero(ring):
    results, _ = run(ring, [spec(ring), spec(ring)])
    shares = [result.output_share["y"] for result in results]
    assert not (shares[0] + shares[1]).any()
    assert shares[0].all()
    assert results[0].commitments == results[1].commitments


@pytest.mark.parametrize("field", ["job_id", "model_hash", "terms", "addresses"])
def test_parties_that_were_told_different_things_compute_nothing(ring, field):
    other = ring.addresses[::-1] if field == "addresses" else b"o" * 32
    results, engines = run(ring, [spec(ring), spec(ring, **{field: other})])
    assert any(isinstance(result, PlanMismatch) for result in results)
    assert all(isinstance(result, Exception) for result in results)
    assert not any(engine.ran for engine in engines)
