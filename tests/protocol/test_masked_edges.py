"""Random shapes and numbers, the ends of the range, and windows that hang over the image: against the oracle."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.graph import Node
from mpc_infer.graph.functions import constant
from tests.protocol.masked_parties import evaluate
from tests.protocol.test_masked_operators import EDGES, FAT, LEAN, UNIT, graph_of, single, window

MOST = 2**31 - 1
SEARCH = settings(max_examples=60, deadline=None, derandomize=True)
UNITS = st.one_of(st.sampled_from([0, 1, -1, 2, -2, MOST, -MOST, 2**30, -(2**16)]), st.integers(-MOST, MOST))
SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3)
PARTIES = st.sampled_from([2, 3, 4])
LAYOUT = st.sampled_from([FAT, LEAN])


def numbers(data, shape, units=UNITS):
    """Numbers of this shape: some at the edges, the rest anywhere."""
    count = int(np.prod(shape))
    drawn = data.draw(st.lists(units, min_size=1, max_size=min(count, 12)))
    return np.resize(np.array(drawn, dtype=np.float64), count).reshape(shape) * UNIT


@SEARCH
@given(data=st.data(), op=st.sampled_from(["Relu", "Abs", "Clip", "ArgMax"]), parties=PARTIES, layout=LAYOUT)
def test_comparisons_are_exact(data, op, parties, layout):
    shape = data.draw(SHAPES)
    low = data.draw(st.integers(-1000, 1000))
    attributes = {"low": constant(low), "high": constant(low + 3)} if op == "Clip" else None
    x = numbers(data, (data.draw(st.integers(1, 5)), *shape))
    run = evaluate(single(op, {"x": tuple(shape)}, attributes=attributes), {}, {"x": x}, parties, lean_from=layout)
    assert run.worst() == 0


@SEARCH
@given(data=st.data(), op=st.sampled_from(["Max", "Min", "Add", "Sub", "Mul"]), parties=PARTIES, layout=LAYOUT)
def test_two_numbers(data, op, parties, layout):
    shape = tuple(data.draw(SHAPES))
    other = tuple(data.draw(st.sampled_from([1, size])) for size in shape)
    # Sums stay inside of the range, and products below 2^62 units.
    units = UNITS.map(lambda value: value // 2) if op in ("Add", "Sub") else UNITS
    batch = data.draw(st.integers(1, 4))
    inputs = {"x": numbers(data, (batch, *shape), units), "z": numbers(data, (batch, *other), units)}
    if op == "Mul":
        inputs["z"] = np.clip(inputs["z"], -1, 1)
    run = evaluate(single(op, {"x": shape, "z": other}), {}, inputs, parties, lean_from=layout)
    assert run.worst() <= (op == "Mul")


@SEARCH
@given(data=st.data(), parties=PARTIES, layout=LAYOUT)
def test_products_are_off_by_one_unit_at_most(data, parties, layout):
    inner, width, batch = (data.draw(st.integers(1, 9)) for _ in range(3))
    weights = {"w": numbers(data, (inner, width)) / inner, "b": numbers(data, (width,)) / 4}
    x = np.clip(numbers(data, (batch, inner)), -0.5, 0.5)
    nodes = [Node("l", "Linear", ("x", "w", "b"), ("z",))]
    graph = graph_of(nodes, {"x": (inner,)}, weights)
    assert evaluate(graph, weights, {"x": x}, parties).worst() <= 1
    fused = graph_of([*nodes, Node("r", "Relu", ("z",), ("y",))], {"x": (inner,)}, weights)
    assert evaluate(fused, weights, {"x": x}, parties, lean_from=layout).worst() <= 1


@SEARCH
@given(data=st.data(), layout=LAYOUT)
def test_windows_of_any_form(data, layout):
    draw = data.draw
    size, kernel, strides, dilations = (
        (draw(st.integers(low, high)), draw(st.integers(low, high))) for low, high in ((1, 7), (1, 3), (1, 3), (1, 2))
    )
    spans = [1 + (kernel[axis] - 1) * dilations[axis] for axis in (0, 1)]
    before = [draw(st.integers(0, kernel[axis] - 1)) for axis in (0, 1)]
    # Wide enough for one window, and no wider than what the operator takes.
    after = [draw(st.integers(0, kernel[axis] - 1)) for axis in (0, 1)]
    if any(size[axis] + before[axis] + after[axis] < spans[axis] for axis in (0, 1)):
        return
    form = window(strides, (*before, *after), dilations)
    x = numbers(data, (2, 2, *size), st.integers(-(2**20), 2**20))
    weights = {"w": numbers(data, (2, 1, *kernel), st.integers(-(2**17), 2**17))}
    conv = single("Conv", {"x": (2, *size)}, weights=weights, attributes={**form, "group": 2})
    assert evaluate(conv, weights, {"x": x}).worst() <= 1
    if dilations == (1, 1):
        for op in ("MaxPool", "AveragePool"):
            graph = single(op, {"x": (2, *size)}, attributes={**form, "kernel": kernel})
            assert evaluate(graph, {}, {"x": x}, lean_from=layout).worst() <= (op == "AveragePool")


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 1)])
def test_a_pool_over_an_image_smaller_than_its_window(size):
    # All places of a window but one may lie beside the image: they repeat it, and nothing else.
    graph = single("MaxPool", {"x": (2, *size)}, attributes=window(pads=(2, 2, 2, 2), kernel=(3, 3)))
    x = -1 - np.arange(4.0 * np.prod(size)).reshape(2, 2, *size)
    for layout in (FAT, LEAN):
        assert evaluate(graph, {}, {"x": x}, lean_from=layout).worst() == 0


@pytest.mark.parametrize("parties", [2, 3, 4])
def test_one_unit_around_zero_before_truncation(parties):
    # z has 32 fractional bits when it is compared: -1, 0 and 1 of its units, and of the unit above.
    weights = {"w": np.array([[UNIT, 1.0]])}
    x = np.array([0, 1, -1, 2, -2, 2**16 - 1, -(2**16) + 1, 2**16, -(2**16), 2**16 + 1])[:, None] * UNIT
    nodes = [Node("l", "Linear", ("x", "w"), ("z",)), Node("r", "Relu", ("z",), ("y",))]
    for layout in (FAT, LEAN):
        run = evaluate(graph_of(nodes, {"x": (1,)}, weights), weights, {"x": x}, parties, lean_from=layout)
        assert run.worst() <= 1
        assert (run.ring["y"].view(np.int64) >= 0).all()


@pytest.mark.parametrize("op", ["Max", "Min", "ArgMax"])
def test_equal_numbers(op):
    for value in EDGES:
        inputs = {"x": np.full((1, 6), value), **({} if op == "ArgMax" else {"z": np.full((1, 6), value)})}
        shapes = dict.fromkeys(inputs, (6,))
        for layout in (FAT, LEAN):
            assert evaluate(single(op, shapes), {}, inputs, lean_from=layout).worst() == 0


def test_the_largest_numbers_of_a_pool_and_their_differences():
    # Differences reach twice the range.
    x = np.array([EDGES[-2:] * 2, EDGES[-1:] * 2 + EDGES[-2:-1] * 2]).reshape(1, 2, 2, 2)
    graph = single("MaxPool", {"x": (2, 2, 2)}, attributes=window((2, 2), kernel=(2, 2)))
    for layout in (FAT, LEAN):
        for parties in (2, 3, 4):
            assert evaluate(graph, {}, {"x": x}, parties, lean_from=layout).worst() == 0


@pytest.mark.parametrize("batch", [1, 2, 17, 256])
def test_rows_do_not_touch_each_other(batch):
    # The same row beside others is the same row alone, exactly where the operators are exact.
    nodes = [
        Node("m", "Max", ("x", "z"), ("a",)),
        Node("c", "Clip", ("a",), ("b",), {"low": constant(-5), "high": constant(5)}),
        Node("s", "Sub", ("b", "x"), ("y",)),
    ]
    random = np.random.default_rng(batch)
    inputs = {name: random.normal(size=(batch, 7)) * 10 for name in ("x", "z")}
    for layout in (FAT, LEAN):
        assert evaluate(graph_of(nodes, {"x": (7,), "z": (7,)}), {}, inputs, lean_from=layout).worst() == 0
