"""Values in fixed point, and the range in which the engines' truncation is right."""

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import OutOfRange
from mpc_infer.graph.ir import Node

RANGE_BITS = 62
Signed = NDArray[np.int64]


def largest(value: Signed) -> int:
    """The largest absolute value, in Python's integers: -2^63 has none in 64 bits."""
    return max(int(value.max(initial=0)), -int(value.min(initial=0)))


def check_range(what: str, size: float) -> None:
    """Refuse what would wrap.

    Raises:
        OutOfRange: the size reaches 2^62.
    """
    if size >= 2**RANGE_BITS:
        raise OutOfRange(f"{what} leaves the fixed-point range", remedy="rescale the model or its inputs")


def product(node: Node, left: Signed, right: Signed, frac_bits: int) -> Signed:
    """A matrix product, truncated."""
    # The sum of absolute values bounds every partial sum. Floats have room enough to judge it, and 1 % to spare.
    bound = np.abs(left.astype(np.float64)) @ np.abs(right.astype(np.float64))
    check_range(f"node {node.name!r} ({node.op})", 1.01 * float(bound.max(initial=0.0)))
    return np.asarray((left @ right) >> frac_bits)
