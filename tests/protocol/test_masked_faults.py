"""What goes wrong in the masked engine is noticed by everybody, and leaves the next session unharmed."""

import secrets
from dataclasses import replace

import numpy as np
import pytest

from bench.fleet import Fleet, Prepared, prepare_message
from bench.models import dense, random_weights
from mpc_infer.engine.api import DEFAULT
from mpc_infer.engine.masked import MaskedEngine
from mpc_infer.engine.masked.model import MaskedModel
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
from mpc_infer.party.frames import Message
from mpc_infer.preprocessing import Plan, corrections, expand, read_corrections
from mpc_infer.sharing import FixedPoint, encode, encode_tensors, split

from .masked_parties import deal
from .misbehaviour import disturb, forget_seed, lean_from

GRAPH = dense([6, 5, 2])
WEIGHTS = random_weights(GRAPH)
X = {"x": np.ones((3, 6))}


@pytest.fixture(scope="module")
def trio():
    with Fleet(3, engine="masked") as fleet:
        fleet.load(GRAPH, WEIGHTS)
        yield fleet


def works(fleet: Fleet) -> None:
    """The next session is right, over real links."""
    expected = run_plain(GRAPH, {name: encode(value) for name, value in WEIGHTS.items()}, {"x": encode(X["x"])})
    inference = fleet.infer(GRAPH, X)
    assert np.abs((inference.ring["z1"] - expected["z1"]).view(np.int64)).max() <= 4
    plan = MaskedEngine().plan(GRAPH, 3, 3)
    assert all(result.rounds == plan.rounds + 2 for result in inference.results)
    assert all(result.plan_digest == plan.digest for result in inference.results)


def session(fleet: Fleet, material: Prepared):
    return fleet.outcomes(fleet.run_messages(GRAPH, X, material))


@pytest.mark.parametrize("number", [1, 2, 5])
@pytest.mark.parametrize("how", ["shape", "step", "dtype", "session", "sender"])
def test_a_wrong_frame_aborts_everywhere(trio, how, number):
    material = trio.prepare(GRAPH, 3)
    trio.do([1], disturb, how=how, number=number)
    errors = session(trio, material)
    assert all(isinstance(error, SessionAborted) for error in errors), errors
    assert any(isinstance(errors[rank], UnexpectedFrame) for rank in (0, 2)), errors
    assert all(isinstance(error, MaterialUnusable) for error in session(trio, material))
    works(trio)


def test_different_openings_are_noticed_before_anything_is_signed(trio):
    material = trio.prepare(GRAPH, 3)
    trio.do([2], disturb, how="transcript", number=2)
    errors = session(trio, material)
    assert all(isinstance(error, TranscriptMismatch) for error in errors), errors
    works(trio)


def test_material_is_used_once(trio):
    material = trio.prepare(GRAPH, 3)
    assert not any(isinstance(result, Exception) for result in session(trio, material))
    assert all(isinstance(error, MaterialUnusable) for error in session(trio, material))
    works(trio)


def test_material_for_another_batch_is_refused(trio):
    errors = session(trio, trio.prepare(GRAPH, 4))
    assert all(isinstance(error, (WrongShape, SessionAborted)) for error in errors), errors
    works(trio)


def test_parties_with_different_material_do_not_start(trio):
    first, second = (trio.run_messages(GRAPH, X, trio.prepare(GRAPH, 3)) for _ in range(2))
    other = replace(first[1], blobs={**first[1].blobs, "material": second[1].blobs["material"]})
    errors = trio.outcomes([first[0], other, first[2]])
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    works(trio)


def test_parties_with_different_plans_do_not_start(trio):
    trio.do([1], lean_from, elements=1)
    errors = trio.outcomes([prepare_message(GRAPH, 3, seconds=20.0)] * 3)
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    trio.do([1], lean_from, elements=2048)
    works(trio)


def test_parties_that_opened_different_models_do_not_start(trio):
    material = trio.prepare(GRAPH, 3)
    trio.do([1], forget_seed)
    errors = session(trio, material)
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    errors = trio.outcomes([prepare_message(GRAPH, 3, seconds=20.0)] * 3)
    assert all(isinstance(error, PlanMismatch) for error in errors), errors
    trio.load(GRAPH, WEIGHTS)
    works(trio)


def test_a_share_of_another_size_is_refused(trio):
    shares = {name: encode(value) for name, value in WEIGHTS.items()}
    wrong = {name: value[:1] for name, value in shares.items()}
    blobs = {"graph": GRAPH.to_bytes(), "session": secrets.token_bytes(16), "value_bits": b""}
    messages = [
        Message("load", fields={"seconds": 20.0, "frac_bits": 16}, blobs={**blobs, "weights": encode_tensors(share)})
        for share in (shares, wrong, shares)
    ]
    errors = trio.outcomes(messages)
    assert isinstance(errors[1], ModelShareMismatch), errors
    assert all(isinstance(error, SessionAborted) for error in (errors[0], errors[2]))
    trio.load(GRAPH, WEIGHTS)
    works(trio)


def test_a_model_that_was_kept_is_restored():
    engine, seed = MaskedEngine(), secrets.token_bytes(32)
    program = engine.program(GRAPH, 1, 2)
    shares = {name: split(encode(value), 2)[0] for name, value in WEIGHTS.items()}
    model = open_alone(program, shares, seed)
    again = engine.restore(GRAPH, shares, 2, model.to_bytes())
    assert (again.seed, again.digest) == (seed, model.digest)
    with pytest.raises(InvalidRequest):
        engine.restore(GRAPH, shares, 2, model.to_bytes()[:-1])
    with pytest.raises(ModelShareMismatch):
        engine.restore(dense([6, 4, 2]), {**shares, "W0": shares["W0"][:, :4]}, 2, model.to_bytes())
    assert seed.hex() not in repr(model)


@pytest.mark.parametrize("frac_bits", [8, 12])
def test_a_model_that_was_kept_is_restored_with_its_own_fractional_bits(frac_bits):
    engine, seed, fixed = MaskedEngine(), secrets.token_bytes(32), FixedPoint(frac_bits)
    shares = {name: split(encode(value, frac_bits=frac_bits), 2)[0] for name, value in WEIGHTS.items()}
    model = open_alone(engine.program(GRAPH, 1, 2, fixed), shares, seed, fixed)
    again = engine.restore(GRAPH, shares, 2, model.to_bytes(), fixed)
    assert again.digest == model.digest
    assert {slot.shift for slot in again.biases} == {frac_bits}
    assert all(np.array_equal(again.biases[slot], model.biases[slot]) for slot in model.biases)


def open_alone(program, shares, seed, fixed=DEFAULT) -> MaskedModel:
    from mpc_infer.engine.masked.model import open_model

    class Alone:
        rank, size = 0, 1

        def exchange(self, array):
            return [array]

        def exchange_bytes(self, messages, *, max_bytes):
            return list(messages)

    return open_model(program, shares, seed, Alone(), fixed)


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


def test_a_plan_with_a_wrong_program_is_refused():
    good = MaskedEngine().plan(GRAPH, 3, 2).to_bytes()
    assert Plan.from_bytes(good).digest
    for old, new in (
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","open",[9],[3,6],[0,0,50]]'),
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","open",[0],[3,7],[0,0,50]]'),
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","open",[0],[3,6],[]]'),
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","opens",[0],[3,6],[0,0,50]]'),
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","open",[0],[3,6],[0,15,50]]'),
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","open",[0],[3,6],[0,-1,50]]'),
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","open",[0],[3,6],[0,0,0]]'),
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","truncate",[0],[3,6],[16]]'),
        (b'["masked","open",[0],[3,6],[0,0,50]]', b'["masked","open",[0],[3,-6],[0,0,50]]'),
    ):
        assert old in good
        with pytest.raises(InvalidRequest):
            Plan.from_bytes(good.replace(old, new))
