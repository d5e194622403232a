"""No operator's result leaves its interval, nor gets longer than its length: against the oracle, in exact integers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mpc_infer.engine.plain import run_plain
from mpc_infer.errors import ModelRefused
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.functions import UNARY, constant
from mpc_infer.graph.ir import infer_specs
from mpc_infer.graph.ranges import RULES, check_ranges
from mpc_infer.graph.shapes import RULES as SHAPES
from mpc_infer.sharing import encode
from tests.protocol.forests import graph_of_forest, random_forest

BITS, UNIT = 16, 2.0**-16
WINDOW = {"strides": (2, 1), "pads": (1, 0, 0, 1), "dilations": (1, 1)}
SQUARE = {"q": (3, 4)}

SINGLE: dict[str, tuple[tuple[int, ...], dict[str, tuple[int, ...]], dict[str, Any]]] = {
    **{op: ((3, 4), {}, {}) for op in UNARY},
    **{op: ((3, 4), {"w": (4,)}, {}) for op in ("Add", "Sub", "Mul", "Max", "Min")},
    "Linear": ((3, 4), {"w": (4, 5), "b": (5,)}, {}),
    "MatMul": ((3, 4), {"w": (4, 2)}, {}),
    "Conv": ((4, 5, 4), {"w": (2, 2, 3, 2), "b": (2,)}, {**WINDOW, "group": 2}),
    "MaxPool": ((2, 5, 4), {}, {**WINDOW, "kernel": (3, 2)}),
    "AveragePool": ((2, 5, 4), {}, {**WINDOW, "kernel": (3, 2)}),
    "LeakyRelu": ((3, 4), {}, {"alpha": constant(-0.4)}),
    "Clip": ((3, 4), {}, {"low": constant(-0.5), "high": constant(2.0)}),
    "Softmax": ((3, 4), {}, {}),
    "LayerNorm": ((3, 4), {"g": (4,), "b": (4,)}, {"epsilon": constant(1e-3)}),
    "ArgMax": ((3, 4), {}, {}),
    "TreeEnsemble": (
        (4,),
        {"features": (4, 9), "thresholds": (9,), "paths": (3, 4, 3), "misses": (3, 4), "leaves": (12, 2)},
        {"depth": 2, "extra": 4},
    ),
    "Transpose": ((3, 4), {}, {"perm": (0, 2, 1)}),
    "Slice": ((3, 4), {}, {"axis": 2, "start": 0, "stop": 3, "step": 2}),
    "Flatten": ((3, 4), {}, {"axis": 1}),
    "Reshape": ((3, 4), {}, {"shape": (-1, 6, 2)}),
}
NETS: dict[str, list[Node]] = {
    "concat": [Node("a", "Relu", ("x",), ("a",)), Node("c", "Concat", ("x", "a"), ("y",), {"axis": 2})],
    "square": [Node("s", "Mul", ("x", "x"), ("y",))],
    "root": [
        Node("s", "Mul", ("x", "x"), ("s",)),
        Node("a", "Add", ("s", "one"), ("a",)),
        Node("r", "Rsqrt", ("a",), ("y",)),
    ],
    "division": [
        Node("s", "Abs", ("x",), ("s",)),
        Node("a", "Add", ("s", "one"), ("a",)),
        Node("r", "Reciprocal", ("a",), ("y",)),
    ],
    "attention": [
        Node("q", "Linear", ("x", "wq"), ("q",)),
        Node("k", "Linear", ("x", "wk"), ("k",)),
        Node("v", "Linear", ("x", "wv"), ("v",)),
        Node("t", "Transpose", ("k",), ("t",), {"perm": (0, 2, 1)}),
        Node("m", "MatMul", ("q", "t"), ("m",)),
        Node("s", "Softmax", ("m",), ("s",)),
        Node("o", "MatMul", ("s", "v"), ("o",)),
        Node("r", "Add", ("x", "o"), ("r",)),
        Node("n", "LayerNorm", ("r", "g", "b"), ("n",), {"epsilon": constant(1e-3)}),
        Node("f", "Linear", ("n", "wq"), ("f",)),
        Node("e", "Gelu", ("f",), ("e",)),
        Node("h", "Reshape", ("e",), ("h",), {"shape": (-1, 6, 2)}),
        Node("i", "Reshape", ("h",), ("i",), {"shape": (-1, 3, 4)}),
        Node("y", "Linear", ("i", "wk"), ("y",)),
    ],
}
SHARED = {"one": (1,), "wq": (4, 4), "wk": (4, 4), "wv": (4, 4), "g": (4,), "b": (4,)}


def graph_of(nodes: list[Node], shape: tuple[int, ...], weights: dict[str, tuple[int, ...]]) -> Graph:
    inputs = (TensorSpec("x", (None, *shape)),)
    read = {name for node in nodes for name in node.inputs}
    specs = tuple(TensorSpec(name, size) for name, size in weights.items() if name in read)
    draft = Graph(inputs, (TensorSpec("y", ()),), specs, tuple(nodes))
    made = [TensorSpec(node.outputs[0], infer_specs(draft)[node.outputs[0]]) for node in nodes]
    graph = Graph(inputs, tuple(made), specs, tuple(nodes))
    graph.check()
    return graph


def graphs() -> dict[str, Graph]:
    found = {
        op: graph_of([Node("n", op, ("x", *weights), ("y",), attributes)], shape, weights)
        for op, (shape, weights, attributes) in SINGLE.items()
    }
    return found | {name: graph_of(nodes, (3, 4), SHARED) for name, nodes in NETS.items()}


GRAPHS = graphs()


def some_weights(graph: Graph, random: np.random.Generator, scale: float) -> dict[str, NDArray[np.float64]]:
    """Of any values, but for trees, which have to be trees."""
    if graph.nodes[0].op == "TreeEnsemble":
        forest = random_forest(3, 2, 4, results=2, full=True, seed=int(random.integers(2**32)))
        return graph_of_forest(forest, 4)[1]
    weights = {spec.name: random.normal(size=spec.shape) * scale for spec in graph.weights}
    return weights | ({"one": np.ones(1)} if "one" in weights else {})


def test_every_operator_has_a_rule_and_a_graph_here() -> None:
    assert RULES.keys() == SHAPES.keys()
    assert SHAPES.keys() == {node.op for graph in GRAPHS.values() for node in graph.nodes}


@pytest.mark.parametrize("name", sorted(GRAPHS))
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32), limit=st.integers(1, 9), scale=st.floats(0.01, 3.0), corner=st.booleans())
def test_nothing_leaves_its_interval(name: str, seed: int, limit: int, scale: float, corner: bool) -> None:
    graph, random = GRAPHS[name], np.random.default_rng(seed)
    weights = some_weights(graph, random, scale)
    rows = random.uniform(-limit, limit, size=(12, *graph.inputs[0].shape[1:]))
    rows = np.sign(rows) * (limit - UNIT) if corner else np.clip(rows, UNIT - limit, limit - UNIT)
    try:
        found = check_ranges(graph, weights, limit, BITS)
    except ModelRefused:
        assert name in ("Reciprocal", "Rsqrt")
        return
    rings = run_plain(graph, {key: encode(value) for key, value in weights.items()}, {"x": encode(rows)})
    for key, ring in rings.items():
        values, interval = ring.view(np.int64).astype(np.float64), found[key]
        assert (np.abs(values - interval.centre) - interval.radius).max() <= 0, key
        lengths = np.sqrt((values**2).sum(axis=interval.axis))
        assert lengths.max() <= interval.along(interval.axis), key
        if interval.mean:
            assert np.abs(values.sum(axis=-1) * UNIT - 1).max() < 1e-3


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ([Node("n", "Rsqrt", ("x",), ("y",))], r"'n' \(Rsqrt\).*nearer to zero"),
        ([Node("n", "Reciprocal", ("x",), ("y",))], r"'n' \(Reciprocal\).*nearer to zero"),
        ([Node("n", "Exp", ("x",), ("y",))], r"'n' \(Exp\).*may reach 100.0"),
        ([Node("a", "Mul", ("x", "x"), ("a",)), Node("n", "LayerNorm", ("a", "g", "b"), ("y",), {"epsilon": 1})],
         r"'n' \(LayerNorm\).*variance"),
        ([Node("a", "Mul", ("x", "x"), ("a",)), Node("c", "Mul", ("a", "a"), ("c",)),
          Node("n", "Softmax", ("c",), ("y",))],
         r"'n' \(Softmax\).*compares"),
    ],
)  # fmt: skip
def test_what_may_leave_is_named(nodes: list[Node], says: str) -> None:
    graph = graph_of(nodes, (3, 4), SHARED)
    weights = {spec.name: np.ones(spec.shape) for spec in graph.weights}
    with pytest.raises(ModelRefused, match=says) as caught:
        check_ranges(graph, weights, 100, BITS)
    assert caught.value.remedy


def test_a_normalised_row_is_short() -> None:
    """What the length gains: 64 elements of up to 16 times weights of 1/8 would reach 128 and do not reach 17."""
    nodes = [
        Node("n", "LayerNorm", ("x", "g", "b"), ("n",), {"epsilon": 1}),
        Node("f", "Linear", ("n", "w"), ("y",)),
    ]
    graph = graph_of(nodes, (64,), {"g": (64,), "b": (64,), "w": (64, 8)})
    weights = {"g": np.ones(64), "b": np.zeros(64), "w": np.full((64, 8), 1 / 8)}
    assert check_ranges(graph, weights, 4, BITS)["y"].magnitude.max() * UNIT < 17
