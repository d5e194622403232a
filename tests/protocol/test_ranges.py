"""What the range check lets through the engine computes right, at the ends of the range too."""

import numpy as np
import pytest

from bench.fleet import Fleet
from mpc_infer.engine.plain import run_plain
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.interval import COMPARE_BITS
from mpc_infer.graph.ranges import check_ranges
from mpc_infer.sharing import decode, encode
from tests.protocol.masked_parties import evaluate

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


@pytest.mark.parametrize("width", [2, 3, 384])
def test_a_normalisation_makes_no_row_longer_than_it_says(width: int) -> None:
    """Rows that are constant but for some units have the least exact variances."""
    unit = 2.0**-16
    node = Node("n", "LayerNorm", ("x", "g", "b"), ("y",), {"epsilon": 0})
    weights = (TensorSpec("g", (width,)), TensorSpec("b", (width,)))
    graph = Graph((TensorSpec("x", (None, width)),), (TensorSpec("y", (None, width)),), weights, (node,))
    values = {"g": np.ones(width), "b": np.zeros(width)}
    alternating, alone = np.resize([1.0, -1.0], width), np.eye(width)[0]
    sizes = unit * 2.0 ** np.arange(0, 24, 0.25)
    x = 3.0 + np.concatenate([np.outer(sizes, each) for each in (alternating, alone)])
    bounds = check_ranges(graph, values, 16, 16)["y"]
    found = decode(evaluate(graph, values, {"x": x}).ring["y"])
    assert np.linalg.norm(found, axis=1).max() <= bounds.length * unit
    assert np.linalg.norm(found, axis=1).max() > 0.99 * np.sqrt(width)
    assert (np.abs(found) <= bounds.magnitude * unit).all()
