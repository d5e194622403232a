"""What goes wrong is noticed by everybody, says who and why, and leaves the next session unharmed."""

import dataclasses
import secrets
import signal
import time

import numpy as np
import pytest

from bench.fleet import Fleet, PartyProcess, prepare, run
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


def disturb(party: PartyProcess, how: str, number: int) -> None:
    """At a party: the next evaluation does something wrong at one round."""
    link, original = party.link, type(party.link).exchange
    count = [0]

    def exchange(array):
        count[0] += 1
        if count[0] != number:
            return original(link, array)
        link.exchange = lambda later: original(link, later)
        if how == "die":
            time.sleep(3600)
        if how == "shape":
            return original(link, np.zeros(array.size + 1, array.dtype))
        if how == "dtype":
            return original(link, array.view(np.uint64))
        if how == "step":
            link._step += 1
            return original(link, array)
        if how == "session":
            link._session_id = bytes(16)
            return original(link, array)
        if how == "sender":
            return original(pretender(link), array)
        received = original(link, array)
        received[0] = received[0] + 1  # "transcript": this party sees another opening than the rest
        return received

    link.exchange = exchange


def pretender(link):
    """The link, with another party's index in the next frame."""
    config, make_round = link._config, link._round

    def honest_round(frames, expected):
        del link._round
        link._config = config
        return make_round(frames, expected)

    link._round = honest_round
    link._config = dataclasses.replace(config, rank=(link.rank + 1) % link.size)
    return link


def session(fleet: Fleet, material_id: bytes | None = None):
    material_id = material_id or fleet.prepare(GRAPH, 3)
    return fleet.outcomes(run, fleet.run_arguments(GRAPH, X, material_id))


@pytest.mark.parametrize("how", ["shape", "dtype", "step", "session", "sender"])
def test_a_wrong_frame_ends_the_session_everywhere(trio, how):
    material_id = trio.prepare(GRAPH, 3)
    trio.start(disturb, [(how, 3)] * 3, [1])
    trio.finish([1])
    errors = session(trio, material_id)
    assert all(isinstance(error, SessionAborted) for error in errors), errors
    assert any(isinstance(errors[rank], UnexpectedFrame) for rank in (0, 2)), errors
    works(trio)


def test_parties_that_saw_different_openings_part(trio):
    material_id = trio.prepare(GRAPH, 3)
    trio.start(disturb, [("transcript", 1)] * 3, [1])
    trio.finish([1])
    errors = session(trio, material_id)
    assert all(isinstance(error, TranscriptMismatch) for error in errors), errors
    works(trio)


def interrupt(fleet: Fleet, number: signal.Signals) -> list:
    """Stop or kill party 1 in the middle of a session."""
    material_id = fleet.prepare(GRAPH, 3)
    fleet.start(disturb, [("die", 4)] * 3, [1])
    fleet.finish([1])
    fleet.start(run, fleet.run_arguments(GRAPH, X, material_id), range(3))
    time.sleep(0.3)
    fleet.signal(1, number)
    return fleet.finish([0, 2], seconds=30)


def restart(fleet: Fleet, rank: int) -> None:
    if fleet.processes[rank].is_alive():
        fleet.signal(rank, signal.SIGKILL)
    fleet.processes[rank].join(10)
    fleet.pipes[rank].close()
    fleet.launch(rank)
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
    material_id, arguments = secrets.token_bytes(16), GRAPH.digest
    trio.start(prepare, [(arguments, 3, material_id, 1.0)] * 3, [0, 2])
    errors = trio.finish([0, 2], seconds=30)
    assert all(isinstance(error, PeerTimeout) and error.party == 1 for error in errors), errors
    restart(trio, 1)
    works(trio)


def test_a_stopped_party_that_goes_on_finds_its_session_over(trio):
    material_id = trio.prepare(GRAPH, 3)
    trio.signal(1, signal.SIGSTOP)
    arguments = trio.run_arguments(GRAPH, X, material_id)
    trio.start(run, arguments, range(3))
    errors = trio.finish([0, 2], seconds=30)
    assert all(isinstance(error, PeerTimeout) and error.party == 1 for error in errors), errors
    trio.signal(1, signal.SIGCONT)
    (error,) = trio.finish([1], seconds=30)
    assert isinstance(error, SessionAborted)
    works(trio)


def test_material_is_used_once(trio):
    material_id = trio.prepare(GRAPH, 3)
    assert not any(isinstance(result, Exception) for result in session(trio, material_id))
    assert all(isinstance(error, MaterialUnusable) for error in session(trio, material_id))
    works(trio)


def test_material_of_a_failed_session_is_gone(trio):
    material_id = trio.prepare(GRAPH, 3)
    trio.start(disturb, [("shape", 1)] * 3, [0])
    trio.finish([0])
    session(trio, material_id)
    assert all(isinstance(error, MaterialUnusable) for error in session(trio, material_id))
    works(trio)


def test_a_party_with_another_plan_is_noticed_before_anything_is_made(trio):
    other = dense([6, 5, 2], last="Relu")
    trio.load(other, WEIGHTS)
    material_id = secrets.token_bytes(16)
    digests = [GRAPH.digest, GRAPH.digest, other.digest]
    errors = trio.outcomes(prepare, [(digest, 3, material_id, 20.0) for digest in digests])
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    assert errors[0].party == 2
    works(trio)


@pytest.mark.parametrize("field", ["job_id", "model_hash", "addresses"])
def test_a_party_in_another_job_is_noticed(trio, field):
    material_id = trio.prepare(GRAPH, 3)
    arguments = trio.run_arguments(GRAPH, X, material_id)
    graph_digest, inputs, _, spec, seconds = arguments[1]
    value = tuple(reversed(spec.addresses)) if field == "addresses" else bytes([1]) * 32
    arguments[1] = (graph_digest, inputs, material_id, dataclasses.replace(spec, **{field: value}), seconds)
    errors = trio.outcomes(run, arguments)
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    works(trio)


def test_parties_with_different_material_are_noticed(trio):
    first, second = trio.prepare(GRAPH, 3), trio.prepare(GRAPH, 3)
    arguments = trio.run_arguments(GRAPH, X, first)
    arguments[2] = (*arguments[2][:2], second, *arguments[2][3:])
    errors = trio.outcomes(run, arguments)
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    works(trio)


def damage(party: PartyProcess, how: str) -> None:
    """At the last party: what comes from the dealer next is not what it sent."""
    original = party.fetch

    def fetch(*arguments):
        del party.fetch
        data = bytearray(b"".join(original(*arguments)))
        if how == "flipped":
            data[1000] ^= 1
        elif how == "short":
            del data[-1]
        else:
            data += b"x"
        yield bytes(data)

    party.fetch = fetch


@pytest.mark.parametrize("how", ["flipped", "short", "long"])
def test_damaged_corrections_end_the_preparation_everywhere(trio, how):
    trio.start(damage, [(how,)] * 3, [2])
    trio.finish([2])
    errors = trio.outcomes(prepare, [(GRAPH.digest, 3, secrets.token_bytes(16), 20.0)] * 3)
    assert all(isinstance(error, MaterialUnusable) for error in errors), errors
    works(trio)


def test_a_share_of_the_wrong_shape_ends_the_session(trio):
    arguments = trio.run_arguments(GRAPH, X, trio.prepare(GRAPH, 3))
    arguments[0] = (arguments[0][0], {"x": np.zeros((3, 7), np.uint64)}, *arguments[0][2:])
    errors = trio.outcomes(run, arguments)
    assert all(isinstance(error, Exception) for error in errors)
    assert "shape" in str(errors[0])
    works(trio)
