"""Where the elements of a model's inputs lie: declared by its owner, or taken from calibration rows.

A declaration is in real numbers. What is checked, published and enforced is in units of 2^-f: rounding keeps order, so
an input inside its range is encoded between the encodings of both ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpc_infer.errors import CorruptModel, InvalidInput, ModelRefused
from mpc_infer.graph.ir import Graph, TensorSpec
from mpc_infer.sharing.fixed import LIMIT

Reals = NDArray[np.float64]
MAX_RANGED = 16_384
"""Elements of a row that may have ranges of their own: the manifest lists them."""
MAX_MARGIN_PERCENT = 10_000


@dataclass(frozen=True)
class Calibration:
    """How ranges were taken from rows: how many rows there were, and the margin in percent of what they span."""

    rows: int
    margin_percent: int


@dataclass(frozen=True)
class UnitRange:
    """One input's range in units of 2^-f, both ends included: of all elements alike, or of each in C order."""

    low: tuple[int, ...] = field(repr=False)
    high: tuple[int, ...] = field(repr=False)

    @cached_property
    def _ends(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return np.array(self.low, dtype=np.int64), np.array(self.high, dtype=np.int64)

    def bounds(self, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Both ends, in the shape of one row, or one that broadcasts to it."""
        low, high = (end if end.size == 1 else end.reshape(shape) for end in self._ends)
        return low, high

    @property
    def largest(self) -> int:
        """The largest magnitude, in units."""
        return max(map(abs, (*self.low, *self.high)))


@dataclass(frozen=True)
class InputRange:
    """One input's range as it is declared: float64, both ends included, of a row's shape or one that broadcasts."""

    low: Reals = field(repr=False)
    high: Reals = field(repr=False)

    def in_units(self, spec: TensorSpec, frac_bits: int) -> UnitRange:
        """The same as encodings.

        Raises:
            ModelRefused: an end is not finite or not below 2^15, the ends are crossed, or do not fit the input.
        """
        low, high = (_units(spec, end, frac_bits) for end in (self.low, self.high))
        if (low > high).any():
            raise ModelRefused(f"the range of input {spec.name!r} has a lower end above its upper end")
        return UnitRange(_listed(low), _listed(high))


def below(limit: int, frac_bits: int) -> UnitRange:
    """Strictly between -limit and limit, for all elements."""
    end = (limit << frac_bits) - 1
    return UnitRange((-end,), (end,))


Ranges = int | Mapping[str, InputRange]
"""A limit that holds for everything, strictly; or a range for each input."""


@dataclass(frozen=True)
class CalibrationRows:
    """Rows of every input that ranges are taken from, and the margin on both sides, in percent of what they span."""

    rows: Mapping[str, ArrayLike] = field(repr=False)
    margin_percent: int


Declared = Ranges | CalibrationRows
"""What an owner says of the inputs."""


def resolved(graph: Graph, declared: Declared) -> tuple[Ranges, Calibration | None]:
    """Ranges, and where they are from if they are from rows.

    Raises:
        InvalidInput: the calibration rows cannot be used.
    """
    if not isinstance(declared, CalibrationRows):
        return declared, None
    ranges = calibrated(graph, declared.rows, declared.margin_percent)
    count = len(np.asarray(declared.rows[graph.inputs[0].name]))
    return ranges, Calibration(count, declared.margin_percent)


def in_units(graph: Graph, declared: Ranges, frac_bits: int) -> dict[str, UnitRange]:
    """Ranges of all inputs in units of 2^-frac_bits.

    Raises:
        ModelRefused: an input has no range, a range has no input, or a range does not fit.
        CorruptModel: the limit is not between 1 and 2^15.
    """
    if isinstance(declared, int):
        if not 1 <= declared <= LIMIT:
            raise CorruptModel(f"an input limit lies between 1 and {LIMIT}, not {declared}")
        return {spec.name: below(declared, frac_bits) for spec in graph.inputs}
    names = {spec.name for spec in graph.inputs}
    if other := sorted(names ^ declared.keys()):
        known = "no range is declared for" if other[0] in names else "the model has no"
        raise ModelRefused(f"{known} input {other[0]!r}", remedy=f"declare ranges of {sorted(names)}")
    return {spec.name: declared[spec.name].in_units(spec, frac_bits) for spec in graph.inputs}


def calibrated(graph: Graph, rows: Mapping[str, ArrayLike], margin_percent: int) -> dict[str, InputRange]:
    """Ranges that some rows reach, and a margin on both sides.

    The margin of a feature is so many percent of what the rows span; of a feature that never changes, of its size,
    which counts as 1 at least. A row with more than `MAX_RANGED` elements gets one range for all of them.

    Raises:
        InvalidInput: rows are missing, of another shape, or not finite; or the margin is not 0 to 10000.
    """
    if not 0 <= margin_percent <= MAX_MARGIN_PERCENT:
        raise InvalidInput(f"a margin lies between 0 and {MAX_MARGIN_PERCENT} percent, not {margin_percent}")
    if rows.keys() != {spec.name for spec in graph.inputs}:
        raise InvalidInput(
            f"calibration rows are given for {sorted(rows)}",
            remedy=f"give rows of the inputs {sorted(spec.name for spec in graph.inputs)}",
        )
    return {spec.name: _reached(spec, np.asarray(rows[spec.name]), margin_percent) for spec in graph.inputs}


def _reached(spec: TensorSpec, rows: NDArray[np.generic], margin_percent: int) -> InputRange:
    if rows.shape[1:] != spec.shape[1:] or not rows.size or rows.dtype.kind not in "fiub":
        raise InvalidInput(f"calibration rows of {spec.name!r} have shape {rows.shape}, not (rows, {spec.shape[1:]})")
    values = rows.astype(np.float64)
    if not np.isfinite(values).all():
        raise InvalidInput(f"calibration rows of {spec.name!r} hold NaN or infinity", remedy="clean them")
    low, high = values.min(axis=0), values.max(axis=0)
    span = high - low
    wide = np.where(span > 0, span, np.maximum(np.abs(low), 1.0)) * (margin_percent / 100)
    low, high = low - wide, high + wide
    if low.size > MAX_RANGED:
        low, high = np.asarray(low.min()), np.asarray(high.max())
    return InputRange(np.asarray(low), np.asarray(high))


def _units(spec: TensorSpec, end: Reals, frac_bits: int) -> NDArray[np.float64]:
    shape = tuple(size or 1 for size in spec.shape[1:])
    try:
        given = np.asarray(end, dtype=np.float64)
        whole = given if given.size == 1 else np.broadcast_to(given, shape)
    except (ValueError, TypeError) as error:
        raise ModelRefused(f"the range of input {spec.name!r} does not fit its shape {shape}") from error
    if whole.size > MAX_RANGED:
        raise ModelRefused(
            f"the range of input {spec.name!r} has {whole.size} elements, {MAX_RANGED} are allowed",
            remedy="declare one range for all elements of this input",
        )
    units = np.rint(whole * 2.0**frac_bits)
    if not (np.abs(units) < LIMIT * 2.0**frac_bits).all():
        raise ModelRefused(
            f"the range of input {spec.name!r} is not strictly between -{LIMIT} and {LIMIT}",
            remedy="scale this input down at the client, and the first weights up",
        )
    return units


def _listed(units: NDArray[np.float64]) -> tuple[int, ...]:
    flat = units.reshape(-1).astype(np.int64)
    return tuple(flat.tolist())
