"""Values at the very ends of what publishing proves stay within what plans are compiled from.

A comparison with a window of 24 bits takes what leaves it for a number of the other sign: what roundings are off
before a product with a large weight must be in the intervals.
"""

import numpy as np
import pytest

from mpc_infer.engine.masked.builder import Builder, Tensor
from mpc_infer.graph import Graph, Node
from mpc_infer.graph.input_ranges import InputRange, in_units
from mpc_infer.graph.numerics import value_bits_of
from mpc_infer.graph.ranges import check_ranges
from mpc_infer.preprocessing.masked_requests import LAYOUTS
from mpc_infer.sharing import FixedPoint
from tests.protocol.masked_parties import Run, evaluate
from tests.protocol.test_masked_operators import FAT, LEAN, UNIT, graph_of

NARROW = 2.0**24
WINDOW = {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


def at_one_point(graph: Graph, weights, row, rows: int, parties: int, layout: int) -> tuple[Run, float]:
    """Many evaluations of one row, which is all that the ranges allow; and the smallest value of `l`, in units."""
    declared = in_units(graph, {"x": InputRange(row, row)}, 16)
    ranges = check_ranges(graph, weights, declared, 16)
    fixed = FixedPoint(16, value_bits_of(graph, ranges))
    run = evaluate(graph, weights, {"x": np.repeat(row[None], rows, 0)}, parties, lean_from=layout, fixed=fixed)
    return run, float(ranges["l"].low.min())


def windows_of(run: Run) -> set[int]:
    return {LAYOUTS[request.params[1]].window for request in run.plan.program if request.op == "compare"}


@pytest.mark.parametrize("layout", [FAT, LEAN])
def test_maxima_of_near_ties_times_a_large_weight(layout):
    side, weight = 8, 512.0
    nodes = [
        Node("c", "Conv", ("x", "k"), ("c",), {**WINDOW, "group": 1}),
        Node("p", "MaxPool", ("c",), ("p",), {**WINDOW, "kernel": (side, side)}),
        Node("f", "Flatten", ("p",), ("f",), {"axis": 1}),
        Node("l", "Linear", ("f", "w"), ("l",)),
        Node("r", "Relu", ("l",), ("y",)),
    ]
    weights = {"k": np.full((1, 1, 1, 1), 2.0**-6), "w": np.full((1, 1), weight)}
    # In every level of the tree the larger one is ahead by less than a unit, and on the side that may lose.
    behind = np.array([(side * side - 1 - place).bit_count() for place in range(side * side)])
    units = np.round((1.2 - NARROW / weight - 0.45 * behind) * 64) / 64
    row = (units * 64 * UNIT).reshape(1, side, side)
    graph = graph_of(nodes, {"x": row.shape}, weights)
    run, low = at_one_point(graph, weights, row, 400, 3, layout)
    assert low < -NARROW
    assert windows_of(run) == {24, 32}
    assert run.worst() == 0


def test_what_openings_leave_out_times_a_large_weight():
    weight = 2.0**14
    nodes = [
        Node("a", "Linear", ("x", "v"), ("a",)),
        Node("l", "Linear", ("a", "w"), ("l",)),
        Node("r", "Relu", ("l",), ("y",)),
    ]
    weights = {"v": np.full((1, 1), 2.0**-7), "w": np.full((1, 1), weight)}
    # A little more than a whole number of units: five parties may leave out more than that, and the floor is one lower.
    row = np.full(1, (1 - NARROW / weight + 1 / 128) * 128 * UNIT)
    graph = graph_of(nodes, {"x": row.shape}, weights)
    run, low = at_one_point(graph, weights, row, 20000, 5, FAT)
    assert low < -NARROW
    assert run.worst() == 0


def test_a_size_below_what_roundings_take_is_none():
    """A manifest may say 1 bit; a bound below zero could give a truncation no modulus."""
    builder = Builder(frac_bits=16, lean_from=2048)
    number = builder.add("local", (), (3,), (0,))
    builder.know(Tensor((3,), shares={16: number}), 1)
    assert builder.bounds == [0]
