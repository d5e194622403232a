"""What is seen on the way is uniform, whatever the inputs; truncation never wraps."""

import numpy as np
import pytest

from bench.models import dense, random_weights
from bench.wire import arrays_of
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.sharing import decode

from .misbehaviour import collect, record


def identity(factor_bits):
    """x times a weight: one product, one truncation."""
    return Graph(
        (TensorSpec("x", (None, 1)),),
        (TensorSpec("y", (None, 1)),),
        (TensorSpec("w", (1, 1)),),
        (Node("l", "Linear", ("x", "w"), ("y",)),),
    ), {"w": np.array([[2.0**factor_bits]])}


@pytest.mark.parametrize("parties", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_a_million_truncations_without_a_wrap(fleets, parties):
    # Local truncation would go wrong with a probability of |z| / 2^63, here about one in four.
    fleet = fleets(parties)
    graph, weights = identity(14)
    fleet.load(graph, weights)
    x = np.random.default_rng(parties).uniform(-32767, 32767, (1_000_000, 1))
    inference = fleet.infer(graph, {"x": x})
    exact = np.round(x * 2.0**16) * 2.0**14
    assert np.abs(inference.ring["y"].view(np.int64) - exact).max() <= 1


def run_recorded(fleet, graph, x):
    """Every opened value of one inference, by party."""
    everybody = range(fleet.size)
    fleet.do(everybody, record)
    fleet.infer(graph, {"x": x})
    return [arrays_of(answer) for answer in fleet.do(everybody, collect)]


def chi_square(values):
    counts = np.bincount(values.view(np.uint8).reshape(-1), minlength=256)
    expected = counts.sum() / 256
    return ((counts - expected) ** 2 / expected).sum()


@pytest.mark.parametrize("parties", [2, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_every_opened_value_is_uniform_for_any_input(fleets, parties):
    # 255 degrees of freedom: above 400 with a probability below 1e-8 per opening.
    fleet = fleets(parties)
    graph = dense([30, 20, 1], last="Sigmoid")
    fleet.load(graph, random_weights(graph))
    for x in (np.zeros((200, 30)), np.full((200, 30), -1000.0)):
        openings = run_recorded(fleet, graph, x)
        assert all(np.array_equal(a, b) for a, b in zip(openings[0], openings[-1], strict=True))
        for step, opened in enumerate(openings[0]):
            if is_bits(opened):
                assert abs(opened.mean() - 0.5) < 6 * 0.5 / np.sqrt(opened.size), step
            elif opened.size >= 100:
                assert chi_square(opened) < 400, step


def is_bits(opened):
    """CrypTen opens the masked sign bits as whole words."""
    return set(np.unique(opened)) <= {0, 1}


def test_two_runs_on_the_same_input_open_other_values(fleets):
    fleet = fleets(3)
    graph, weights = identity(0)
    fleet.load(graph, weights)
    seen = [run_recorded(fleet, graph, np.ones((4, 1)))[0] for _ in range(2)]
    for first, second in zip(*seen, strict=True):
        assert not (first == second).any()


def test_output_shares_are_fresh(fleets):
    fleet = fleets(3)
    graph, weights = identity(0)
    fleet.load(graph, weights)
    results = [fleet.infer(graph, {"x": np.ones((500, 1))}).results for _ in range(2)]
    for first, second in zip(*results, strict=True):
        assert not (first.output_share["y"] == second.output_share["y"]).any()
        assert first.commitments != second.commitments
        assert chi_square(first.output_share["y"]) < 400


def test_truncation_rounds_without_a_bias(fleets):
    fleet = fleets(3)
    graph, weights = identity(-1)
    fleet.load(graph, weights)
    x = np.full((100_000, 1), 2.0**-16)
    mean = decode(fleet.infer(graph, {"x": x}).ring["y"]).mean() * 2**16
    assert abs(mean - 0.5) < 0.01
