"""What the parties of a session compare before anything is computed, and which of its jobs run."""

import dataclasses
import secrets
import time

import numpy as np
import pytest

from mpc_infer.engine.api import Outcome
from mpc_infer.engine.jobs import JobResult, SessionJob
from mpc_infer.engine.session import SessionSpec, run_session
from mpc_infer.errors import MaterialUnusable, PlanMismatch, Refused, TranscriptMismatch, WrongShape
from mpc_infer.graph import Graph, TensorSpec
from mpc_infer.preprocessing import Material, Plan
from mpc_infer.sharing import encode_tensors, output_context, share_commitment

PLAN = Plan("still", bytes(32), 4, 2, 16, 0, 0, ())
GRAPH = Graph(inputs=(TensorSpec("x", (None, 3)),), outputs=(TensorSpec("x", (None, 3)),), weights=(), nodes=())


class Still:
    """An engine that opens nothing, and gives back what it got."""

    name = "still"

    def __init__(self):
        self.inputs = None

    def run(self, _graph, _model, inputs, *_):
        self.inputs = inputs["x"]
        return Outcome({"y": inputs["x"]}, bytes(32), 0, 0)


@pytest.fixture
def ring(make_ring):
    return make_ring(2)


def run(ring, specs, materials=None):
    engines, material_id = [Still() for _ in specs], secrets.token_bytes(16)
    materials = materials or [Material(PLAN, material_id, []) for _ in specs]

    def session(link):
        spec, engine, material = specs[link.rank], engines[link.rank], materials[link.rank]
        return run_session(link, engine, GRAPH, {}, material, spec, time.monotonic() + 10)

    return ring.outcomes(session), engines


def job(number, rows=1, value=None, terms=b"t" * 32):
    inputs = None if value is None else {"x": np.full((rows, 3), value, np.uint64)}
    return SessionJob(bytes([number]) * 32, rows, terms, inputs)


def spec(ring, *jobs, **changes):
    jobs = jobs or (job(1, 1, 5),)
    return dataclasses.replace(SessionSpec(secrets.token_bytes(16), b"m" * 32, ring.addresses, jobs), **changes)


def pair(ring, ours, theirs):
    session_id = secrets.token_bytes(16)
    return [spec(ring, *ours, session_id=session_id), spec(ring, *theirs, session_id=session_id)]


def opened(results, index):
    shares = [result.jobs[index].share["y"] for result in results]
    return shares[0] + shares[1]


def test_jobs_lie_one_behind_the_other_and_each_has_its_own_commitment(ring):
    specs = pair(ring, [job(1, 1, 5), job(2, 2, 7)], [job(1, 1, 50), job(2, 2, 70)])
    results, engines = run(ring, specs)
    assert engines[0].inputs[:, 0].tolist() == [5, 7, 7, 0]
    np.testing.assert_array_equal(opened(results, 0), np.full((1, 3), 55))
    np.testing.assert_array_equal(opened(results, 1), np.full((2, 3), 77))
    for index, one in enumerate(specs[0].jobs):
        assert results[0].jobs[index].commitments == results[1].jobs[index].commitments
        for rank, result in enumerate(results):
            mine = result.jobs[index]
            context = output_context(specs[0].session_id, one.job_id, ring.addresses[rank])
            assert share_commitment(mine.salt, context, encode_tensors(mine.share)) == mine.commitments[rank]
    # Re-randomised: the shares are not what went in.
    assert (results[0].jobs[0].share["y"] != 5).all()


def test_a_job_that_one_party_refuses_is_zero_everywhere_and_the_others_run(ring):
    results, engines = run(ring, pair(ring, [job(1, 1, 5), job(2, 1, 7)], [job(1, 1), job(2, 1, 70)]))
    assert [engine.inputs[:, 0].tolist() for engine in engines] == [[0, 7, 0, 0], [0, 70, 0, 0]]
    for result in results:
        assert isinstance(result.jobs[0], Refused)
        assert result.jobs[0].party == 1
        assert isinstance(result.jobs[1], JobResult)
    np.testing.assert_array_equal(opened(results, 1), np.full((1, 3), 77))


def test_a_job_of_other_terms_does_not_run_and_the_others_do(ring):
    results, engines = run(
        ring, pair(ring, [job(1, 1, 5), job(2, 1, 7)], [job(1, 1, 50, terms=b"o" * 32), job(2, 1, 70)])
    )
    assert [type(result.jobs[0]) for result in results] == [PlanMismatch] * 2
    assert [result.jobs[0].party for result in results] == [1, 0]
    assert engines[0].inputs[:, 0].tolist() == [0, 7, 0, 0]


def test_where_no_job_runs_nothing_is_evaluated_and_the_material_is_gone(ring):
    materials = [Material(PLAN, b"i" * 16, []) for _ in range(2)]
    results, engines = run(ring, pair(ring, [job(1, 1, 5), job(2)], [job(1), job(2, 1, 7)]), materials)
    assert all(isinstance(one, Refused) for result in results for one in result.jobs)
    assert [engine.inputs for engine in engines] == [None, None]
    for material in materials:
        with pytest.raises(MaterialUnusable):
            material.start()


@pytest.mark.parametrize("field", ["model_hash", "addresses"])
def test_parties_that_were_told_different_things_compute_nothing(ring, field):
    other = ring.addresses[::-1] if field == "addresses" else b"o" * 32
    ours, theirs = pair(ring, [job(1, 1, 5)], [job(1, 1, 5)])
    assert_nothing(run(ring, [ours, dataclasses.replace(theirs, **{field: other})]))


@pytest.mark.parametrize("theirs", [(job(2, 1, 5),), (job(1, 2, 5),), (job(1, 1, 5), job(2, 1, 5))])
def test_parties_that_were_told_different_jobs_or_rows_compute_nothing(ring, theirs):
    results, engines = run(ring, pair(ring, [job(1, 1, 5)], theirs))
    assert all(isinstance(result, Exception) for result in results)
    assert [engine.inputs for engine in engines] == [None, None]


def assert_nothing(outcome):
    results, engines = outcome
    assert any(isinstance(result, PlanMismatch) for result in results)
    assert all(isinstance(result, Exception) for result in results)
    assert [engine.inputs for engine in engines] == [None, None]


def test_shares_that_do_not_fit_are_refused_and_not_spread_over_the_rows(ring):
    wrong = dataclasses.replace(job(1, 2, 5), inputs={"x": np.ones((1, 3), np.uint64)})
    results, _ = run(ring, pair(ring, [wrong], [job(1, 2, 5)]))
    assert any(isinstance(result, WrongShape) for result in results)
    results, _ = run(ring, pair(ring, [job(1, 5, 5)], [job(1, 5, 5)]))
    assert any(isinstance(result, WrongShape) for result in results)


def test_parties_that_heard_different_verdicts_find_out_at_the_end(ring, monkeypatch):
    from mpc_infer.engine import session as module

    honest = module.reasons_against

    def lied_to(jobs, packed, rank):
        reasons = honest(jobs, packed, rank)
        return (*reasons[:-1], Refused("as one party hears it")) if rank else reasons

    monkeypatch.setattr(module, "reasons_against", lied_to)
    results, _ = run(ring, pair(ring, [job(1, 1, 5), job(2, 1, 7)], [job(1, 1, 50), job(2, 1, 70)]))
    assert any(isinstance(result, TranscriptMismatch) for result in results)
    assert all(isinstance(result, Exception) for result in results)
