"""The masked engine with 8 to 16 fractional bits and windows as wide as the intervals: no further off than bounds."""

import numpy as np
import pytest

from mpc_infer.engine.real import run_real
from mpc_infer.errors import ModelRefused
from mpc_infer.graph.error_bounds import error_bounds
from mpc_infer.graph.input_ranges import in_units
from mpc_infer.graph.numerics import value_bits_of
from mpc_infer.graph.ranges import check_ranges
from mpc_infer.sharing import FixedPoint
from tests.protocol.masked_parties import evaluate
from tests.unit.graph.test_error_bounds import sides
from tests.unit.graph.test_ranges_of_operators import GRAPHS, some_weights


def check(name: str, frac_bits: int, seed: int, scale: float, limit: float, lean_from: int) -> bool:
    """Whether the ranges hold; then the engine is run."""
    graph, random = GRAPHS[name], np.random.default_rng(seed)
    weights = some_weights(graph, random, scale)
    declared = sides(graph, random, limit)
    if name in ("Reciprocal", "Rsqrt"):
        declared = {"x": type(declared["x"])(np.full(declared["x"].low.shape, 2.0**-7), declared["x"].high * 0 + 200)}
    try:
        ranges = check_ranges(graph, weights, in_units(graph, declared, frac_bits), frac_bits)
    except ModelRefused:
        return False
    bounds = error_bounds(graph, weights, ranges, frac_bits)
    low, high = declared["x"].low, declared["x"].high
    rows = low + (high - low) * random.uniform(size=(8, *low.shape))
    rows[:2] = low, high
    fixed = FixedPoint(frac_bits, value_bits_of(graph, ranges))
    run = evaluate(graph, weights, {"x": rows}, 2, lean_from=lean_from, fixed=fixed)
    for key, real in run_real(graph, weights, {"x": rows}).items():
        values = run.ring[key].view(np.int64).astype(np.float64)
        assert (np.abs(values - ranges[key].centre) - ranges[key].radius).max() <= 0, key
        assert (np.abs(values - real * 2.0**frac_bits) - bounds[key].radius * (1 + 1e-9)).max() <= 1e-6, key
    return True


@pytest.mark.parametrize("name", ["attention", "Sigmoid", "Linear"])
def test_twelve_fractional_bits(name: str) -> None:
    assert check(name, 12, 1, 0.5, 4.0, 2048)


@pytest.mark.slow
@pytest.mark.parametrize("frac_bits", [8, 9, 11, 14, 16])
@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_every_operator_with_fewer_fractional_bits(name: str, frac_bits: int) -> None:
    done = [
        check(name, frac_bits, seed, scale, limit, lean_from)
        for seed, (scale, limit, lean_from) in enumerate([(0.5, 2.0, 2048), (2.0, 12.0, 1), (0.05, 60.0, 2048)])
    ]
    assert any(done)
