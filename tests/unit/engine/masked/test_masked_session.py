"""Making material and running sessions over real links: what goes wrong at one party ends it at all parties."""

import secrets
import time

import numpy as np
import pytest

from bench.models import dense, random_weights
from mpc_infer.engine.masked import MaskedEngine, open_model
from mpc_infer.engine.plain import run_plain
from mpc_infer.engine.session import prepare_material
from mpc_infer.errors import MaterialUnusable, MpcInferError, PlanMismatch, UnexpectedFrame
from mpc_infer.preprocessing import corrections
from mpc_infer.sharing import combine, encode, split

GRAPH = dense([6, 5, 2])
WEIGHTS = {name: encode(value) for name, value in random_weights(GRAPH).items()}
X = encode(np.ones((3, 6)))
SECONDS = 20.0


class Parties:
    """Three parties with an opened model each, and a dealer between them that sees the seeds in the open."""

    def __init__(self, ring):
        self.ring = ring
        self.engines = [MaskedEngine() for _ in range(3)]
        self.shares = {name: split(value, 3) for name, value in WEIGHTS.items()}
        self.inputs = split(X, 3)
        seeds = [secrets.token_bytes(32) for _ in range(3)]
        self.models = self.meet(lambda link: open_model(self.program(link), self.weights(link), seeds[link.rank], link))

    def program(self, link):
        return self.engines[link.rank].program(GRAPH, 1, 3)

    def weights(self, link):
        return {name: parts[link.rank] for name, parts in self.shares.items()}

    def meet(self, work):
        """What each party's part of one session returns or raises."""
        session_id = secrets.token_bytes(16)

        def session(link):
            link.begin(session_id, time.monotonic() + SECONDS)
            try:
                done = work(link)
                link.end()
            except BaseException as error:
                link.abort(error)
                raise
            return done

        return self.ring.outcomes(session)

    def prepare(self, batch=3, answer=lambda data: data):
        """Material of each party; `answer` changes what the dealer said."""
        material_id = secrets.token_bytes(16)

        def fetch(_, plan_bytes, commitments, sealed):
            del plan_bytes, commitments
            plan = self.engines[2].plan(GRAPH, batch, 3)
            return [answer(b"".join(corrections(sealed, plan)))]

        def make(link):
            plan = self.engines[link.rank].plan(GRAPH, batch, 3)
            deadline, model = time.monotonic() + SECONDS, self.models[link.rank]
            return prepare_material(
                link, plan, material_id, deadline, seal=lambda seed, _: seed, fetch=fetch, model=model
            )

        return self.ring.outcomes(make)

    def run(self, materials, exchange=None):
        """Outcomes of an evaluation; `exchange` replaces party 1's."""

        def work(link):
            material = materials[link.rank]
            material.start()
            if exchange is not None and link.rank == 1:
                link.exchange = exchange(link, link.exchange)
            try:
                return self.engines[link.rank].run(
                    GRAPH, self.models[link.rank], {"x": self.inputs[link.rank]}, material, link, None
                )
            finally:
                vars(link).pop("exchange", None)

        return self.meet(work)

    def works(self):
        outcomes = self.run(self.prepare())
        total = combine([outcome.outputs["z1"] for outcome in outcomes])
        expected = run_plain(GRAPH, WEIGHTS, {"x": X})["z1"]
        assert np.abs((total - expected).view(np.int64)).max() <= 4
        assert len({outcome.transcript for outcome in outcomes}) == 1
        plan = self.engines[0].plan(GRAPH, 3, 3)
        assert {(outcome.rounds, outcome.bytes_sent) for outcome in outcomes} == {(plan.rounds, plan.bytes_sent)}


@pytest.fixture
def parties(make_ring):
    return Parties(make_ring(3))


def flipped(data, position):
    damaged = bytearray(data)
    damaged[position] ^= 1
    return bytes(damaged)


def all_raise(outcomes, kind):
    assert all(isinstance(outcome, kind) for outcome in outcomes), outcomes


@pytest.mark.parametrize(
    "answer",
    [
        lambda data: flipped(data, 0),
        lambda data: flipped(data, len(data) // 2),
        lambda data: flipped(data, len(data) - 1),
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"",
    ],
    ids=["first", "middle", "digest", "short", "long", "empty"],
)
def test_corrections_that_are_damaged_make_material_nowhere(parties, answer):
    all_raise(parties.prepare(answer=answer), MaterialUnusable)
    parties.works()


def test_material_runs_once_everywhere(parties):
    materials = parties.prepare()
    assert not any(isinstance(outcome, Exception) for outcome in parties.run(materials))
    all_raise(parties.run(materials), MaterialUnusable)
    parties.works()


def test_one_party_that_used_its_material_ends_it_for_all(parties):
    materials, others = parties.prepare(), parties.prepare()
    materials[1].start()
    materials[1].discard()
    outcomes = parties.run([materials[0], materials[1], materials[2]])
    all_raise(outcomes, MaterialUnusable)
    assert not any(isinstance(outcome, Exception) for outcome in parties.run(others))


def test_plans_that_differ_make_no_material(parties):
    parties.engines[1] = MaskedEngine(lean_from=1)
    all_raise(parties.prepare(), PlanMismatch)
    parties.engines[1] = MaskedEngine()
    parties.works()


def test_material_of_another_plan_is_not_run(parties):
    materials = parties.prepare()
    parties.engines[1] = MaskedEngine(lean_from=1)
    all_raise(parties.run(materials), PlanMismatch)
    parties.engines[1] = MaskedEngine()
    parties.works()


@pytest.mark.parametrize("step", [0, 1, 4])
def test_a_frame_for_another_step_ends_it_for_all(parties, step):
    def exchange(link, original):
        count = [0]

        def later(array, *meanwhile):
            if count[0] == step:
                link._step += 1
            count[0] += 1
            return original(array, *meanwhile)

        return later

    outcomes = parties.run(parties.prepare(), exchange)
    all_raise(outcomes, MpcInferError)
    assert any(isinstance(outcome, UnexpectedFrame) for outcome in (outcomes[0], outcomes[2])), outcomes
    parties.works()
