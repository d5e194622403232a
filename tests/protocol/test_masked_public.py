"""Public weights on the masked engine: every operator that takes weights, each weight public or secret by itself."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from bench.models import dense, random_weights
from mpc_infer.engine.frames import HEADER_BYTES
from mpc_infer.engine.masked import MaskedEngine
from mpc_infer.errors import InvalidRequest, PlanMismatch
from mpc_infer.graph import Graph, Node
from mpc_infer.graph.functions import constant
from mpc_infer.graph.numerics import choose
from mpc_infer.graph.public import ALL, with_public
from mpc_infer.preprocessing.masked_check import check_program
from mpc_infer.preprocessing.masked_requests import MaskedRequest
from mpc_infer.sharing import FixedPoint
from tests.protocol.forests import graph_of_forest, random_forest
from tests.protocol.masked_parties import Table, ThreadLink, evaluate, open_with
from tests.protocol.test_masked_operators import FAT, LEAN, graph_of, single, window

RANDOM = np.random.default_rng(30)


def cases():
    """Name, graph, weights, inputs' shapes, and units that a result may be off."""
    linear = {"w": RANDOM.normal(size=(7, 3)), "b": RANDOM.normal(0, 10, 3)}
    yield "linear", single("Linear", {"x": (7,)}, weights=linear), linear, 1
    kernel = {"w": RANDOM.normal(size=(4, 2, 3, 2)), "b": RANDOM.normal(size=4)}
    conv = window((2, 1), (1, 0, 2, 1), group=2)
    yield "conv", single("Conv", {"x": (4, 7, 6)}, weights=kernel, attributes=conv), kernel, 1
    point = {"w": RANDOM.normal(size=(3, 4, 1, 1))}
    narrow = single("Conv", {"x": (4, 5, 5)}, weights=point, attributes=window(group=1))
    yield "conv of single pixels", narrow, point, 1
    right = {"w": RANDOM.normal(size=(5, 4))}
    yield "matmul by a weight", single("MatMul", {"x": (3, 5)}, weights=right), right, 1
    left = {"w": RANDOM.normal(size=(4, 3))}
    yield "matmul of a weight", graph_of([Node("n", "MatMul", ("w", "x"), ("y",))], {"x": (3, 5)}, left), left, 1
    for op in ("Mul", "Add", "Sub", "Max", "Min"):
        vector = {"w": RANDOM.normal(size=5)}
        yield op, single(op, {"x": (3, 5)}, weights=vector), vector, 1
        swapped = graph_of([Node("n", op, ("w", "x"), ("y",))], {"x": (3, 5)}, vector)
        yield f"{op}, the other way", swapped, vector, 1
    norm = {"g": RANDOM.normal(size=16), "b": RANDOM.normal(size=16)}
    attributes = {"epsilon": constant(1e-3)}
    yield "layer norm", single("LayerNorm", {"x": (3, 16)}, weights=norm, attributes=attributes), norm, 24
    trees, weights = graph_of_forest(random_forest(3, 3, 4), 4)
    yield "trees", trees, weights, 2


CASES = {name: rest for name, *rest in cases()}


def inputs_of(graph: Graph, batch: int):
    return {spec.name: RANDOM.normal(0, 2, (batch, *spec.shape[1:])) for spec in graph.inputs}


@pytest.fixture(params=[FAT, LEAN], ids=["fat", "lean"])
def lean_from(request):
    return request.param


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("name", CASES)
def test_every_operator_with_public_weights(name, parties, batch, lean_from):
    graph, weights, units = CASES[name]
    public = with_public(graph, [ALL])
    run = evaluate(public, weights, inputs_of(graph, batch), parties, lean_from=lean_from)
    assert run.worst() <= units
    secret = MaskedEngine(lean_from=lean_from).plan(graph, batch, parties)
    assert run.plan.bytes_sent <= secret.bytes_sent
    assert run.plan.rounds <= secret.rounds
    assert run.plan.material_bytes <= secret.material_bytes
    assert run.plan.work <= secret.work


@pytest.mark.parametrize("name", [name for name, (_, weights, _) in CASES.items() if len(weights) > 1])
def test_some_weights_public_and_others_secret(name):
    graph, weights, units = CASES[name]
    for count in range(1, len(weights)):
        for some in itertools.combinations(weights, count):
            assert evaluate(with_public(graph, some), weights, inputs_of(graph, 2), 3).worst() <= units


def bytes_of(graph: Graph, batch: int = 1, parties: int = 2) -> tuple[int, int]:
    """Rounds, and bytes that a party sends without headers of frames."""
    plan = MaskedEngine(lean_from=FAT).plan(graph, batch, parties)
    return plan.rounds, plan.bytes_sent - (parties - 1) * HEADER_BYTES * plan.rounds


def test_a_product_by_a_public_weight_opens_nothing_before_its_truncation():
    graph = single("Linear", {"x": (64,)}, weights={"w": np.zeros((64, 8))})
    rounds, sent = bytes_of(with_public(graph, [ALL]))
    # 8 results are opened to be truncated: 54 of 64 bits, ten of sixteen fractional ones left out.
    assert (rounds, sent) == (1, 8 * -(-8 * 54 // 64))
    secret_rounds, secret_sent = bytes_of(graph)
    assert secret_rounds == rounds + 1
    assert secret_sent >= sent + 8 * 64 * 50 // 64


def test_public_layers_with_relu_take_a_round_less_each():
    graph = dense([64, 32, 32, 10])
    weights = random_weights(graph)
    x = {"x": RANDOM.normal(size=(3, 64))}
    secret = evaluate(graph, weights, x, 3)
    backbone = evaluate(with_public(graph, ["W0", "b0", "W1", "b1"]), weights, x, 3)
    public = evaluate(with_public(graph, [ALL]), weights, x, 3)
    assert [run.worst() <= 4 for run in (secret, backbone, public)] == [True] * 3
    assert secret.plan.rounds - backbone.plan.rounds == 2
    assert secret.plan.rounds - public.plan.rounds == 3
    assert public.plan.bytes_sent < backbone.plan.bytes_sent < secret.plan.bytes_sent
    assert public.plan.correction_bytes <= secret.plan.correction_bytes
    assert public.plan.work < backbone.plan.work < secret.plan.work


def test_a_tensor_that_several_public_products_and_sums_read_is_not_opened():
    weights = {name: RANDOM.normal(size=(6, 6)) for name in "abc"}
    nodes = [
        Node("r", "Relu", ("x",), ("h",)),
        *(Node(name, "MatMul", ("h", name), (f"h{name}",)) for name in "abc"),
        Node("s", "Add", ("ha", "hb"), ("s",)),
        Node("t", "Sub", ("h", "hc"), ("t",)),
        Node("u", "Add", ("s", "t"), ("y",)),
    ]
    graph = graph_of(nodes, {"x": (4, 6)}, weights)
    run = evaluate(with_public(graph, [ALL]), weights, inputs_of(graph, 2), 3)
    assert run.worst() <= 4
    # x, its comparison, and the sum: nothing else.
    assert [request.op for request in run.plan.program].count("open") == 2
    assert evaluate(with_public(graph, ["a"]), weights, inputs_of(graph, 2), 3).worst() <= 4


def test_an_opened_tensor_is_multiplied_as_it_is():
    weights = {"w": RANDOM.normal(size=(6, 4))}
    nodes = [
        Node("r", "Relu", ("x",), ("h",)),
        Node("p", "MatMul", ("x", "w"), ("m",)),
        Node("q", "MatMul", ("h", "w"), ("k",)),
        Node("s", "Add", ("m", "k"), ("y",)),
    ]
    graph = graph_of(nodes, {"x": (6,)}, weights)
    for batch, parties in ((1, 2), (7, 3)):
        run = evaluate(with_public(graph, [ALL]), weights, inputs_of(graph, batch), parties)
        assert run.worst() <= 2
        assert [request.op for request in run.plan.program].count("open") == 2


def test_what_only_the_dealer_knows_of_a_share_is_given_to_the_parties_first():
    weights = {"w": RANDOM.normal(size=(6, 4))}
    nodes = [
        Node("r", "Relu", ("x",), ("h",)),
        Node("t", "Sub", ("h", "x"), ("d",)),
        Node("p", "MatMul", ("d", "w"), ("y",)),
    ]
    graph = graph_of(nodes, {"x": (6,)}, weights)
    run = evaluate(with_public(graph, [ALL]), weights, inputs_of(graph, 3), 3)
    assert run.worst() <= 2
    assert [request.op for request in run.plan.program].count("unfold") == 1


@pytest.mark.parametrize("frac_bits", [8, 12])
def test_fewer_fractional_bits(frac_bits):
    graph = dense([16, 8, 4])
    weights = random_weights(graph)
    run = evaluate(with_public(graph, ["W*"]), weights, inputs_of(graph, 3), 2, fixed=FixedPoint(frac_bits))
    assert run.worst() <= 4


def test_values_whose_size_is_known():
    graph = dense([16, 32, 4], last="Sigmoid")
    weights = random_weights(graph)
    fixed = FixedPoint(16, choose(graph, weights, 16).value_bits)
    secret, public = (with_public(graph, names) for names in ([], [ALL]))
    run = evaluate(public, weights, inputs_of(graph, 3), 3, fixed=fixed)
    assert run.worst() <= 8
    assert run.plan.bytes_sent < MaskedEngine().plan(public, 3, 3).bytes_sent
    assert run.plan.bytes_sent < MaskedEngine().plan(secret, 3, 3, fixed).bytes_sent


def test_products_on_a_device():
    graph = dense([16, 8, 4])
    weights = random_weights(graph)
    assert evaluate(with_public(graph, [ALL]), weights, inputs_of(graph, 3), device="torch-cpu").worst() <= 4


def test_secret_models_cost_what_they_did():
    graph = dense([16, 8, 4])
    plan, again = (MaskedEngine().plan(each, 3, 2) for each in (graph, with_public(graph, [])))
    assert plan == again
    assert replace(graph.weights[0], public=True) != graph.weights[0]


def test_a_constant_never_multiplies_a_share_that_the_dealer_has_a_part_of():
    share = (1, 6)
    folded = [
        MaskedRequest("local", (), share, (0,)),
        MaskedRequest("open", (0,), share, (0, 0, 64)),
        MaskedRequest("lift", (1,), share, (1,)),
        MaskedRequest("reshape", (2,), share, (1,)),
        MaskedRequest("constant", (), (6, 4), (1,)),
        MaskedRequest("linear-constant", (3, 4), (1, 4), (6,)),
    ]
    with pytest.raises(InvalidRequest, match="not unfolded"):
        check_program(folded)
    unfolded = [*folded[:3], MaskedRequest("unfold", (2,), share), *folded[4:]]
    check_program(unfolded)
    of_masked = [*folded[:3], folded[3], folded[4], MaskedRequest("linear-constant", (1, 4), (1, 4), (6,))]
    check_program(of_masked)


def test_a_party_with_another_public_weight_is_found_when_the_model_is_opened():
    graph = with_public(dense([4, 3]), ["W0"])
    weights = {"W0": np.zeros((4, 3), np.uint64), "b0": np.zeros(3, np.uint64)}
    table = Table(2)

    def party(rank: int) -> None:
        try:
            own = weights if rank == 0 else {**weights, "W0": weights["W0"] + np.uint64(1)}
            open_with(MaskedEngine(), graph, own, bytes([rank]) * 32, ThreadLink(table, rank))
        except BaseException:
            table.leave()
            raise

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(party, rank) for rank in range(2)]
    errors = [future.exception() for future in futures]
    assert any(isinstance(error, PlanMismatch) for error in errors)


def test_a_public_model_that_was_kept_is_restored():
    graph = with_public(dense([4, 3]), ["W0"])
    weights = {"W0": np.arange(12, dtype=np.uint64).reshape(4, 3), "b0": np.zeros(3, np.uint64)}
    for each in (graph, with_public(graph, [ALL])):
        engine, table = MaskedEngine(), Table(2)
        with ThreadPoolExecutor(2) as pool:
            opened = list(
                pool.map(
                    lambda rank, e=engine, g=each, t=table: open_with(
                        e, g, weights, bytes([rank]) * 32, ThreadLink(t, rank)
                    ),
                    range(2),
                )
            )
        assert opened[0].digest == opened[1].digest
        again = engine.restore(each, weights, 2, opened[1].to_bytes())
        assert again.digest == opened[1].digest
        changed = engine.restore(each, {**weights, "W0": weights["W0"] + np.uint64(1)}, 2, opened[1].to_bytes())
        assert changed.digest != opened[1].digest
