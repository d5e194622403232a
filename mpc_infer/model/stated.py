"""What a manifest states of its numbers, as JSON: ranges of inputs, where they are from, bounds of errors,
and how large values are."""

import math
from collections.abc import Sequence

from mpc_infer.errors import CorruptModel
from mpc_infer.graph.input_ranges import MAX_MARGIN_PERCENT, MAX_RANGED, Calibration, UnitRange
from mpc_infer.graph.interval import VALUE_BITS
from mpc_infer.graph.ir import MAX_NODES, MAX_TENSORS, TensorSpec
from mpc_infer.graph.wire import check_fields
from mpc_infer.sharing.fixed import LIMIT

MAX_NUMBER = 2**53 - 1


def ranges_json(ranges: Sequence[UnitRange]) -> list[dict[str, list[int]]]:
    """In the order of the inputs."""
    return [{"low": list(given.low), "high": list(given.high)} for given in ranges]


def calibration_json(calibration: Calibration | None) -> dict[str, int] | None:
    """Null where ranges were declared."""
    return None if calibration is None else {"rows": calibration.rows, "margin_percent": calibration.margin_percent}


def read_ranges(value: object) -> tuple[UnitRange, ...]:
    """Ranges of all inputs, not yet compared with the inputs.

    Raises:
        CorruptModel: it is no list of ranges.
    """
    return tuple(_read_range(item) for item in _list(value, MAX_TENSORS, "input ranges"))


def read_calibration(value: object) -> Calibration | None:
    """Null, or rows and margin.

    Raises:
        CorruptModel: it is neither.
    """
    if value is None:
        return None
    fields = check_fields(value, {"rows", "margin_percent"}, "a calibration")
    return Calibration(_integer(fields["rows"]), _integer(fields["margin_percent"]))


def read_bounds(value: object) -> tuple[int | None, ...]:
    """Bounds of all outputs.

    Raises:
        CorruptModel: it is no list of whole numbers and nulls.
    """
    return tuple(None if item is None else _integer(item) for item in _list(value, MAX_TENSORS, "error bounds"))


def read_value_bits(value: object) -> tuple[int, ...]:
    """Sizes of the values of all inputs and nodes.

    Raises:
        CorruptModel: it is no list of whole numbers.
    """
    return tuple(_integer(item) for item in _list(value, MAX_TENSORS + MAX_NODES, "sizes of values"))


def check_ranges(ranges: Sequence[UnitRange], inputs: Sequence[TensorSpec], frac_bits: int) -> None:
    """Check that every input has a range, for all elements alike or for each.

    Raises:
        CorruptModel: one is missing, of another length, crossed, or reaches 2^15.
    """
    if len(ranges) != len(inputs):
        raise CorruptModel(f"the manifest has {len(inputs)} inputs and {len(ranges)} ranges")
    for spec, given in zip(inputs, ranges, strict=True):
        elements = math.prod(size or 1 for size in spec.shape)
        if len(given.low) != len(given.high) or len(given.low) not in (1, elements):
            raise CorruptModel(f"the range of input {spec.name!r} has neither one element nor {elements}")
        if any(low > high for low, high in zip(given.low, given.high, strict=True)):
            raise CorruptModel(f"the range of input {spec.name!r} has a lower end above its upper end")
        if given.largest >= LIMIT << frac_bits:
            raise CorruptModel(f"the range of input {spec.name!r} is not strictly between -{LIMIT} and {LIMIT}")


def check_bounds(bounds: Sequence[int | None], outputs: int) -> None:
    """Check that every output has a bound, or null.

    Raises:
        CorruptModel: another number of bounds, or one that is negative.
    """
    if len(bounds) != outputs or any(bound is not None and not 0 <= bound <= MAX_NUMBER for bound in bounds):
        raise CorruptModel("the manifest's error bounds are not one for each output, null or not negative")


def check_value_bits(value_bits: Sequence[int]) -> None:
    """Check that every size is one that a value may have.

    Raises:
        CorruptModel: one is not.
    """
    if any(not 1 <= bits <= VALUE_BITS for bits in value_bits):
        raise CorruptModel(f"a size of values in the manifest is not 1 to {VALUE_BITS} bits")


def check_origin(calibration: Calibration | None, analysis: int) -> None:
    """Check where ranges are from, and the version of the rules.

    Raises:
        CorruptModel: a number is out of range.
    """
    if not 0 <= analysis <= MAX_NUMBER:
        raise CorruptModel("the manifest's version of the analysis is negative or too large")
    if calibration is not None and not (
        1 <= calibration.rows <= MAX_NUMBER and 0 <= calibration.margin_percent <= MAX_MARGIN_PERCENT
    ):
        raise CorruptModel(f"a calibration has at least one row, and a margin of 0 to {MAX_MARGIN_PERCENT} percent")


def _read_range(value: object) -> UnitRange:
    fields = check_fields(value, {"low", "high"}, "an input's range")
    low, high = (tuple(_integer(item) for item in _list(fields[key], MAX_RANGED, "a range")) for key in ("low", "high"))
    if not low or not high:
        raise CorruptModel("an input's range is empty")
    return UnitRange(low, high)


def _list(value: object, limit: int, what: str) -> list[object]:
    if not isinstance(value, list) or len(value) > limit:
        raise CorruptModel(f"the manifest's {what} are not a list of at most {limit}")
    return value


def _integer(value: object) -> int:
    if type(value) is not int or abs(value) > MAX_NUMBER:
        raise CorruptModel("a number in the manifest is not whole, or not below 2^53")
    return value
