"""Which fixed point a model is deployed with: fractional bits, input ranges, and how far off its results may be.

16 fractional bits where every value stays in range with them; else the largest number, down to 8, for which they do.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mpc_infer.errors import ModelRefused
from mpc_infer.graph.error_bounds import error_bounds, largest
from mpc_infer.graph.input_ranges import Calibration, Declared, Ranges, UnitRange, in_units, resolved
from mpc_infer.graph.interval import VALUE_BITS, Interval, Reals, Spectra
from mpc_infer.graph.ir import Graph
from mpc_infer.graph.ranges import check_ranges, widest_input_limit
from mpc_infer.sharing.fixed import FRAC_BITS, LIMIT, FixedPoint

ANALYSIS = 2
"""Version of the rules: of intervals, of errors, and of the choice of fractional bits."""
LOWEST_BITS = 8
SPARE_UNITS = 8


@dataclass(frozen=True)
class Numerics:
    """What is chosen, and what is known of every tensor.

    Attributes:
        frac_bits: f.
        inputs: the range of every input, in units of 2^-f.
        ranges: the interval of every tensor, in units of 2^-f.
        errors: for every tensor the largest distance between what an engine computes and what the graph means.
        outputs: for every output the bound of its error in whole units; None where it says nothing.
        value_bits: see `value_bits_of`.
        calibration: where the inputs' ranges are from, if they are from rows.
    """

    frac_bits: int
    inputs: Mapping[str, UnitRange]
    ranges: Mapping[str, Interval] = field(repr=False)
    errors: Mapping[str, Interval] = field(repr=False)
    outputs: tuple[int | None, ...]
    value_bits: tuple[int, ...]
    calibration: Calibration | None = None

    @property
    def fixed(self) -> FixedPoint:
        """What engines are told."""
        return FixedPoint(self.frac_bits, self.value_bits)


def choose(graph: Graph, weights: Mapping[str, Reals], declared: Declared | None = None) -> Numerics:
    """The numerics of a model.

    Args:
        graph: a checked one.
        weights: float64 by name, finite.
        declared: ranges of the inputs, or rows to take them from; by default the largest power of two, at most 2^15,
            as a limit for all of them.

    Raises:
        ModelRefused: a value may leave the range of fixed point even with 8 fractional bits; the message names the
            node. Or the declared ranges do not fit the inputs.
        InvalidInput: the calibration rows cannot be used.
    """
    ranges, calibration = (None, None) if declared is None else resolved(graph, declared)
    for frac_bits in range(FRAC_BITS, LOWEST_BITS, -1):
        try:
            return _with(graph, weights, ranges, frac_bits, calibration)
        except ModelRefused:
            # Ranges that do not fit the inputs fit them with no number of bits.
            if ranges is not None:
                in_units(graph, ranges, frac_bits)
    return _with(graph, weights, ranges, LOWEST_BITS, calibration)


def _with(
    graph: Graph,
    weights: Mapping[str, Reals],
    declared: Ranges | None,
    frac_bits: int,
    calibration: Calibration | None,
) -> Numerics:
    spectra = Spectra()
    if declared is None:
        declared = widest_input_limit(graph, weights, LIMIT, frac_bits, spectra)
    inputs = in_units(graph, declared, frac_bits)
    ranges = check_ranges(graph, weights, inputs, frac_bits, spectra)
    errors = error_bounds(graph, weights, ranges, frac_bits)
    bounds = tuple(largest(errors[spec.name], ranges[spec.name]) for spec in graph.outputs)
    return Numerics(frac_bits, inputs, ranges, errors, bounds, value_bits_of(graph, ranges), calibration)


def value_bits_of(graph: Graph, ranges: Mapping[str, Interval]) -> tuple[int, ...]:
    """For every input and then for what every node makes: its values are below 2^bits units, and by some units so.

    Args:
        ranges: the interval of every tensor, in units.
    """
    names = [spec.name for spec in graph.inputs] + [node.outputs[0] for node in graph.nodes]
    return tuple(bits_of(ranges[name]) for name in names)


def bits_of(interval: Interval) -> int:
    """Below which power of two the values of a tensor are, in units, and by some units so: engines round on the way."""
    return min(VALUE_BITS, int(np.max(interval.magnitude, initial=0.0) + SPARE_UNITS).bit_length())


def reach(interval: Interval, frac_bits: int) -> float:
    """The largest magnitude of a tensor, as a real number."""
    return float(np.max(interval.magnitude, initial=0.0)) / 2.0**frac_bits
