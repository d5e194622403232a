"""What goes wrong in the masked engine is noticed by everybody, and leaves the next session unharmed."""

import secrets

import numpy as np
import pytest

from bench.fleet import Fleet, PartyProcess, prepare, run
from bench.models import dense, random_weights
from mpc_infer.engine.masked import MaskedEngine
from mpc_infer.engine.plain import run_plain
from mpc_infer.errors import (
    InvalidRequest,
    MaterialUnusable,
    ModelShareMismatch,
    PlanMismatch,
    SessionAborted,
    TranscriptMismatch,
    UnexpectedFrame,
    WrongShape,
)
from mpc_infer.preprocessing import Plan, corrections, expand, read_corrections
from mpc_infer.sharing import encode
from tests.protocol.masked_parties import deal

GRAPH = dense([6, 5, 2])
WEIGHTS = random_weights(GRAPH)
X = {"x": np.ones((3, 6))}


@pytest.fixture(scope="module")
def trio():
    with Fleet(3, step_timeout_s=20.0, engine="masked") as fleet:
        fleet.load(GRAPH, WEIGHTS)
        yield fleet


def works(fleet: Fleet) -> None:
    """The next session is right, over real links."""
    expected = run_plain(GRAPH, {name: encode(value) for name, value in WEIGHTS.items()}, {"x": encode(X["x"])})["z1"]
    inference = fleet.infer(GRAPH, X)
    assert np.abs((inference.ring["z1"] - expected).view(np.int64)).max() <= 4
    plan = MaskedEngine().plan(GRAPH, 3, 3)
    assert all(result.rounds == plan.rounds + 2 for result in inference.results)
    assert all(result.plan_digest == plan.digest for result in inference.results)


def disturb(party: PartyProcess, how: str, number: int) -> None:
    """At a party: the next evaluation does something wrong at one round."""
    link, original = party.link, type(party.link).exchange
    count = [0]

    def exchange(array, meanwhile=None):
        count[0] += 1
        if count[0] != number:
            return original(link, array, meanwhile)
        link.exchange = lambda *later: original(link, *later)
        if how == "shape":
            return original(link, np.zeros(array.size + 1, array.dtype))
        if how == "step":
            link._step += 1
            return original(link, array)
        if how == "value":
            return original(link, array + np.uint64(1))
        received = original(link, array)
        received[0] = received[0] + np.uint64(1)  # "transcript": this party sees another opening than the rest
        return received

    link.exchange = exchange


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize(("how", "error"), [("shape", UnexpectedFrame), ("step", UnexpectedFrame)])
def test_a_frame_for_another_step_aborts_everywhere(trio, how, error, number):
    trio.call(disturb, [("none", 0), (how, number), ("none", 0)])
    arguments = trio.run_arguments(GRAPH, X, trio.prepare(GRAPH, 3))
    errors = trio.outcomes(run, arguments)
    assert all(isinstance(item, SessionAborted) for item in errors), errors
    assert any(isinstance(item, error) for item in errors)
    works(trio)


def test_different_openings_are_noticed_before_anything_is_signed(trio):
    trio.call(disturb, [("none", 0), ("none", 0), ("transcript", 2)])
    errors = trio.outcomes(run, trio.run_arguments(GRAPH, X, trio.prepare(GRAPH, 3)))
    assert all(isinstance(item, SessionAborted) for item in errors), errors
    assert any(isinstance(item, TranscriptMismatch) for item in errors)
    works(trio)


def test_material_is_used_once(trio):
    material_id = trio.prepare(GRAPH, 3)
    trio.call(run, trio.run_arguments(GRAPH, X, material_id))
    errors = trio.outcomes(run, trio.run_arguments(GRAPH, X, material_id))
    assert all(isinstance(item, MaterialUnusable) for item in errors), errors
    works(trio)


def test_material_for_another_batch_is_refused(trio):
    material_id = trio.prepare(GRAPH, 4)
    errors = trio.outcomes(run, trio.run_arguments(GRAPH, X, material_id))
    assert all(isinstance(item, (WrongShape, SessionAborted)) for item in errors), errors
    works(trio)


def mixed(party: PartyProcess, *arguments) -> object:
    """At a party: party 1 takes other material than the rest."""
    graph_digest, inputs, material_ids, spec, seconds = arguments
    return run(party, graph_digest, inputs, material_ids[party.rank == 1], spec, seconds)


def test_parties_with_different_material_do_not_start(trio):
    ids = [trio.prepare(GRAPH, 3), trio.prepare(GRAPH, 3)]
    arguments = [(a, b, ids, d, e) for a, b, _, d, e in trio.run_arguments(GRAPH, X, ids[0])]
    errors = trio.outcomes(mixed, arguments)
    assert all(isinstance(item, PlanMismatch) for item in errors), errors
    works(trio)


def lean(party: PartyProcess, lean_from: int) -> None:
    """At a party: use another layout of comparisons."""
    party.engine = MaskedEngine(lean_from=lean_from)


def test_parties_with_different_plans_do_not_start(trio):
    trio.call(lean, [(2048,), (1,), (2048,)])
    errors = trio.outcomes(prepare, [(GRAPH.digest, 3, secrets.token_bytes(16), 5.0)] * 3)
    assert all(isinstance(item, PlanMismatch) for item in errors), errors
    trio.call(lean, [(2048,)] * 3)
    works(trio)


def test_a_corrupted_correction_is_noticed():
    plan = MaskedEngine().plan(GRAPH, 3, 2)
    _, answer = deal(plan, 2)
    for position in (0, len(answer) // 2, len(answer) - 33, len(answer) - 1):
        damaged = bytearray(answer)
        damaged[position] ^= 1
        with pytest.raises(MaterialUnusable):
            read_corrections([bytes(damaged)], plan)
    for wrong in (answer[:-1], answer + b"x", b""):
        with pytest.raises(MaterialUnusable):
            read_corrections([wrong], plan)


def test_corrections_of_another_plan_are_noticed():
    engine = MaskedEngine()
    plan, other = engine.plan(GRAPH, 3, 2), MaskedEngine(lean_from=10**9).plan(dense([6, 5, 2, 2]), 3, 2)
    with pytest.raises(MaterialUnusable):
        read_corrections([deal(other, 2)[1]], plan)


def test_the_same_request_gives_the_same_bytes():
    plan = MaskedEngine().plan(GRAPH, 3, 3)
    seeds, answer = deal(plan, 3)
    assert b"".join(corrections(seeds, plan)) == answer
    twice = b"".join(corrections(seeds, plan, 2))
    assert twice[: len(answer)] == answer
    assert twice[len(answer) :] != answer


@pytest.mark.parametrize("lengths", [(64, 32), (32, 32), (64, 65)])
def test_seeds_of_another_length_are_refused(lengths):
    plan = MaskedEngine().plan(GRAPH, 3, 2)
    with pytest.raises(InvalidRequest):
        list(corrections([bytes(length) for length in lengths], plan))


def test_prepared_material_is_used_once():
    engine = MaskedEngine()
    plan = engine.plan(GRAPH, 1, 2)
    seeds, _ = deal(plan, 2)
    material = expand(seeds[0], plan, 0, bytes(16))
    material.prepare(lambda parts: object())
    with pytest.raises(MaterialUnusable):
        material.prepare(lambda parts: object())
    with pytest.raises(MaterialUnusable):
        material.take_prepared()
    material.start()
    material.take_prepared()
    with pytest.raises(MaterialUnusable):
        material.take_prepared()
    material.finish()


def test_discarded_material_cannot_be_used():
    plan = MaskedEngine().plan(GRAPH, 1, 2)
    material = expand(deal(plan, 2)[0][0], plan, 0, bytes(16))
    material.prepare(lambda parts: object())
    material.discard()
    with pytest.raises(MaterialUnusable):
        material.start()
    with pytest.raises(MaterialUnusable):
        material.take_prepared()


def load_other(party: PartyProcess, graph: bytes, weights: dict, session_id: bytes) -> None:
    """At a party: a share of a weight has another size."""
    from bench.fleet import load

    if party.rank == 1:
        weights = {name: value[:1] for name, value in weights.items()}
    load(party, graph, weights, session_id)


def test_a_share_of_another_size_is_refused(trio):
    shares = {name: encode(value) for name, value in WEIGHTS.items()}
    errors = trio.outcomes(load_other, [(GRAPH.to_bytes(), shares, secrets.token_bytes(16))] * 3)
    assert isinstance(errors[1], ModelShareMismatch)
    assert all(isinstance(item, SessionAborted) for item in (errors[0], errors[2]))
    works(trio)


def test_a_plan_with_a_wrong_program_is_refused():
    good = MaskedEngine().plan(GRAPH, 3, 2).to_bytes()
    assert Plan.from_bytes(good).digest
    for old, new in (
        (b'["masked","open",[0],[3,6],[0]]', b'["masked","open",[9],[3,6],[0]]'),
        (b'["masked","open",[0],[3,6],[0]]', b'["masked","open",[0],[3,7],[0]]'),
        (b'["masked","open",[0],[3,6],[0]]', b'["masked","open",[0],[3,6],[]]'),
        (b'["masked","open",[0],[3,6],[0]]', b'["masked","opens",[0],[3,6],[0]]'),
        (b'["masked","open",[0],[3,6],[0]]', b'["masked","truncate",[0],[3,6],[16]]'),
        (b'["masked","open",[0],[3,6],[0]]', b'["masked","open",[0],[3,-6],[0]]'),
    ):
        assert old in good
        with pytest.raises(InvalidRequest):
            Plan.from_bytes(good.replace(old, new))
