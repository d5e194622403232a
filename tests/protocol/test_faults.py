"""What goes wrong is noticed by everybody, says who and why, and leaves the next session unharmed."""

import secrets
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from bench.fleet import Fleet, Prepared, prepare_message, with_blob
from bench.models import dense, random_weights
from mpc_infer.errors import (
    MaterialUnusable,
    PeerFailed,
    PeerTimeout,
    PlanMismatch,
    SessionAborted,
    TranscriptMismatch,
    UnexpectedFrame,
)
from mpc_infer.sharing import encode_tensors

from .misbehaviour import damage, disturb

GRAPH = dense([6, 5, 2])
WEIGHTS = random_weights(GRAPH)
X = {"x": np.ones((3, 6))}


@pytest.fixture(scope="module")
def trio():
    with Fleet(3, step_timeout_s=2.0) as fleet:
        fleet.load(GRAPH, WEIGHTS)
        yield fleet


def works(fleet: Fleet) -> None:
    """The next session is right."""
    hidden = np.maximum(X["x"] @ WEIGHTS["W0"] + WEIGHTS["b0"], 0)
    outputs = fleet.infer(GRAPH, X).outputs
    assert np.abs(outputs["z1"] - hidden @ WEIGHTS["W1"] - WEIGHTS["b1"]).max() < 1e-3


def session(fleet: Fleet, material: Prepared):
    return fleet.outcomes(fleet.run_messages(GRAPH, X, material))


@pytest.mark.parametrize("how", ["shape", "dtype", "step", "session", "sender"])
def test_a_wrong_frame_ends_the_session_everywhere(trio, how):
    material = trio.prepare(GRAPH, 3)
    trio.do([1], disturb, how=how, number=3)
    errors = session(trio, material)
    assert all(isinstance(error, SessionAborted) for error in errors), errors
    assert any(isinstance(errors[rank], UnexpectedFrame) for rank in (0, 2)), errors
    works(trio)


def test_parties_that_saw_different_openings_part(trio):
    material = trio.prepare(GRAPH, 3)
    trio.do([1], disturb, how="transcript", number=1)
    errors = session(trio, material)
    assert all(isinstance(error, TranscriptMismatch) for error in errors), errors
    works(trio)


def interrupt(fleet: Fleet, number: signal.Signals) -> list:
    """Stop or kill party 1 in the middle of a session."""
    material = fleet.prepare(GRAPH, 3)
    fleet.do([1], disturb, how="die", number=4)
    fleet.start(fleet.run_messages(GRAPH, X, material), range(3))
    time.sleep(0.3)
    fleet.signal(1, number)
    return fleet.finish([0, 2], seconds=30)


def restart(fleet: Fleet, rank: int) -> None:
    fleet.restart(rank)
    fleet.load(GRAPH, WEIGHTS)


def test_a_killed_party_is_named_and_the_next_session_works(trio):
    errors = interrupt(trio, signal.SIGKILL)
    assert all(isinstance(error, PeerFailed) and error.party == 1 for error in errors), errors
    restart(trio, 1)
    works(trio)


def test_a_stopped_party_is_named_within_the_deadline_and_the_next_session_works(trio):
    errors = interrupt(trio, signal.SIGSTOP)
    assert all(isinstance(error, PeerTimeout) and error.party == 1 for error in errors), errors
    # While it is stopped, nothing hangs.
    trio.start([prepare_message(GRAPH, 3, seconds=1.0)] * 3, [0, 2])
    errors = trio.finish([0, 2], seconds=30)
    assert all(isinstance(error, PeerTimeout) and error.party == 1 for error in errors), errors
    restart(trio, 1)
    works(trio)


def test_a_stopped_party_that_goes_on_finds_its_session_over(trio):
    material = trio.prepare(GRAPH, 3)
    trio.signal(1, signal.SIGSTOP)
    trio.start(trio.run_messages(GRAPH, X, material), range(3))
    errors = trio.finish([0, 2], seconds=30)
    assert all(isinstance(error, PeerTimeout) and error.party == 1 for error in errors), errors
    trio.signal(1, signal.SIGCONT)
    (error,) = trio.finish([1], seconds=30)
    assert isinstance(error, SessionAborted)
    works(trio)


def test_material_is_used_once(trio):
    material = trio.prepare(GRAPH, 3)
    assert not any(isinstance(result, Exception) for result in session(trio, material))
    assert all(isinstance(error, MaterialUnusable) for error in session(trio, material))
    works(trio)


def test_material_of_a_failed_session_is_gone(trio):
    material = trio.prepare(GRAPH, 3)
    trio.do([0], disturb, how="shape", number=1)
    session(trio, material)
    assert all(isinstance(error, MaterialUnusable) for error in session(trio, material))
    works(trio)


def test_a_party_with_another_plan_is_noticed_before_anything_is_made(trio):
    other = dense([6, 5, 2], last="Relu")
    trio.load(other, WEIGHTS)
    material_id = secrets.token_bytes(16)
    graphs = [GRAPH, GRAPH, other]
    errors = trio.outcomes([prepare_message(graph, 3, material_id=material_id, seconds=20.0) for graph in graphs])
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    assert errors[0].party == 2
    works(trio)


@pytest.mark.parametrize("field", ["job", "model", "addresses"])
def test_a_party_in_another_job_is_noticed(trio, field):
    messages = trio.run_messages(GRAPH, X, trio.prepare(GRAPH, 3))
    if field == "addresses":
        swapped = " ".join(reversed(trio.addresses))
        messages[1] = replace(messages[1], fields={**messages[1].fields, "addresses": swapped})
    else:
        messages[1] = with_blob(messages[1], field, bytes([1]) * 32)
    errors = trio.outcomes(messages)
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    works(trio)


def test_parties_with_different_material_are_noticed(trio):
    first, second = trio.prepare(GRAPH, 3), trio.prepare(GRAPH, 3)
    messages = trio.run_messages(GRAPH, X, first)
    messages[2] = with_blob(messages[2], "material", second.material_id)
    errors = trio.outcomes(messages)
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    works(trio)


@pytest.mark.parametrize("how", ["flipped", "short", "long"])
def test_damaged_corrections_end_the_preparation_everywhere(trio, how):
    trio.do([2], damage, how=how)
    errors = trio.outcomes([prepare_message(GRAPH, 3, seconds=20.0)] * 3)
    assert all(isinstance(error, MaterialUnusable) for error in errors), errors
    works(trio)


def test_a_share_of_the_wrong_shape_ends_the_session(trio):
    messages = trio.run_messages(GRAPH, X, trio.prepare(GRAPH, 3))
    messages[0] = with_blob(messages[0], "inputs", encode_tensors({"x": np.zeros((3, 7), np.uint64)}))
    errors = trio.outcomes(messages)
    assert all(isinstance(error, Exception) for error in errors)
    assert "shape" in str(errors[0])
    works(trio)
