"""No engine is further off than its bound: the oracle, and the masked engine, against float64."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.devnet.training import breast_cancer, digits
from mpc_infer.engine.plain import run_plain
from mpc_infer.engine.real import OPERATORS, run_real
from mpc_infer.errors import InternalError, ModelRefused
from mpc_infer.graph import Graph, import_onnx
from mpc_infer.graph.error_bounds import RULES, error_bounds
from mpc_infer.graph.error_functions import CURVES
from mpc_infer.graph.input_ranges import InputRange, calibrated, in_units
from mpc_infer.graph.numerics import choose
from mpc_infer.graph.ranges import check_ranges
from mpc_infer.graph.shapes import RULES as SHAPES
from mpc_infer.sharing import encode
from tests.unit.graph.test_ranges_of_operators import GRAPHS, some_weights

PAGE = (Path(__file__).parents[3] / "docs" / "engine.md").read_text("utf-8")


def test_every_operator_has_a_bound_and_a_meaning() -> None:
    """A new operator needs a rule in graph/error_*.py and its real function in engine/real.py."""
    assert RULES.keys() == SHAPES.keys()
    assert OPERATORS.keys() == SHAPES.keys()


def test_an_operator_without_a_rule_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = GRAPHS["Relu"]
    ranges = check_ranges(graph, {}, 4, 16)
    monkeypatch.setattr("mpc_infer.graph.error_bounds.RULES", {})
    with pytest.raises(InternalError, match="'Relu'"):
        error_bounds(graph, {}, ranges, 16)


def test_the_curves_are_those_of_the_page() -> None:
    bounds = dict(re.findall(r"^\| `(\w+)` \|(?: [^|]+ \|){4} ([\d.]+) \|$", PAGE[PAGE.index("## 7.") :], re.MULTILINE))
    assert {op: float(bound) for op, bound in bounds.items()} == CURVES


def sides(graph: Graph, random: np.random.Generator, limit: float) -> dict[str, InputRange]:
    """A range for every feature of every input."""
    found = {}
    for spec in graph.inputs:
        ends = np.sort(random.uniform(-limit, limit, size=(2, *(size or 1 for size in spec.shape[1:]))), axis=0)
        found[spec.name] = InputRange(ends[0], ends[1])
    return found


@pytest.mark.parametrize("name", sorted(GRAPHS))
@settings(max_examples=12, deadline=None)
@given(
    frac_bits=st.sampled_from([8, 12, 16]),
    seed=st.integers(0, 2**32),
    limit=st.floats(0.1, 9.0),
    scale=st.floats(0.01, 3.0),
    corner=st.booleans(),
)
def test_no_result_is_further_off_than_its_bound(
    name: str, frac_bits: int, seed: int, limit: float, scale: float, corner: bool
) -> None:
    graph, random = GRAPHS[name], np.random.default_rng(seed)
    weights = some_weights(graph, random, scale)
    declared = sides(graph, random, limit)
    try:
        ranges = check_ranges(graph, weights, in_units(graph, declared, frac_bits), frac_bits)
    except ModelRefused:
        assert name in ("Reciprocal", "Rsqrt", "Exp") or frac_bits == 8
        return
    bounds = error_bounds(graph, weights, ranges, frac_bits)
    low, high = declared["x"].low, declared["x"].high
    share = random.uniform(size=(12, *low.shape))
    rows = low + (high - low) * (np.rint(share) if corner else share)
    rings = run_plain(
        graph,
        {key: encode(value, frac_bits=frac_bits) for key, value in weights.items()},
        {"x": encode(rows, frac_bits=frac_bits)},
        frac_bits,
    )
    for key, real in run_real(graph, weights, {"x": rows}).items():
        values = rings[key].view(np.int64).astype(np.float64)
        assert (np.abs(values - ranges[key].centre) - ranges[key].radius).max() <= 0, key
        off = np.abs(values - real * 2.0**frac_bits)
        assert (off - bounds[key].radius * (1 + 1e-9)).max() <= 1e-6, key
        lengths = np.sqrt((off**2).sum(axis=bounds[key].axis))
        assert lengths.max() <= bounds[key].along(bounds[key].axis) * (1 + 1e-9) + 1e-6, key


@pytest.mark.parametrize(("trained", "loose"), [(breast_cancer, 100), (digits, 500)])
def test_the_demos_bounds_are_of_use(trained, loose) -> None:  # type: ignore[no-untyped-def]
    """Within some hundred times what real rows are off, and far below what decides a class."""
    model = trained()
    imported = import_onnx(model.onnx)
    name = imported.graph.inputs[0].name
    found = choose(imported.graph, imported.weights, calibrated(imported.graph, {name: model.rows}, 10))
    rows = {name: model.rows.astype(np.float64)}
    rings = run_plain(
        imported.graph, {key: encode(value) for key, value in imported.weights.items()}, {name: encode(rows[name])}
    )
    (real,), (ring,) = run_real(imported.graph, imported.weights, rows).values(), rings.values()
    off = np.abs(ring.view(np.int64) - real * 2.0**16).max()
    (bound,) = found.outputs
    assert bound is not None
    assert found.frac_bits == 16
    assert off <= bound <= loose * off
    assert bound * 2.0**-16 < 0.05
