"""The crypten engine among real processes against the plaintext oracle: operators, shapes, parties, batches, edges."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.fleet import Fleet, Inference
from bench.models import dense, float_inference, random_weights
from mpc_infer.engine import get_engine
from mpc_infer.engine.frames import HEADER_BYTES
from mpc_infer.engine.plain import run_plain
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.public import with_public
from mpc_infer.sharing import FixedPoint, decode, encode

UNIT = 2.0**-16
HELLO_BYTES, ENDING_BYTES = 64 + 33, 80 + 32  # with the verdict on one job, and the commitment to its output


def single(op, shape, *, weights=(), attributes=None, out=None):
    """A graph of one node."""
    specs = tuple(TensorSpec(f"w{index}", weight) for index, weight in enumerate(weights))
    node = Node("node", op, ("x", *(spec.name for spec in specs)), ("y",), attributes or {})
    return Graph((TensorSpec("x", (None, *shape)),), (TensorSpec("y", (None, *(out or shape))),), specs, (node,))


def compare(fleet: Fleet, graph: Graph, weights, inputs, *, units: float) -> Inference:
    """Run both; the outputs may differ by so many units of 2^-16."""
    graph.check()
    fleet.load(graph, weights)
    inference = fleet.infer(graph, inputs)
    expected = run_plain(
        graph,
        {name: encode(value) for name, value in weights.items()},
        {name: encode(value) for name, value in inputs.items()},
    )
    for name, value in expected.items():
        assert np.abs(inference.outputs[name] - decode(value)).max() <= units * UNIT, name
    check_costs(fleet, graph, next(iter(inputs.values())).shape[0], inference)
    return inference


def check_costs(fleet, graph, batch, inference):
    """Declared rounds and bytes are the measured ones; hello and ending come on top."""
    plan = get_engine("crypten").plan(graph, batch, fleet.size)
    around = (fleet.size - 1) * (2 * HEADER_BYTES + HELLO_BYTES + ENDING_BYTES)
    for result in inference.results:
        assert result.rounds == plan.rounds + 2
        assert result.bytes_sent == plan.bytes_sent + around
        assert result.plan_digest == plan.digest
    assert len({result.transcript for result in inference.results}) == 1
    assert len({result.commitments for result in inference.results}) == 1


EDGES = [0.0, UNIT, -UNIT, 0.5, -0.5, 1.0, -1.0, 15.99, -16.01, 1000.125, -1000.125, 32767.99, -32767.99]


@pytest.mark.parametrize("op", ["Relu", "Step", "Sigmoid"])
def test_edges_of_the_range(fleet, op):
    x = {"x": np.array([EDGES, EDGES[::-1]])}
    compare(fleet, single(op, (len(EDGES),)), {}, x, units=8 if op == "Sigmoid" else 0)


def test_sigmoid_curve(fleet):
    x = np.linspace(-24, 24, 3001)[:, None]
    inference = compare(fleet, single("Sigmoid", (1,)), {}, {"x": x}, units=8)
    assert np.abs(inference.outputs["y"] - 1 / (1 + np.exp(-x))).max() < 1.5e-4


def test_linear_with_and_without_bias(fleet):
    random = np.random.default_rng(1)
    x = {"x": random.normal(0, 3, (5, 7))}
    weights = {"w0": random.normal(0, 1, (7, 3)), "w1": random.normal(0, 10, 3)}
    compare(fleet, single("Linear", (7,), weights=[(7, 3), (3,)], out=(3,)), weights, x, units=1)
    compare(fleet, single("Linear", (7,), weights=[(7, 3)], out=(3,)), {"w0": weights["w0"]}, x, units=1)


@pytest.mark.parametrize("names", [["w0"], ["w1"], ["w0", "w1"]])
def test_linear_with_public_weights(fleet, names):
    random = np.random.default_rng(1)
    weights = {"w0": random.normal(0, 1, (7, 3)), "w1": random.normal(0, 10, 3)}
    graph = with_public(single("Linear", (7,), weights=[(7, 3), (3,)], out=(3,)), names)
    compare(fleet, graph, weights, {"x": random.normal(0, 3, (5, 7))}, units=1)


def test_sums_and_products_with_public_weights(fleet):
    random = np.random.default_rng(2)
    weights = {"w0": random.normal(0, 1, (4, 3)), "w1": random.normal(0, 10, (4, 2))}
    nodes = (
        Node("product", "MatMul", ("w0", "x"), ("z",)),
        Node("sum", "Add", ("w1", "z"), ("s",)),
        Node("last", "Relu", ("s",), ("y",)),
    )
    specs = (TensorSpec("w0", (4, 3), public=True), TensorSpec("w1", (4, 2), public=True))
    graph = Graph((TensorSpec("x", (None, 3, 2)),), (TensorSpec("y", (None, 4, 2)),), specs, nodes)
    compare(fleet, graph, weights, {"x": random.normal(0, 3, (2, 3, 2))}, units=1)


def test_linear_near_the_ends_of_its_range(fleet):
    # |x w| reaches 2^29.9, that is 2^61.9 before the truncation.
    x = {"x": np.array([[32000.5], [-32000.5], [1.0], [-UNIT]])}
    graph = single("Linear", (1,), weights=[(1, 2), (2,)], out=(2,))
    compare(fleet, graph, {"w0": np.array([[32000.25, -1.0]]), "w1": np.array([3.0, 32767.0])}, x, units=1)


def test_matmul_of_more_axes(fleet):
    random = np.random.default_rng(2)
    x = {"x": random.normal(size=(2, 4, 3))}
    compare(
        fleet, single("MatMul", (4, 3), weights=[(3, 5)], out=(4, 5)), {"w0": random.normal(size=(3, 5))}, x, units=1
    )


def test_product_of_two_inputs(fleet):
    graph = Graph(
        (TensorSpec("x", (None, 2, 3)), TensorSpec("z", (None, 3, 2))),
        (TensorSpec("y", (None, 2, 2)),),
        (),
        (Node("m", "MatMul", ("x", "z"), ("y",)),),
    )
    random = np.random.default_rng(3)
    inputs = {"x": random.normal(size=(3, 2, 3)), "z": random.normal(size=(3, 3, 2))}
    compare(fleet, graph, {}, inputs, units=1)


def test_shapes_and_additions(fleet):
    graph = Graph(
        (TensorSpec("x", (None, 2, 3)),),
        (TensorSpec("y", (None, 3, 2)), TensorSpec("f", (None, 6))),
        (TensorSpec("w", (3,)), TensorSpec("v", (6,))),
        (
            Node("a", "Add", ("x", "w"), ("s",)),
            Node("f", "Flatten", ("s",), ("t",), {"axis": 1}),
            Node("b", "Add", ("t", "t"), ("u",)),
            Node("c", "Add", ("u", "v"), ("f",)),
            Node("r", "Reshape", ("t",), ("y",), {"shape": (-1, 3, 2)}),
        ),
    )
    random = np.random.default_rng(4)
    weights = {"w": random.normal(size=3), "v": random.normal(size=6)}
    compare(fleet, graph, weights, {"x": random.normal(size=(4, 2, 3))}, units=0)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    batch=st.integers(1, 9),
    last=st.sampled_from([None, "Relu", "Sigmoid"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_networks(fleet, sizes, batch, last, seed):
    graph = dense(sizes, last=last)
    random = np.random.default_rng(seed)
    weights = random_weights(graph, seed)
    inputs = {"x": random.normal(0, 5, (batch, sizes[0]))}
    inference = compare(fleet, graph, weights, inputs, units=64)
    exact = float_inference(graph, weights, inputs)
    for name, value in exact.items():
        assert np.abs(inference.outputs[name] - value).max() < 2e-3


@pytest.mark.parametrize("frac_bits", [8, 12])
def test_fewer_fractional_bits(fleet, frac_bits):
    graph, random = dense([5, 4, 3], last="Sigmoid"), np.random.default_rng(7)
    weights, x = random_weights(graph, 7), random.normal(0, 5, (6, 5))
    fleet.load(graph, weights, FixedPoint(frac_bits))
    inference = fleet.infer(graph, {"x": x})
    rings = {name: encode(value, frac_bits=frac_bits) for name, value in weights.items()}
    expected = run_plain(graph, rings, {"x": encode(x, frac_bits=frac_bits)}, frac_bits)
    for name, value in expected.items():
        assert np.abs((inference.ring[name] - value).view(np.int64)).max() <= 8, name


def test_times_are_those_of_party_0(fleet):
    graph = single("Relu", (2,))
    fleet.load(graph, {})
    results = fleet.infer(graph, {"x": np.ones((1, 2))}).results
    assert len({(result.started_ms, result.finished_ms) for result in results}) == 1
    assert results[0].started_ms <= results[0].finished_ms
