"""What is opened is uniform, whatever the input; truncation never wraps; nothing depends on the seeds but the masks."""

import numpy as np
import pytest

from bench.models import dense, random_weights
from mpc_infer.engine.api import DEFAULT
from mpc_infer.engine.masked import MaskedEngine, packing
from mpc_infer.graph import Node
from mpc_infer.graph.public import ALL, with_public
from mpc_infer.preprocessing.masked_requests import LAYOUTS, layout_of
from tests.protocol.masked_costs import small
from tests.protocol.masked_parties import evaluate
from tests.protocol.test_masked_operators import FAT, LEAN, graph_of, single, window


def chi_square(values, cells):
    """Of the counts of 0 to cells - 1."""
    counts = np.bincount(values, minlength=cells)
    expected = counts.sum() / cells
    return ((counts - expected) ** 2 / expected).sum()


def network():
    """Every kind of opening: sums, bits, flips, splines, products of secrets."""
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(16, 1, 3, 3)), "v": random.normal(size=(16 * 16, 64)) / 16}
    nodes = [
        Node("c", "Conv", ("x", "w"), ("c1",), window(pads=(1, 1, 1, 1), group=1)),
        Node("r", "Relu", ("c1",), ("r1",)),
        Node("p", "MaxPool", ("r1",), ("p1",), window((2, 2), kernel=(2, 2))),
        Node("f", "Flatten", ("p1",), ("f1",), {"axis": 1}),
        Node("l", "Linear", ("f1", "v"), ("l1",)),
        Node("g", "Gelu", ("l1",), ("g1",)),
        Node("m", "Mul", ("g1", "g1"), ("y",)),
    ]
    return graph_of(nodes, {"x": (1, 8, 8)}, weights), weights


def segments(run, program):
    """(operation, layout, elements) of everything that was opened."""
    for each, frame in zip(program.rounds, run.openings, strict=True):
        for segment in each.segments:
            request = program.requests[segment.number]
            layout = request.params[1] if request.op == "compare" else None
            yield request.op, layout, elements(request, frame[segment.start : segment.stop])


def elements(request, words):
    """The opened value as bytes (sums), patterns without their public bit, or bits."""
    if request.op == "open":
        return words.view(np.uint8)[: request.size * request.params[2] // 8]
    if request.op == "flip":
        return np.unpackbits(words.view(np.uint8), bitorder="little", count=request.size)
    layout = layout_of(request)
    fields = np.zeros(request.size, dtype=np.uint64)
    packing.unpack(words, 0, layout.field, fields)
    return fields.astype(np.int64) & ((1 << layout.tables) - 1)


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("fixed", [DEFAULT, small(network()[0])], ids=["wide", "narrow"])
@pytest.mark.parametrize("lean_from", [FAT, LEAN], ids=["fat", "lean"])
@pytest.mark.parametrize("public", [[], [ALL]], ids=["secret", "public"])
def test_every_opened_value_is_uniform_for_any_input(parties, lean_from, public, fixed):
    graph, weights = network()
    graph = with_public(graph, public)
    batch = 60
    program = MaskedEngine(lean_from=lean_from).program(graph, batch, parties, fixed)
    narrow = {LAYOUTS[request.params[1]].window for request in program.requests if request.op == "compare"}
    assert narrow == ({32} if fixed is DEFAULT else {24})
    # Of values that are known to be small some are not: what is opened is as uniform.
    for value in (0.0, -30000.0, 7.0):
        x = {"x": np.full((batch, 1, 8, 8), value / 100)}
        run = evaluate(graph, weights, x, parties, lean_from=lean_from, fixed=fixed)
        found: dict[tuple[str, object], list[np.ndarray]] = {}
        for op, layout, values in segments(run, program):
            found.setdefault((op, layout), []).append(values)
        assert len(found) == (2 if lean_from == FAT else 3)
        for (op, layout), values in found.items():
            cells = {"open": 256, "flip": 2}.get(op) or 1 << LAYOUTS[layout].tables
            for one in [*values, np.concatenate(values)]:
                if one.size >= 5 * cells:
                    # Beyond 7 standard deviations with a probability below 1e-9.
                    assert abs(chi_square(one, cells) - cells) < 7 * np.sqrt(2 * cells) + 10, (op, layout)


def test_two_inputs_cannot_be_told_apart():
    # The mean of each opened word over many runs is the same for two inputs, within the noise.
    graph = dense([4, 8, 2])
    weights = random_weights(graph)
    means = []
    for value in (-100.0, 100.0):
        run = evaluate(graph, weights, {"x": np.full((4000, 4), value)})
        means.append([frame.astype(np.float64).mean() / 2**64 for frame in run.openings])
        sizes = [frame.size for frame in run.openings]
    for first, second, size in zip(*means, sizes, strict=True):
        if size > 4000:
            assert abs(first - second) < 8 * np.sqrt(2 / 12 / size)


@pytest.mark.parametrize("parties", [2, 3])
def test_a_million_truncations_without_a_wrap(parties):
    weights = {"w": np.array([[2.0**14]])}
    x = np.random.default_rng(parties).uniform(-32767, 32767, (1_000_000, 1))
    run = evaluate(single("Linear", {"x": (1,)}, weights=weights), weights, {"x": x}, parties)
    assert run.worst() <= 1


def test_a_million_comparisons():
    # Near zero, where a borrow in the mask would show, and everywhere else.
    random = np.random.default_rng(3)
    x = np.concatenate([random.integers(-3, 4, 500_000) * 2.0**-16, random.uniform(-32767, 32767, 500_000)])
    for lean_from in (FAT, LEAN):
        run = evaluate(single("Relu", {"x": (1000,)}), {}, {"x": x.reshape(-1, 1000)[:400]}, lean_from=lean_from)
        assert run.worst() == 0


def test_two_runs_on_the_same_input_open_other_values():
    graph, weights = network()
    runs = [evaluate(graph, weights, {"x": np.ones((1, 1, 8, 8))}) for _ in range(2)]
    for first, second in zip(runs[0].openings, runs[1].openings, strict=True):
        assert (first == second).mean() < 0.1
    assert runs[0].outcomes[0].transcript != runs[1].outcomes[0].transcript
