"""What the range check lets through the engine computes right, at the ends of the range too."""

import numpy as np
import pytest

from bench.fleet import Fleet
from mpc_infer.engine.plain import run_plain
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.interval import COMPARE_BITS
from mpc_infer.graph.ranges import check_ranges
from mpc_infer.sharing import decode, encode

LIMIT, WEIGHT = 2**15, 0.9985


@pytest.mark.parametrize(("op", "units"), [("Relu", 2), ("Sigmoid", 8)])
def test_the_largest_values_that_are_let_through(fleet: Fleet, op: str, units: float) -> None:
    """The sum of two values of 2^14.99 is compared with zero."""
    nodes = (
        Node("dense", "Linear", ("x", "w"), ("h",)),
        Node("double", "Add", ("h", "h"), ("d",)),
        Node("last", op, ("d",), ("y",)),
    )
    graph = Graph((TensorSpec("x", (None, 1)),), (TensorSpec("y", (None, 2)),), (TensorSpec("w", (1, 2)),), nodes)
    weights = {"w": np.array([[WEIGHT, -WEIGHT]])}
    bounds = check_ranges(graph, weights, LIMIT, 16)
    assert 0.99 * 2**COMPARE_BITS < bounds["d"].magnitude.max() < 2**COMPARE_BITS
    x = encode(np.array([[32_767.5], [-32_767.5], [2.0**-16], [0.0], [1e-3]]))
    fleet.load(graph, weights)
    outputs = fleet.infer(graph, {"x": decode(x)}).outputs["y"]
    expected = decode(run_plain(graph, {"w": encode(weights["w"])}, {"x": x})["y"])
    assert np.abs(outputs - expected).max() <= units * 2.0**-16
