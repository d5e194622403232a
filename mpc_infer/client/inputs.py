"""From the caller's arrays to ring elements: what cannot be computed on is refused here, with the input's name."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpc_infer.errors import InvalidInput, OutOfRange, WrongDtype, WrongShape
from mpc_infer.graph.ir import TensorSpec
from mpc_infer.model.manifest import Manifest
from mpc_infer.sharing import fixed

Ring = NDArray[np.uint64]


def encode_inputs(manifest: Manifest, inputs: Mapping[str, ArrayLike]) -> dict[str, Ring]:
    """Check and encode the inputs of one job.

    Args:
        manifest: what the model wants: names, shapes (axis 0 of length None is the batch), fractional bits, and the
            limit up to which its owner showed that no value leaves the range of fixed point.
        inputs: one array per name, all with the same number of rows.

    Returns:
        uint64 arrays of the same shapes, C-contiguous.

    Raises:
        WrongShape: a name is missing or unknown, or a shape does not fit.
        WrongDtype: an array is not of floats, integers or booleans.
        NotFinite: a value is NaN or infinite.
        OutOfRange: a value reaches the model's input limit.
    """
    specs = manifest.inputs
    _check_names(specs, inputs)
    arrays = {spec.name: _array(spec, inputs[spec.name]) for spec in specs}
    rows_of(specs, arrays)
    return {name: _encode(name, array, manifest) for name, array in arrays.items()}


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


def _encode(name: str, array: NDArray[np.generic], manifest: Manifest) -> Ring:
    try:
        return fixed.encode(array, frac_bits=manifest.frac_bits, limit=manifest.input_limit)
    except OutOfRange as error:
        raise OutOfRange(
            f"input {name!r}: {error.message}, the input limit of model {manifest.name!r}",
            remedy="scale the data as the model expects it; only its owner can publish it with a higher input limit",
        ) from error
    except InvalidInput as error:
        raise type(error)(f"input {name!r}: {error.message}", remedy=error.remedy) from error
