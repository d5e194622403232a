"""Values at the very ends of what publishing proves stay within what plans are compiled from.

A comparison with a window of 24 bits takes what leaves it for a number of the other sign: what roundings are off
before a product with a large weight must be in the intervals.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.engine.masked.builder import Builder, Tensor
from mpc_infer.engine.real import run_real
from mpc_infer.errors import ModelRefused
from mpc_infer.graph import Graph, Node
from mpc_infer.graph.error_bounds import error_bounds
from mpc_infer.graph.functions import constant
from mpc_infer.graph.input_ranges import InputRange, in_units
from mpc_infer.graph.numerics import value_bits_of
from mpc_infer.graph.public import ALL, with_public
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


@settings(max_examples=60, deadline=None)
@given(
    op=st.sampled_from(["Relu", "Abs", "Step", "Max", "Softmax", "ArgMax", "Gelu", "Sigmoid", "LayerNorm", "square"]),
    frac_bits=st.sampled_from([8, 12, 16]),
    value_bits=st.integers(20, 26),
    parties=st.integers(2, 5),
    layout=st.sampled_from([FAT, LEAN]),
    public=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_values_just_below_a_power_of_two(op, frac_bits, value_bits, parties, layout, public, seed):
    random, scale = np.random.default_rng(seed), 2.0**frac_bits
    nodes = [Node("l", "Linear", ("x", "w"), ("l",))]
    ends = {"Max": ("l", "b"), "LayerNorm": ("l", "g", "b"), "square": ("l", "l")}.get(op, ("l",))
    attributes = {"epsilon": constant(1e-5)} if op == "LayerNorm" else {}
    nodes.append(Node("t", "Mul" if op == "square" else op, ends, ("y",), attributes))
    read = {name for node in nodes for name in node.inputs}
    weights = {"w": random.normal(size=(3, 4)), "g": np.ones(4), "b": random.normal(size=4)}
    weights = {name: values for name, values in weights.items() if name in read}
    # The largest column reaches the power of two, but for what analysis and engines are off.
    limit = 8.0 * 2.0 ** max(0, value_bits - frac_bits - 16)
    weights["w"] *= (2.0**value_bits * (1 - 2.0**-18) - 16) / scale / limit / np.abs(weights["w"]).sum(axis=0).max()
    graph = graph_of(nodes, {"x": (3,)}, weights)
    graph = with_public(graph, [ALL]) if public else graph
    ends_of_x = InputRange(np.full(3, -limit), np.full(3, limit))
    try:
        ranges = check_ranges(graph, weights, in_units(graph, {"x": ends_of_x}, frac_bits), frac_bits)
    except ModelRefused:
        return
    fixed = FixedPoint(frac_bits, value_bits_of(graph, ranges))
    columns = limit * np.where(weights["w"].T > 0, 1.0, -1.0)
    rows = np.concatenate([columns, -columns])
    run = evaluate(graph, weights, {"x": rows}, parties, lean_from=layout, fixed=fixed)
    errors = error_bounds(graph, weights, ranges, frac_bits)
    for name, real in run_real(graph, weights, {"x": rows}).items():
        values = run.ring.get(name)
        if values is None:
            continue
        units, interval = values.view(np.int64).astype(np.float64), ranges[name]
        assert (np.abs(units - interval.centre) - interval.radius).max() <= 1e-6
        assert (np.abs(units - real * scale) - errors[name].radius * (1 + 1e-9)).max() <= 1e-4
