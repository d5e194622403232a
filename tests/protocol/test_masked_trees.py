"""Tree ensembles on the masked engine: against the oracle, and decision by decision."""

from dataclasses import replace

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor

from mpc_infer.engine.masked import MaskedEngine, packing
from mpc_infer.errors import CorruptModel
from mpc_infer.graph import Node, import_onnx
from mpc_infer.graph.shapes import ShapeError
from mpc_infer.graph.trees import FARTHEST, MODES, Decision, Forest, matrices, nearest
from tests.protocol.forests import follow, graph_of_forest, random_forest
from tests.protocol.masked_parties import evaluate
from tests.protocol.test_masked_openings import chi_square
from tests.protocol.test_masked_operators import EDGES, FAT, LEAN, UNIT, graph_of
from tests.unit.graph.exported_trees import rows_of
from tests.unit.graph.onnx_models import run_onnx


def on_grid(values: np.ndarray) -> np.ndarray:
    return np.rint(values / UNIT) * UNIT


def check(forest: Forest, rows: np.ndarray, parties: int = 2, lean_from: int = LEAN) -> None:
    """The masked engine, the oracle and the trees themselves agree, but for a truncation and the leaves' encoding."""
    graph, weights = graph_of_forest(forest, rows.shape[1])
    run = evaluate(graph, weights, {"x": rows}, parties, lean_from=lean_from)
    several = len(forest.roots) > 1
    assert run.worst() <= several
    assert run.plan.rounds == (7 if lean_from == LEAN else 6) + several
    off = np.abs(run.ring["y"].view(np.int64) * UNIT - follow(forest, rows))
    assert off.max() <= (1.125 if several else 0.5) * UNIT


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("lean_from", [FAT, LEAN], ids=["fat", "lean"])
@pytest.mark.parametrize(("batch", "full"), [(1, False), (5, True)])
def test_forests(parties, lean_from, batch, full):
    for depth in (1, 2, 5):
        forest = random_forest(6, depth, 4, results=2, full=full, seed=depth)
        check(forest, on_grid(np.random.default_rng(depth).normal(size=(batch, 4))), parties, lean_from)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("lean_from", [FAT, LEAN], ids=["fat", "lean"])
def test_ties_and_edges(mode, lean_from):
    """Every edge against every threshold: equal ones, the next ones, and thresholds between two numbers."""
    edges = on_grid(np.array(EDGES))
    thresholds = [*edges, *(edges + UNIT / 2), 1e6, -1e6, np.inf, -np.inf]
    # One tree for each, so that each one counts.
    decisions = [Decision(0, each, mode, ~(2 * place), ~(2 * place + 1)) for place, each in enumerate(thresholds)]
    leaves = np.zeros((2 * len(decisions), len(decisions)))
    leaves[np.arange(0, len(leaves), 2), np.arange(len(decisions))] = 1.0
    forest = Forest(decisions, list(range(len(decisions))), leaves)
    rows = np.array([[edge + step * UNIT] for edge in edges for step in (-1, 0, 1)])
    check(forest, rows[np.abs(rows[:, 0]) < FARTHEST], lean_from=lean_from)


def test_a_tie_stays_a_tie_off_the_grid():
    """A threshold that is a training value, which is no multiple of 2^-16, and the values that come there."""
    value = 0.1234567
    for mode, holds in (("BRANCH_LEQ", 1.0), ("BRANCH_LT", 0.0), ("BRANCH_GTE", 1.0), ("BRANCH_GT", 0.0)):
        graph, weights = graph_of_forest(Forest([Decision(0, value, mode, ~0, ~1)], [0], np.array([[1.0], [0.0]])), 1)
        run = evaluate(graph, weights, {"x": np.array([[value], [value - 2 * UNIT], [value + 2 * UNIT]])})
        less = 1.0 if mode in ("BRANCH_LEQ", "BRANCH_LT") else 0.0
        assert (run.ring["y"].view(np.int64)[:, 0] * UNIT).tolist() == [holds, less, 1 - less]


def test_in_the_middle_neighbours_stay_apart():
    assert nearest(0.5 * UNIT, -1) == 0
    assert nearest(0.5 * UNIT, 1) == UNIT
    assert nearest(-0.5 * UNIT, -1) == -UNIT
    assert nearest(-0.5 * UNIT, 1) == 0


def test_trees_of_all_sizes():
    """A leaf without decisions, a chain of 20, and a full tree, in one forest."""
    chain = [Decision(0, float(-place), "BRANCH_LEQ", place + 1, ~place) for place in range(19)]
    chain.append(Decision(0, -19.0, "BRANCH_LEQ", ~19, ~20))
    forest = Forest(chain, [~21, 0], np.arange(22.0)[:, None] + 1)
    rows = on_grid(np.arange(-22.0, 3.0)[:, None] / 1.1)
    check(forest, rows, 3)
    only = Forest([], [~0], np.array([[2.5, -1.0]]))
    check(only, rows[:3])


def test_one_hundred_trees_of_depth_six_on_thirty_features():
    graph, weights = graph_of_forest(random_forest(100, 6, 30, full=True), 30)
    run = evaluate(graph, weights, {"x": np.random.default_rng(1).normal(size=(1, 30))})
    assert run.worst() <= 1
    assert (run.plan.rounds, run.plan.bytes_sent, run.plan.correction_bytes) == (8, 111_880, 888_448)


def test_depth_costs_no_rounds_and_the_shapes_of_trees_nothing_public():
    """A chain and a full tree of as many leaves differ only in the bound of the depth."""
    chain = [Decision(0, float(-place), "BRANCH_LEQ", place + 1, ~place) for place in range(6)]
    chain.append(Decision(0, -6.0, "BRANCH_LEQ", ~6, ~7))
    long, _ = graph_of_forest(Forest(chain, [0], np.ones((8, 1))), 3)
    full, _ = graph_of_forest(random_forest(1, 3, 3, full=True), 3)
    plans = [MaskedEngine().plan(graph, 1, 2) for graph in (long, full)]
    assert plans[0].rounds == plans[1].rounds
    assert long.weights == full.weights
    assert (long.nodes[0].attributes["depth"], full.nodes[0].attributes["depth"]) == (7, 3)


@pytest.mark.parametrize("lean_from", [FAT, LEAN], ids=["fat", "lean"])
@pytest.mark.parametrize("parties", [2, 3])
def test_what_is_opened_of_trees_is_uniform(parties, lean_from):
    graph, weights = graph_of_forest(random_forest(40, 4, 3, full=True), 3)
    program = MaskedEngine(lean_from=lean_from).program(graph, 8, parties)
    for value in (0.0, 300.0):
        run = evaluate(graph, weights, {"x": np.full((8, 3), value)}, parties, lean_from=lean_from)
        for each, frame in zip(program.rounds, run.openings, strict=True):
            for segment in each.segments:
                request = program.requests[segment.number]
                if request.op == "open" and request.size > 1000:
                    low, width = request.params[1:]
                    fields = np.zeros(request.size, dtype=np.uint64)
                    packing.unpack(frame[segment.start : segment.stop], 0, width, fields)
                    # The highest bits, where a small number would show.
                    top = (fields >> np.uint64(width - 8)).astype(np.int64)
                    assert abs(chi_square(top, 256) - 256) < 7 * np.sqrt(512) + 10
                    assert low == 0


@pytest.mark.parametrize(
    ("forest", "error", "says"),
    [
        (Forest([Decision(0, 0.0, "BRANCH_LEQ", 0, ~0)], [0], np.ones((1, 1))), CorruptModel, "meet again"),
        (Forest([Decision(0, 0.0, "BRANCH_LEQ", 7, ~0)], [0], np.ones((1, 1))), CorruptModel, "lead nowhere"),
        (Forest([Decision(0, 0.0, "BRANCH_LEQ", ~1, ~0)], [0], np.ones((1, 1))), CorruptModel, "leaf that it does not"),
        (Forest([Decision(9, 0.0, "BRANCH_LEQ", ~0, ~0)], [0], np.ones((1, 1))), CorruptModel, "feature 9 of 4"),
        (Forest([Decision(0, np.nan, "BRANCH_LEQ", ~0, ~0)], [0], np.ones((1, 1))), CorruptModel, "with nan"),
        (Forest([], [], np.ones((1, 1))), CorruptModel, "no trees"),
        (
            Forest([Decision(0, 0.0, "BRANCH_LEQ", place + 1, ~0) for place in range(80)], [0], np.ones((1, 1))),
            ShapeError,
            "deeper than 63",
        ),
        (random_forest(3, 11, 4, full=True), ShapeError, "3 trees with up to 2048 leaves.* of paths"),
        (random_forest(1, 13, 4, full=True), ShapeError, "more than 4096 leaves"),
        (Forest([], [~0] * 4097, np.ones((1, 4096))), ShapeError, "of leaves, 16777216 are allowed"),
    ],
)
def test_what_are_no_trees_or_too_large_ones(forest, error, says):
    with pytest.raises(error, match=says) as caught:
        matrices(forest, 4, "trees")
    assert error is CorruptModel or caught.value.remedy


def test_a_hundred_boosted_trees_on_breast_cancer():
    """As scikit-learn exports them, on rows that they have not seen: the classes are those of onnxruntime."""
    rows, targets = rows_of("cancer")
    model = GradientBoostingClassifier(n_estimators=100, random_state=0).fit(rows[171:], targets[171:])
    file = to_onnx(model, rows[:1], options={"zipmap": False}).SerializeToString()
    imported = import_onnx(file)
    assert imported.weights[imported.graph.nodes[0].inputs[3]].shape[0] == 100
    run = evaluate(imported.graph, imported.weights, {"X": rows[:171]}, 3)
    found = run.ring["probabilities"].view(np.int64) * UNIT
    expected = run_onnx(file, {"X": rows[:171]})["probabilities"]
    assert np.abs(found - expected).max() < 2e-4
    right = (found.argmax(axis=1) == targets[:171]).mean()
    assert right == (expected.argmax(axis=1) == targets[:171]).mean() > 0.9


def test_what_is_computed_of_trees():
    """Sums, products, views and functions of results that wait to be truncated, by different numbers of bits."""
    weights, nodes = {}, []
    for name, forest in (("a", random_forest(3, 2, 4, results=3)), ("b", random_forest(9, 2, 4, results=3, seed=1))):
        graph, own = graph_of_forest(forest, 4)
        weights |= {f"{name}:{key}": value for key, value in own.items()}
        inputs = ("x", *(f"{name}:{key}" for key in own))
        nodes.append(replace(graph.nodes[0], name=name, inputs=inputs, outputs=(name,)))
    nodes += [
        Node("s", "Add", ("a", "b"), ("s",)),
        Node("m", "Mul", ("a", "b"), ("m",)),
        Node("t", "Slice", ("b",), ("t",), {"axis": 1, "start": 0, "stop": 3, "step": 2}),
        Node("f", "Softmax", ("b",), ("f",)),
        Node("r", "Relu", ("a",), ("r",)),
        Node("y", "Concat", ("s", "m", "t", "f", "r"), ("y",), {"axis": 1}),
    ]
    graph = graph_of(nodes, {"x": (4,)}, weights)
    rows = on_grid(np.random.default_rng(3).normal(size=(5, 4)))
    run = evaluate(graph, weights, {"x": rows}, 3)
    errors = np.abs(run.errors()["y"]).max(axis=0)
    # Products of values of up to some 50 have errors of as many units.
    assert errors[[0, 1, 2, 6, 7, 11, 12, 13]].max() <= 2
    assert errors[3:6].max() <= 200
    assert errors[8:11].max() <= 16


def test_products_on_a_device():
    forest, rows = random_forest(6, 3, 4, results=2), on_grid(np.random.default_rng(2).normal(size=(3, 4)))
    graph, weights = graph_of_forest(forest, 4)
    assert evaluate(graph, weights, {"x": rows}, device="torch-cpu").worst() <= 1


def test_leaves_have_as_many_bits_more_as_there_are_trees():
    """A thousand leaves of 1/1000 make 1, where each of them is off by 0.46 units alone."""
    decisions = [Decision(0, 0.0, "BRANCH_LEQ", ~place, ~1000) for place in range(1000)]
    forest = Forest(decisions, list(range(1000)), np.append(np.full(1000, 0.001), 0.0)[:, None])
    graph, weights = graph_of_forest(forest, 1)
    assert graph.nodes[0].attributes["extra"] == 12
    run = evaluate(graph, weights, {"x": np.array([[-1.0], [1.0]])})
    assert np.abs(run.ring["y"].view(np.int64)[:, 0] - [65536, 0]).max() <= 1


@pytest.mark.slow
def test_a_random_forest_as_it_comes():
    """A hundred trees as deep as they like: up to 226 leaves, and depth 24."""
    rows, targets = rows_of("diabetes")
    model = RandomForestRegressor(100, random_state=0).fit(rows[100:], targets[100:])
    file = to_onnx(model, rows[:1]).SerializeToString()
    imported = import_onnx(file)
    run = evaluate(imported.graph, imported.weights, {"X": rows[:20]}, 3)
    found = run.ring["variable"].view(np.int64) * UNIT
    # float32 has 24 bits for a sum of some 15,000.
    assert np.abs(found - run_onnx(file, {"X": rows[:20]})["variable"]).max() < 2e-4
