"""From the caller's arrays to ring elements: what cannot be computed on is refused here, with the input's name.

An error says which element of which row is outside of its range, and never its value.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpc_infer.errors import InvalidInput, OutOfRange, WrongDtype, WrongShape
from mpc_infer.graph.input_ranges import UnitRange
from mpc_infer.graph.ir import TensorSpec
from mpc_infer.model.manifest import Manifest
from mpc_infer.sharing import fixed

Ring = NDArray[np.uint64]


def encode_inputs(manifest: Manifest, inputs: Mapping[str, ArrayLike]) -> dict[str, Ring]:
    """Check and encode the inputs of one job.

    Args:
        manifest: what the model wants: names, shapes (axis 0 of length None is the batch), fractional bits, and the
            ranges inside which its owner showed that no value leaves the range of fixed point.
        inputs: one array per name, all with the same number of rows.

    Returns:
        uint64 arrays of the same shapes, C-contiguous.

    Raises:
        WrongShape: a name is missing or unknown, or a shape does not fit.
        WrongDtype: an array is not of floats, integers or booleans.
        NotFinite: a value is NaN or infinite.
        OutOfRange: a value lies outside of its range; the message names input, row and element.
    """
    specs = manifest.inputs
    _check_names(specs, inputs)
    arrays = {spec.name: _array(spec, inputs[spec.name]) for spec in specs}
    rows_of(specs, arrays)
    ranges = {spec.name: given for spec, given in zip(specs, manifest.input_ranges, strict=True)}
    return {name: _encode(name, array, ranges[name], manifest) for name, array in arrays.items()}


def rows_of(specs: tuple[TensorSpec, ...], arrays: Mapping[str, NDArray[np.generic]]) -> int:
    """The number of rows, the same in every batched input; 1 if no input is batched.

    Raises:
        WrongShape: two inputs have different numbers of rows, or there are none.
    """
    rows = {spec.name: arrays[spec.name].shape[0] for spec in specs if spec.shape and spec.shape[0] is None}
    if len(set(rows.values())) > 1:
        raise WrongShape(f"inputs differ in their number of rows: {rows}", remedy="send the same rows in each")
    count = next(iter(rows.values()), 1)
    if count < 1:
        raise WrongShape(f"input {next(iter(rows))!r} has no rows", remedy="send at least one row")
    return count


def _check_names(specs: tuple[TensorSpec, ...], inputs: Mapping[str, ArrayLike]) -> None:
    wanted = {spec.name for spec in specs}
    if missing := sorted(wanted - set(inputs)):
        raise WrongShape(f"input {missing[0]!r} is missing", remedy=f"the model's inputs are {sorted(wanted)}")
    if unknown := sorted(set(inputs) - wanted):
        raise WrongShape(f"the model has no input {unknown[0]!r}", remedy=f"the model's inputs are {sorted(wanted)}")


def _array(spec: TensorSpec, value: ArrayLike) -> NDArray[np.generic]:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise WrongShape(f"input {spec.name!r} is not a rectangular array: {error}") from error
    if array.dtype.kind not in "fiub":
        raise WrongDtype(
            f"input {spec.name!r} has dtype {array.dtype}", remedy="pass floating point numbers, integers or booleans"
        )
    fits = len(array.shape) == len(spec.shape) and all(
        want is None or want == have for want, have in zip(spec.shape, array.shape, strict=True)
    )
    if not fits:
        wanted = tuple("rows" if size is None else size for size in spec.shape)
        raise WrongShape(f"input {spec.name!r} has shape {array.shape}, the model wants {wanted}")
    return array


def _encode(name: str, array: NDArray[np.generic], given: UnitRange, manifest: Manifest) -> Ring:
    low, high = given.bounds(array.shape[1:])
    try:
        ring = fixed.encode(array, frac_bits=manifest.frac_bits)
    except OutOfRange as error:
        units = np.rint(array.astype(np.float64) * 2.0**manifest.frac_bits)
        raise _outside(name, (units < low) | (units > high), given, manifest) from error
    except InvalidInput as error:
        raise type(error)(f"input {name!r}: {error.message}", remedy=error.remedy) from error
    signed = ring.view(np.int64)
    outside = (signed < low) | (signed > high)
    if outside.any():
        raise _outside(name, outside, given, manifest)
    return ring


def _outside(name: str, outside: NDArray[np.bool_], given: UnitRange, manifest: Manifest) -> OutOfRange:
    row, *place = (int(index) for index in np.argwhere(outside)[0])
    shape = outside.shape[1:]
    ends = (np.broadcast_to(end, shape)[tuple(place)] / 2**manifest.frac_bits for end in given.bounds(shape))
    feature = ", ".join(map(str, place))
    return OutOfRange(
        f"input {name!r}: feature {feature or 0} of row {row} lies outside of what model {manifest.name!r} takes, "
        + " to ".join(f"{end:.10g}" for end in ends),
        remedy="scale the data as the model expects it; only its owner can publish it with wider ranges",
    )
