"""Fixed-point numbers in the ring Z_2^64."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpc_infer.errors import InvalidInput, NotFinite, OutOfRange, WrongDtype, WrongShape

Ring = NDArray[np.uint64]
"""Elements of Z_2^64; signed values in two's complement."""

FRAC_BITS = 16
"""Fractional bits of inputs, weights and results."""

LIMIT = 2**15
"""Inputs and weights lie strictly between -LIMIT and LIMIT."""

MAX_FRAC_BITS = 46
# With more, a value near LIMIT would no longer fit below 2^62, which the truncation protocol needs.
_ENCODABLE = {"b": 1, "i": 8, "u": 8, "f": 8}


@dataclass(frozen=True)
class FixedPoint:
    """How the numbers of a model are held.

    Attributes:
        frac_bits: f, fractional bits of inputs, weights and results.
        value_bits: for every input of the graph and then for what every node makes: its values are below 2^bits units
            of 2^-f in size. Empty: nothing is known but the limits of the engines.
    """

    frac_bits: int = FRAC_BITS
    value_bits: tuple[int, ...] = ()


def encode(values: ArrayLike, *, frac_bits: int = FRAC_BITS, limit: int = LIMIT) -> Ring:
    """Encode real numbers as ``round(x * 2**frac_bits)`` mod 2^64, ties to even.

    Args:
        values: an array of any shape; bool, integers or floats of at most 64 bits.
        frac_bits: number of fractional bits, 0 to 46.
        limit: values lie strictly between -limit and limit; at most 2^15.

    Returns:
        A contiguous uint64 array of the same shape.

    Raises:
        WrongDtype: another element type.
        WrongShape: nested sequences of unequal length.
        NotFinite: NaN or infinity.
        OutOfRange: a value whose encoding reaches the limit in absolute value.
    """
    reals = _as_float64(values)
    if not np.isfinite(reals).all():
        raise NotFinite("the array holds NaN or infinity", remedy="clean the data before sending it")
    with np.errstate(over="ignore"):
        scaled = np.rint(reals * _scale(frac_bits))
    bound = min(limit, LIMIT)
    if (np.abs(scaled) >= bound * _scale(frac_bits)).any():
        raise OutOfRange(f"a value is not strictly between -{bound} and {bound}", remedy="scale the data")
    return np.ascontiguousarray(scaled.astype(np.int64)).view(np.uint64).reshape(reals.shape)


def decode(ring: Ring, *, frac_bits: int = FRAC_BITS) -> NDArray[np.float64]:
    """Decode ring elements to real numbers.

    Returns:
        A float64 array of the same shape.

    Raises:
        WrongDtype: the array is not uint64.
    """
    if ring.dtype != np.uint64:
        raise WrongDtype(f"ring elements are uint64, not {ring.dtype}")
    return np.asarray(np.asarray(ring).astype(np.int64).astype(np.float64) / _scale(frac_bits))


def _scale(frac_bits: int) -> float:
    if not 0 <= frac_bits <= MAX_FRAC_BITS:
        raise InvalidInput(f"fractional bits must lie between 0 and {MAX_FRAC_BITS}, not {frac_bits}")
    return float(2**frac_bits)


def _as_float64(values: ArrayLike) -> NDArray[np.float64]:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise WrongShape("nested sequences of unequal length are not an array") from error
    if array.dtype.itemsize > _ENCODABLE.get(array.dtype.kind, 0):
        raise WrongDtype(
            f"elements of type {array.dtype} cannot be encoded",
            remedy="use bool, integers or floats of at most 64 bits",
        )
    return np.asarray(array.astype(np.float64))
