"""What the range check lets through the engine computes right, at the ends of the range too."""

import numpy as np
import pytest

from bench.fleet import Fleet
from mpc_infer.engine.plain import run_plain
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.ranges import VALUE_BITS, check_ranges
from mpc_infer.sharing import decode, encode

LIMIT, WEIGHT = 2**15, 32_000.0


@pytest.mark.parametrize(("op", "units"), [("Relu", 2), ("Sigmoid", 8)])
def test_the_largest_values_that_are_let_through(fleet: Fleet, op: str, units: float) -> None:
    """x W reaches 2^29.9, 2^61.9 before it is truncated; the sum of two such values 2^46.9 units."""
    nodes = (
        Node("dense", "Linear", ("x", "w"), ("h",)),
        Node("double", "Add", ("h", "h"), ("d",)),
        Node("last", op, ("d",), ("y",)),
    )
    graph = Graph((TensorSpec("x", (None, 1)),), (TensorSpec("y", (None, 2)),), (TensorSpec("w", (1, 2)),), nodes)
    weights = {"w": np.array([[WEIGHT, -WEIGHT]])}
    bounds = check_ranges(graph, weights, LIMIT, 16)
    assert 0.9 * 2**VALUE_BITS < bounds["d"].magnitude.max() < 2**VALUE_BITS
    x = encode(np.array([[32_440.0], [-32_440.0], [2.0**-16], [0.0], [1e-3]]))
    fleet.load(graph, weights)
    outputs = fleet.infer(graph, {"x": decode(x)}).outputs["y"]
    expected = decode(run_plain(graph, {"w": encode(weights["w"])}, {"x": x})["y"])
    assert np.abs(outputs - expected).max() <= units * 2.0**-16
