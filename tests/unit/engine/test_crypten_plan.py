"""Plans are found by tracing: typed, small, the same for everybody, with declared costs."""

import pytest

from bench.models import dense
from mpc_infer.engine import get_engine
from mpc_infer.engine.frames import HEADER_BYTES
from mpc_infer.errors import ConfigError, UnsupportedOperator, WrongShape
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.public import with_public
from mpc_infer.preprocessing import Plan, Product, Truncation


@pytest.fixture(scope="module")
def engine():
    return get_engine("crypten")


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_a_linear_layer_takes_two_rounds(engine, parties):
    plan = engine.plan(dense([5, 4]), 3, parties)
    assert plan.requests == (Product("matmul", (3, 5), (5, 4)), Truncation((3, 4), 16))
    assert plan.rounds == 2
    assert plan.bytes_sent == (parties - 1) * (2 * HEADER_BYTES + 8 * (15 + 20 + 12))


def test_a_public_weight_takes_no_triple_and_no_round(engine):
    plan = engine.plan(with_public(dense([5, 4]), ["W0"]), 3, 2)
    assert plan.requests == (Truncation((3, 4), 16),)
    assert (plan.rounds, plan.bytes_sent) == (1, HEADER_BYTES + 8 * 12)


@pytest.mark.parametrize(("parties", "rounds"), [(2, 9), (3, 16), (4, 16)])
def test_rounds_of_relu(engine, parties, rounds):
    graph = Graph(
        (TensorSpec("x", (None, 4)),), (TensorSpec("y", (None, 4)),), (), (Node("r", "Relu", ("x",), ("y",)),)
    )
    assert engine.plan(graph, 2, parties).rounds == rounds


@pytest.mark.parametrize(("parties", "rounds"), [(2, 34), (3, 41), (4, 41)])
def test_rounds_of_sigmoid(engine, parties, rounds):
    graph = Graph(
        (TensorSpec("x", (None, 4)),), (TensorSpec("y", (None, 4)),), (), (Node("s", "Sigmoid", ("x",), ("y",)),)
    )
    assert engine.plan(graph, 2, parties).rounds == rounds


def test_a_plan_depends_on_graph_batch_and_parties_only(engine):
    graph = dense([6, 5, 4], last="Sigmoid")
    plan = engine.plan(graph, 2, 3)
    assert engine.plan(graph, 2, 3) is plan
    assert get_engine("crypten").plan(Graph.from_bytes(graph.to_bytes()), 2, 3) == plan
    others = [engine.plan(graph, 3, 3), engine.plan(graph, 2, 2), engine.plan(dense([6, 5, 4]), 2, 3)]
    assert len({item.digest for item in [plan, *others]}) == 4


def test_a_plan_passes_the_dealers_checks(engine):
    plan = engine.plan(dense([64, 64, 32, 10]), 64, 4)
    assert Plan.from_bytes(plan.to_bytes()) == plan


def test_the_cache_is_bounded(engine):
    graph = dense([2, 1])
    for batch in range(1, 80):
        engine.plan(graph, batch, 2)
    assert len(engine._plans) <= 64


def test_errors(engine):
    with pytest.raises(WrongShape):
        engine.plan(dense([2, 1]), 0, 2)
    softmax = Graph(
        (TensorSpec("x", (None, 4)),), (TensorSpec("y", (None, 4)),), (), (Node("s", "Softmax", ("x",), ("y",)),)
    )
    with pytest.raises(UnsupportedOperator, match="'s'"):
        engine.plan(softmax, 1, 2)
    with pytest.raises(ConfigError):
        get_engine("magic")


def test_a_graph_that_multiplies_its_way_to_huge_tensors_is_refused_before_it_is_traced(engine):
    column, row = {"shape": (-1, 4096, 1)}, {"shape": (-1, 1, 4096)}
    graph = Graph(
        (TensorSpec("x", (None, 4096)),),
        (TensorSpec("y", (None, 4096, 4096)),),
        (),
        (
            Node("column", "Reshape", ("x",), ("c",), column),
            Node("row", "Reshape", ("x",), ("r",), row),
            Node("outer", "MatMul", ("c", "r"), ("y",)),
        ),
    )
    with pytest.raises(WrongShape, match="elements in all"):
        engine.plan(graph, 4096, 2)
