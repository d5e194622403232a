"""What an owner says of inputs: in units, strict where it says so, refused where it does not fit."""

import numpy as np
import pytest

from mpc_infer.errors import CorruptModel, InvalidInput, ModelRefused
from mpc_infer.graph import Node
from mpc_infer.graph.input_ranges import (
    MAX_RANGED,
    Calibration,
    CalibrationRows,
    InputRange,
    UnitRange,
    calibrated,
    in_units,
    resolved,
)
from mpc_infer.graph.numerics import choose
from tests.unit.graph.test_ranges import LINEAR, PERCEPTRON, scaled, weights_of
from tests.unit.graph.test_ranges_of_operators import graph_of


def ends(low: object, high: object) -> dict[str, InputRange]:
    return {"x": InputRange(np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64))}


def test_a_limit_is_strict_and_a_range_is_not() -> None:
    assert in_units(LINEAR, 4, 12) == {"x": UnitRange((1 - 2**14,), (2**14 - 1,))}
    assert in_units(LINEAR, ends(-4, 4), 12) == {"x": UnitRange((-(2**14),), (2**14,))}
    assert in_units(LINEAR, ends([0, 1, 2], [3, 3, 3]), 8) == {"x": UnitRange((0, 256, 512), (768,) * 3)}


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [(1, 0, "above"), (0, np.nan, "strictly"), (-np.inf, 0, "strictly"), (0, 2.0**15, "strictly"),
     ([0, 0], [1, 1], "fit"), (np.zeros((2, 3)), np.ones((2, 3)), "fit")],
)  # fmt: skip
def test_ranges_that_do_not_fit(low: object, high: object, says: str) -> None:
    with pytest.raises(ModelRefused, match=f"'x'.*{says}"):
        in_units(LINEAR, ends(low, high), 16)
    with pytest.raises(ModelRefused, match=f"'x'.*{says}"):
        choose(LINEAR, scaled(1.0), ends(low, high))


def test_every_input_has_one() -> None:
    for declared in ({}, {**ends(0, 1), "z": ends(0, 1)["x"]}):
        with pytest.raises(ModelRefused, match="range"):
            in_units(LINEAR, declared, 16)
    for limit in (0, 2**15 + 1):
        with pytest.raises(CorruptModel, match="input limit"):
            choose(LINEAR, scaled(1.0), limit)


def test_calibration_takes_what_rows_reach_and_a_margin() -> None:
    rows = np.array([[0.0, -5.0, 7.0], [2.0, -5.0, 8.0], [1.0, -5.0, 7.5]])
    (found,) = calibrated(LINEAR, {"x": rows}, 50).values()
    assert found.low.tolist() == [-1.0, -7.5, 6.5]
    assert found.high.tolist() == [3.0, -2.5, 8.5]
    ranges, origin = resolved(LINEAR, CalibrationRows({"x": rows}, 0))
    assert origin == Calibration(3, 0)
    assert in_units(LINEAR, ranges, 16)["x"] == UnitRange((0, -327680, 458752), (131072, -327680, 524288))
    assert choose(LINEAR, scaled(1.0), CalibrationRows({"x": rows}, 50)).calibration == Calibration(3, 50)


def test_a_large_input_has_one_range_for_all_elements() -> None:
    graph = graph_of([Node("n", "Relu", ("x",), ("y",))], (2, MAX_RANGED), {})
    rows = np.random.default_rng(1).normal(size=(2, 2, MAX_RANGED))
    (found,) = calibrated(graph, {"x": rows}, 0).values()
    assert (found.low, found.high) == (rows.min(), rows.max())
    with pytest.raises(ModelRefused, match="one range"):
        in_units(graph, ends(rows[0] - 1, rows[0]), 16)


@pytest.mark.parametrize(
    ("rows", "margin"),
    [({"z": np.zeros((2, 3))}, 1), ({"x": np.zeros((2, 4))}, 1), ({"x": np.zeros((0, 3))}, 1),
     ({"x": np.full((2, 3), np.nan)}, 1), ({"x": np.zeros((2, 3))}, -1), ({"x": np.zeros((2, 3))}, 10_001),
     ({"x": np.array([["a"] * 3])}, 1)],
)  # fmt: skip
def test_rows_that_cannot_be_used(rows: dict[str, np.ndarray], margin: int) -> None:
    with pytest.raises(InvalidInput):
        calibrated(LINEAR, rows, margin)


def test_fewer_bits_only_where_16_do_not_hold() -> None:
    assert choose(PERCEPTRON, weights_of(PERCEPTRON, 7, 1.0)).frac_bits == 16
    # 3 * 2^14 * weight below 2^(62 - 2 f) and 2^(46 - f): 15 bits hold 30000, 16 do not.
    assert choose(LINEAR, scaled(30_000.0), 2**14).frac_bits == 15
    assert choose(LINEAR, scaled(30_000.0), 2**15).frac_bits == 14
    wide = choose(LINEAR, scaled(30_000.0), ends([-1e4, 0, 0], [1e4, 1, 1]))
    assert wide.frac_bits == 16
