"""The masked engine against the oracle: operators, shapes, parties, batches, both layouts of comparisons, edges."""

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.models import dense, float_inference, random_weights
from mpc_infer.graph import Graph, Node, TensorSpec, infer_shapes
from mpc_infer.graph.functions import constant
from mpc_infer.graph.ir import infer_specs
from tests.protocol.masked_parties import evaluate

UNIT = 2.0**-16
EDGES = [0.0, UNIT, -UNIT, 2 * UNIT, 0.5, -0.5, 1.0, -1.0, 15.99, -16.01, 1000.125, -1000.125, 32767.99, -32767.99]
FAT, LEAN = 10**9, 1


def graph_of(nodes, shapes, weights=None, out=None) -> Graph:
    """A graph of these nodes, with the shape of its output worked out."""
    inputs = tuple(TensorSpec(name, (None, *shape)) for name, shape in shapes.items())
    specs = tuple(TensorSpec(name, value.shape) for name, value in (weights or {}).items())
    last = out or nodes[-1].outputs[0]
    draft = Graph(inputs, (TensorSpec(last, ()),), specs, tuple(nodes))
    return Graph(inputs, (TensorSpec(last, infer_specs(draft)[last]),), specs, tuple(nodes))


def single(op, shapes, *, weights=None, attributes=None):
    """A graph of one node."""
    return graph_of([Node("n", op, (*shapes, *(weights or {})), ("y",), attributes or {})], shapes, weights)


@pytest.fixture(params=[FAT, LEAN], ids=["fat", "lean"])
def lean_from(request):
    return request.param


@pytest.fixture(params=[2, 3, 4], ids=lambda parties: f"{parties}-parties")
def parties(request):
    return request.param


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_linear(parties, batch):
    random = np.random.default_rng(1)
    weights = {"w": random.normal(0, 1, (7, 3)), "b": random.normal(0, 10, 3)}
    x = {"x": random.normal(0, 3, (batch, 7))}
    assert evaluate(single("Linear", {"x": (7,)}, weights=weights), weights, x, parties).worst() <= 1
    del weights["b"]
    assert evaluate(single("Linear", {"x": (7,)}, weights=weights), weights, x, parties).worst() <= 1


def test_linear_near_the_ends_of_its_range(parties):
    weights = {"w": np.array([[32000.25, -1.0]]), "b": np.array([3.0, 32767.0])}
    x = {"x": np.array([[32000.5], [-32000.5], [1.0], [-UNIT]])}
    assert evaluate(single("Linear", {"x": (1,)}, weights=weights), weights, x, parties).worst() <= 1


def window(strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1), **more):
    return {"strides": strides, "pads": pads, "dilations": dilations, **more}


@pytest.mark.parametrize(
    ("strides", "pads", "dilations", "group", "kernel"),
    [
        *itertools.product([(1, 1), (2, 1)], [(0, 0, 0, 0), (1, 0, 2, 1)], [(1, 1), (2, 1)], [1, 2, 4], [(3, 2)]),
        ((1, 1), (0, 0, 0, 0), (1, 1), 1, (1, 1)),
        ((3, 3), (2, 2, 2, 2), (1, 1), 1, (5, 5)),
    ],
)
def test_convolution(strides, pads, dilations, group, kernel):
    random = np.random.default_rng(2)
    weights = {"w": random.normal(size=(4, 4 // group, *kernel)), "b": random.normal(size=4)}
    graph = single("Conv", {"x": (4, 9, 8)}, weights=weights, attributes=window(strides, pads, dilations, group=group))
    assert evaluate(graph, weights, {"x": random.normal(size=(2, 4, 9, 8))}).worst() <= 1


@pytest.mark.parametrize("batch", [1, 5])
def test_convolution_among_parties(parties, batch):
    random = np.random.default_rng(3)
    weights = {"w": random.normal(size=(6, 3, 3, 3))}
    graph = single("Conv", {"x": (3, 6, 6)}, weights=weights, attributes=window(pads=(1, 1, 1, 1), group=1))
    assert evaluate(graph, weights, {"x": random.normal(size=(batch, 3, 6, 6))}, parties).worst() <= 1


@pytest.mark.parametrize(
    ("kernel", "strides", "pads"),
    [
        ((2, 2), (2, 2), (0, 0, 0, 0)),
        ((3, 3), (2, 2), (1, 1, 1, 1)),
        ((3, 2), (1, 1), (0, 0, 0, 0)),
        ((1, 1), (1, 1), (0, 0, 0, 0)),
        ((1, 5), (1, 2), (0, 2, 0, 2)),
    ],
)
def test_pools(kernel, strides, pads, lean_from):
    shape = {"x": (3, 8, 8)}
    x = {"x": np.random.default_rng(4).normal(size=(2, 3, 8, 8)) - 5}
    attributes = window(strides, pads, kernel=kernel)
    assert evaluate(single("MaxPool", shape, attributes=attributes), {}, x, lean_from=lean_from).worst() == 0
    assert evaluate(single("AveragePool", shape, attributes=attributes), {}, x, lean_from=lean_from).worst() <= 1


def test_windows_of_equal_values(lean_from):
    graph = single("MaxPool", {"x": (2, 6, 6)}, attributes=window((2, 2), kernel=(2, 2)))
    for value in (0.0, 1.0, -32767.99, 32767.99):
        assert evaluate(graph, {}, {"x": np.full((1, 2, 6, 6), value)}, lean_from=lean_from).worst() == 0


def test_dilated_max_pool_repeats_pixels_of_its_own_window(lean_from):
    graph = single("MaxPool", {"x": (1, 5, 5)}, attributes=window(pads=(2, 2, 2, 2), dilations=(2, 2), kernel=(3, 3)))
    x = {"x": -1 - np.arange(25.0).reshape(1, 1, 5, 5)}
    assert evaluate(graph, {}, x, lean_from=lean_from).worst() == 0


@pytest.mark.parametrize("op", ["Relu", "Abs", "Step"])
def test_edges_of_the_range(op, parties, lean_from):
    x = {"x": np.array([EDGES, EDGES[::-1]])}
    assert evaluate(single(op, {"x": (len(EDGES),)}), {}, x, parties, lean_from=lean_from).worst() == 0


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_pairs_at_the_edges(op, parties, lean_from):
    left, right = np.meshgrid(EDGES, EDGES)
    shape = {"x": left.shape, "z": left.shape}
    inputs = {"x": left[None], "z": right[None]}
    assert evaluate(single(op, shape), {}, inputs, parties, lean_from=lean_from).worst() == 0


def test_relu_fused_with_what_comes_before(parties, lean_from):
    random = np.random.default_rng(5)
    weights = {"w": random.normal(size=(9, 40)), "b": random.normal(size=40)}
    nodes = [Node("l", "Linear", ("x", "w", "b"), ("z",)), Node("r", "Relu", ("z",), ("y",))]
    run = evaluate(
        graph_of(nodes, {"x": (9,)}, weights), weights, {"x": random.normal(size=(4, 9))}, parties, lean_from=lean_from
    )
    assert run.worst() <= 1
    # The input, the sum, the bits; the lean layout opens the result's bit, too. The output stays shared.
    assert run.plan.rounds == (3 if lean_from == FAT else 4)


def test_a_layer_takes_three_rounds():
    graph = dense([5, 4, 3, 2])
    x = {"x": np.ones((1, 5))}
    run = evaluate(graph, random_weights(graph), x, lean_from=FAT)
    assert run.plan.rounds == 1 + 3 + 3 + 1


def test_clip_and_leaky_relu(parties, lean_from):
    x = {"x": np.array([EDGES])}
    size = {"x": (len(EDGES),)}
    clip = single("Clip", size, attributes={"low": constant(-1.5), "high": constant(6.0)})
    assert evaluate(clip, {}, x, parties, lean_from=lean_from).worst() == 0
    leaky = single("LeakyRelu", size, attributes={"alpha": constant(0.01)})
    assert evaluate(leaky, {}, x, parties, lean_from=lean_from).worst() <= 1


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_two_inputs(op, parties):
    random = np.random.default_rng(6)
    inputs = {"x": random.normal(size=(3, 4, 5)) * 50, "z": random.normal(size=(3, 1, 5)) * 50}
    run = evaluate(single(op, {"x": (4, 5), "z": (1, 5)}), {}, inputs, parties)
    assert run.worst() <= (op == "Mul")


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Max", "Min"])
def test_with_a_weight(op, parties):
    random = np.random.default_rng(7)
    weights = {"w": random.normal(size=(4, 1))}
    run = evaluate(single(op, {"x": (4, 5)}, weights=weights), weights, {"x": random.normal(size=(3, 4, 5))}, parties)
    assert run.worst() <= (op == "Mul")


def test_products_of_matrices(parties):
    random = np.random.default_rng(8)
    both = single("MatMul", {"x": (2, 3, 4), "z": (2, 4, 5)})
    inputs = {"x": random.normal(size=(3, 2, 3, 4)), "z": random.normal(size=(3, 2, 4, 5))}
    assert evaluate(both, {}, inputs, parties).worst() <= 1
    weights = {"w": random.normal(size=(4, 6))}
    right = single("MatMul", {"x": (3, 4)}, weights=weights)
    assert evaluate(right, weights, {"x": random.normal(size=(2, 3, 4))}, parties).worst() <= 1
    left = graph_of([Node("n", "MatMul", ("w", "x"), ("y",))], {"x": (6, 3)}, weights)
    assert evaluate(left, weights, {"x": random.normal(size=(2, 6, 3))}, parties).worst() <= 1


@pytest.mark.parametrize("width", [1, 2, 5, 8, 37])
def test_arg_max_takes_the_first_of_several(width, parties, lean_from):
    x = {"x": np.random.default_rng(9).integers(0, 4, (5, width)) * 1.0}
    assert evaluate(single("ArgMax", {"x": (width,)}), {}, x, parties, lean_from=lean_from).worst() == 0


def test_views():
    random = np.random.default_rng(10)
    nodes = [
        Node("r", "Reshape", ("x",), ("a",), {"shape": (-1, 3, 4)}),
        Node("t", "Transpose", ("a",), ("b",), {"perm": (0, 2, 1)}),
        Node("f", "Flatten", ("b",), ("y",), {"axis": 1}),
    ]
    assert evaluate(graph_of(nodes, {"x": (12,)}), {}, {"x": random.normal(size=(2, 12))}).worst() == 0


@pytest.mark.parametrize("first", ["Relu", "Add", "Mul"])
def test_parts_and_joins(first, parties):
    random = np.random.default_rng(14)
    nodes = [
        Node("n", first, ("x",) if first == "Relu" else ("x", "x"), ("a",)),
        Node("s", "Slice", ("a",), ("b",), {"axis": 2, "start": 1, "stop": 6, "step": 2}),
        Node("t", "Slice", ("x",), ("c",), {"axis": 2, "start": 0, "stop": 2, "step": 1}),
        Node("u", "Slice", ("a",), ("d",), {"axis": 2, "start": 3, "stop": 4, "step": 1}),
        Node("j", "Concat", ("b", "c", "d"), ("y",), {"axis": 2}),
    ]
    x = {"x": random.normal(size=(2, 3, 6))}
    assert evaluate(graph_of(nodes, {"x": (3, 6)}), {}, x, parties).worst() <= 1


def test_outputs_in_every_form(parties):
    weights = {"w": np.random.default_rng(11).normal(size=(4, 4))}
    nodes = (
        Node("l", "Linear", ("x", "w"), ("wide",)),
        Node("r", "Relu", ("wide",), ("share",)),
        Node("a", "Add", ("share", "share"), ("twice",)),
        Node("m", "Max", ("x", "twice"), ("largest",)),
    )
    names = ("wide", "share", "twice", "largest")
    graph = Graph(
        (TensorSpec("x", (None, 4)),),
        tuple(TensorSpec(name, (None, 4)) for name in names),
        (TensorSpec("w", (4, 4)),),
        nodes,
    )
    assert evaluate(graph, weights, {"x": np.random.default_rng(12).normal(size=(3, 4))}, parties).worst() <= 4


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=4),
    batch=st.integers(1, 9),
    last=st.sampled_from([None, "Relu", "Sigmoid"]),
    seed=st.integers(0, 2**32 - 1),
    lean=st.booleans(),
)
def test_networks(parties, sizes, batch, last, seed, lean):
    graph = dense(sizes, last=last)
    weights = random_weights(graph, seed)
    inputs = {"x": np.random.default_rng(seed).normal(0, 5, (batch, sizes[0]))}
    run = evaluate(graph, weights, inputs, parties, lean_from=LEAN if lean else FAT)
    assert run.worst() <= 64
    exact = float_inference(graph, weights, inputs)
    for name, value in exact.items():
        assert np.abs(run.ring[name].view(np.int64) * UNIT - value).max() < 2e-3


def test_a_residual_network(parties, lean_from):
    random = np.random.default_rng(13)
    weights = {
        "w": random.normal(size=(4, 3, 3, 3)) / 5,
        "b": random.normal(size=4),
        "v": random.normal(size=(4, 4, 3, 3)) / 6,
    }
    same = window(pads=(1, 1, 1, 1), group=1)
    nodes = [
        Node("c", "Conv", ("x", "w", "b"), ("c1",), same),
        Node("r", "Relu", ("c1",), ("r1",)),
        Node("p", "MaxPool", ("r1",), ("p1",), window((2, 2), kernel=(2, 2))),
        Node("d", "Conv", ("p1", "v"), ("c2",), same),
        Node("a", "Add", ("c2", "p1"), ("s",)),
        Node("q", "Relu", ("s",), ("r2",)),
        Node("g", "AveragePool", ("r2",), ("m",), window(kernel=(4, 4))),
        Node("f", "Flatten", ("m",), ("y",), {"axis": 1}),
    ]
    graph = graph_of(nodes, {"x": (3, 8, 8)}, weights)
    run = evaluate(graph, weights, {"x": random.normal(size=(3, 3, 8, 8))}, parties, lean_from=lean_from)
    assert run.worst() <= 16
    # MaxPool comes before Relu: the comparisons of the first Relu are a quarter of the convolution's elements.
    compared = [request.size for request in run.plan.program if request.op == "compare"]
    assert max(compared) == infer_shapes(graph, 3)["c1"][1] * 3 * 8 * 8 // 2
    assert compared.count(3 * 4 * 4 * 4) == 3
