"""Small graphs made at random: values stay inside their intervals, and results inside their errors."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.engine.plain import run_plain
from mpc_infer.engine.real import run_real
from mpc_infer.errors import ModelRefused
from mpc_infer.graph import Node
from mpc_infer.graph.functions import constant
from mpc_infer.graph.input_ranges import UnitRange
from mpc_infer.graph.numerics import choose
from mpc_infer.sharing import encode
from tests.unit.graph.test_error_bounds import sides
from tests.unit.graph.test_ranges_of_operators import graph_of

ONE = ("Relu", "Abs", "Step", "Sigmoid", "Tanh", "Gelu", "Silu", "Softplus", "Softmax")
TWO = ("Add", "Sub", "Mul", "Max", "Min")
WEIGHED = ("Linear", "LayerNorm", "MatMul")
BENT = ("LeakyRelu", "Clip", "Reshape", "ArgMax", "Transpose", "Slice")
WEIGHTS = {"w": (4, 4), "b": (4,), "g": (4,)}
ATTRIBUTES = {
    "LeakyRelu": {"alpha": constant(0.3)},
    "Clip": {"low": constant(-2.0), "high": constant(3.0)},
    "LayerNorm": {"epsilon": constant(1e-3)},
}
operators = st.sampled_from((*ONE, *TWO, *WEIGHED, "LeakyRelu", "Clip", "square", "columns"))


def made(op: str, number: int, first: str, second: str) -> list[Node]:
    """Nodes that make the tensor `t<number>` of three rows of four from others of that shape."""
    out, name = f"t{number}", f"n{number}"
    if op == "square":
        turned = Node(f"{name}t", "Transpose", (second,), (f"{out}t",), {"perm": (0, 2, 1)})
        product = Node(f"{name}m", "MatMul", (first, f"{out}t"), (f"{out}m",))
        return [turned, product, Node(name, "MatMul", (f"{out}m", first), (out,))]
    if op == "columns":
        where = [{"axis": 2, "start": start, "stop": 4, "step": 2} for start in (0, 1)]
        parts = [Node(f"{name}{k}", "Slice", (first,), (f"{out}p{k}",), where[k]) for k in (0, 1)]
        return [*parts, Node(name, "Concat", (f"{out}p1", f"{out}p0"), (out,), {"axis": 2})]
    extra = {"Linear": ("w", "b"), "LayerNorm": ("g", "b"), "MatMul": ("w",)}.get(op, ())
    inputs = (first, second) if op in TWO else (first, *extra)
    return [Node(name, op, inputs, (out,), ATTRIBUTES.get(op, {}))]


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.tuples(operators, st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6),
    seed=st.integers(0, 2**32),
    limit=st.floats(0.1, 50.0),
    scale=st.floats(0.05, 2.0),
    corner=st.booleans(),
)
def test_a_random_graph(steps: list[tuple[str, int, int]], seed: int, limit: float, scale: float, corner: bool) -> None:
    nodes: list[Node] = []
    for number, (op, first, second) in enumerate(steps, start=1):
        known = ["x", *(f"t{earlier}" for earlier in range(1, number))]
        nodes += made(op, number, known[first % len(known)], known[second % len(known)])
    graph, random = graph_of(nodes, (3, 4), WEIGHTS), np.random.default_rng(seed)
    weights = {spec.name: random.normal(size=spec.shape) * scale for spec in graph.weights}
    declared = sides(graph, random, limit)
    try:
        found = choose(graph, weights, declared)
    except ModelRefused:
        return
    low, high = declared["x"].low, declared["x"].high
    share = random.uniform(size=(16, *low.shape))
    rows, bits = low + (high - low) * (np.rint(share) if corner else share), found.frac_bits
    assert_inside(encode(rows, frac_bits=bits).view(np.int64), found.inputs["x"])
    rings = run_plain(
        graph,
        {key: encode(value, frac_bits=bits) for key, value in weights.items()},
        {"x": encode(rows, frac_bits=bits)},
        bits,
    )
    for key, real in run_real(graph, weights, {"x": rows}).items():
        values, interval, bound = rings[key].view(np.int64).astype(np.float64), found.ranges[key], found.errors[key]
        assert (np.abs(values - interval.centre) - interval.radius).max() <= 1e-6, key
        off = np.abs(values - real * 2.0**bits)
        assert (off - bound.radius * (1 + 1e-9)).max() <= 1e-5, key
        assert np.sqrt((off**2).sum(axis=bound.axis)).max() <= bound.along(bound.axis) * (1 + 1e-9) + 1e-5, key


def assert_inside(units: np.ndarray, given: UnitRange) -> None:
    low, high = given.bounds(units.shape[1:])
    assert ((low <= units) & (units <= high)).all()
