"""What every operator costs by itself: `python -m tests.protocol.masked_costs` prints docs/engine.md's table."""

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from mpc_infer.engine.api import DEFAULT
from mpc_infer.engine.frames import HEADER_BYTES
from mpc_infer.engine.masked import MaskedEngine
from mpc_infer.graph import Graph
from mpc_infer.graph.functions import constant
from mpc_infer.graph.public import ALL, with_public
from mpc_infer.sharing import FixedPoint
from tests.protocol.forests import graph_of_forest, random_forest
from tests.protocol.masked_parties import evaluate
from tests.protocol.test_masked_operators import FAT, LEAN, single, window

SIZE = 64
"""Elements of the result, or of a row."""
Weights = dict[str, Any]


def operators() -> Iterator[tuple[str, Graph, Weights]]:
    """Every operator by itself, on 64 elements."""
    random = np.random.default_rng(20)
    one, pair, image = {"x": (SIZE,)}, {"x": (SIZE,), "z": (SIZE,)}, {"x": (1, 8, 8)}
    square, vector = {"w": random.normal(size=(SIZE, SIZE))}, {"w": random.normal(size=SIZE)}
    kernel = {"w": random.normal(size=(1, 1, 3, 3))}
    norm = {"g": np.ones(SIZE), "b": np.zeros(SIZE)}
    pool = window((2, 2), kernel=(2, 2))
    yield "Linear", single("Linear", one, weights=square), square
    conv = window(pads=(1, 1, 1, 1), group=1)
    yield "Conv", single("Conv", image, weights=kernel, attributes=conv), kernel
    yield "Linear, public", with_public(single("Linear", one, weights=square), [ALL]), square
    yield "Conv, public", with_public(single("Conv", image, weights=kernel, attributes=conv), [ALL]), kernel
    yield "MatMul", single("MatMul", {"x": (8, 8), "z": (8, 8)}), {}
    for op in ("Add", "Sub", "Mul"):
        yield op, single(op, pair), {}
    yield "Mul by a weight", single("Mul", one, weights=vector), vector
    yield "Mul by a public weight", with_public(single("Mul", one, weights=vector), [ALL]), vector
    yield "Relu", single("Relu", one), {}
    yield "Abs", single("Abs", one), {}
    yield "Step", single("Step", one), {}
    yield "LeakyRelu", single("LeakyRelu", one, attributes={"alpha": constant(0.1)}), {}
    yield "Clip", single("Clip", one, attributes={"low": constant(-1), "high": constant(6)}), {}
    for op in ("Max", "Min"):
        yield op, single(op, pair), {}
    yield "MaxPool 2×2", single("MaxPool", {"x": (1, 16, 16)}, attributes=pool), {}
    yield "AveragePool 2×2", single("AveragePool", {"x": (1, 16, 16)}, attributes=pool), {}
    yield "ArgMax of 64", single("ArgMax", one), {}
    trees, weights = graph_of_forest(random_forest(4, 4, 8, full=True), 8)
    yield "TreeEnsemble of 4 trees with 16 leaves", trees, weights
    yield "TreeEnsemble of 4 public trees with 16 leaves", with_public(trees, [ALL]), weights
    for op in ("Sigmoid", "Tanh", "Erf", "Gelu", "Silu", "Softplus", "Exp", "Reciprocal", "Rsqrt"):
        yield op, single(op, one), {}
    yield "Softmax of 64", single("Softmax", one), {}
    layer = single("LayerNorm", one, weights=norm, attributes={"epsilon": constant(1e-3)})
    yield "LayerNorm of 64", layer, norm
    yield "LayerNorm of 64, public", with_public(layer, [ALL]), norm


def small(graph: Graph) -> FixedPoint:
    """Nothing is known of values but that all are below 64 = 2^22 units."""
    return FixedPoint(value_bits=(22,) * (len(graph.inputs) + len(graph.nodes)))


def cost(graph: Graph, lean_from: int, fixed: FixedPoint) -> tuple[str, str, str]:
    """Rounds; bytes that a party sends to each other one and bytes of material, for each of 64 elements."""
    plan = MaskedEngine(lean_from=lean_from).plan(graph, 1, 2, fixed)
    sent = (plan.bytes_sent - HEADER_BYTES * plan.rounds) / SIZE
    return f"{plan.rounds}", f"{sent:.1f}", f"{plan.material_bytes / SIZE:.0f}"


def table() -> Iterator[str]:
    """The rows."""
    for name, graph, _ in operators():
        rounds, *costs = _of_both_layouts(graph, DEFAULT)
        _, *smaller = _of_both_layouts(graph, small(graph))
        columns = [column for pair in zip(costs, smaller, strict=True) for column in pair]
        yield f"| `{name}` | {' | '.join([rounds, *columns])} |"


def _of_both_layouts(graph: Graph, fixed: FixedPoint) -> list[str]:
    fat, lean = (cost(graph, lean_from, fixed) for lean_from in (FAT, LEAN))
    return [f"{one} / {other}" if one != other else one for one, other in zip(fat, lean, strict=True)]


def run(graph: Graph, weights: Weights, parties: int, lean_from: int, fixed: FixedPoint) -> Any:
    """Evaluate on numbers for which every operator is defined; what is declared is asserted to be what is measured."""
    random = np.random.default_rng(parties)
    inputs = {spec.name: random.uniform(0.5, 1.5, (1, *spec.shape[1:])) for spec in graph.inputs}
    return evaluate(graph, weights, inputs, parties, lean_from=lean_from, fixed=fixed)


if __name__ == "__main__":
    sys.stdout.write("".join(f"{row}\n" for row in table()))
