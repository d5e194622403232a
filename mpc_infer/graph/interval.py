"""What is known of a tensor whatever the rows are, and the limits of fixed point.

For every element of one row (all rows have the same) an interval [centre - radius, centre + radius], in units of 2^-f;
for the vectors along one axis a largest length (Euclidean norm), which bounds sums of many elements far better than the
elements do: what a normalisation makes is short, and matrices stretch vectors by less than they add up elements.
Nothing is ever too narrow: errors of float64, the unit that a truncation may be off, and what engines approximate are
added.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import ModelRefused
from mpc_infer.graph.ir import Node

PRODUCT_BITS = 62
"""A product, before it is truncated, stays below 2^62 units of 2^-2f."""
VALUE_BITS = 46
"""Any value: it may join a product that waits to be truncated."""
COMPARE_BITS = 32
"""What is compared with zero: comparisons read 32 bits below the sign."""
FLOAT_ERROR = 2.0**-20
"""Relative; a sum of 2^28 products in float64 is off by less."""
CURVE_ERROR = 16.0
"""Units: what engines' smooth functions are off, at most."""
TRUNCATION = 1.25
"""Units that a truncation may be off, either way: one, and what 16 parties leave out of what they send (`SPARE_BITS` of
the masked engine). The next product multiplies it, so that a rounded one would not do."""
LEVEL = 2.0
"""Units that one comparison of values which wait to be truncated may pick the smaller of two by, and its opening."""
SCALE = (
    "declare narrower ranges of the inputs (a lower input limit), scale the inputs or the weights down, "
    "or give activations ceilings (--ceilings with --calibrate; docs/models.md)"
)

Reals = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Interval:
    """Bounds of every element (of weights: their values). Axis 0 of a computed tensor, the batch, has one element.

    Attributes:
        centre, radius: of the intervals.
        axis, length: vectors along this axis are at most so long; infinite where nothing is known.
        mean: along the last axis the elements are not negative, and sum to 1: a product with them is a mean.
        stretch: of a matrix of the model: by how much it lengthens a vector, at most.
    """

    centre: Reals
    radius: Reals
    axis: int = -1
    length: float = np.inf
    mean: bool = False
    stretch: Callable[[Reals], float] | None = field(default=None)

    @property
    def magnitude(self) -> Reals:
        """The largest absolute value of every element."""
        return np.abs(self.centre) + self.radius

    @property
    def low(self) -> Reals:
        """The smallest value of every element."""
        return self.centre - self.radius

    @property
    def high(self) -> Reals:
        """The largest value of every element."""
        return self.centre + self.radius

    def along(self, axis: int) -> float:
        """The largest length of a vector along an axis."""
        elements = float(np.sqrt((self.magnitude**2).sum(axis=axis)).max(initial=0.0)) * (1 + FLOAT_ERROR)
        rank = self.centre.ndim
        return min(elements, self.length) if axis % rank == self.axis % rank else elements


class Spectra:
    """Largest stretches of weights, each worked out once."""

    def __init__(self) -> None:
        self._found: dict[str, float] = {}

    def of(self, name: str) -> Callable[[Reals], float]:
        """The stretch of a weight of this name."""

        def stretch(matrix: Reals) -> float:
            if name not in self._found:
                self._found[name] = _stretch(matrix)
            return self._found[name]

        return stretch


def _stretch(matrix: Reals) -> float:
    # The singular value decomposition of a larger matrix would take minutes; the Frobenius norm is never smaller.
    if not np.isfinite(matrix).all():
        return float("inf")
    norm = np.linalg.norm(matrix, 2 if min(matrix.shape) <= MAX_DECOMPOSED else None)
    return float(norm) * (1 + FLOAT_ERROR)


MAX_DECOMPOSED = 2048


def exactly(values: Reals, stretch: Callable[[Reals], float] | None = None) -> Interval:
    """Values that are known."""
    return Interval(values, np.zeros_like(values), stretch=stretch)


def between(lowest: Reals, highest: Reals) -> Interval:
    """Intervals from their ends."""
    return Interval((lowest + highest) / 2, (highest - lowest) / 2)


def check(node: Node, magnitude: Reals, bits: int, what: str = "a value", remedy: str = SCALE) -> None:
    """Refuse what may reach 2^bits units.

    Raises:
        ModelRefused: it does; the message names the node.
    """
    largest = float(magnitude.max(initial=0.0))
    # So written that NaN is refused, too.
    if not largest < 2.0**bits:
        with np.errstate(divide="ignore"):
            reached = np.log2(largest)
        raise ModelRefused(
            f"node {node.name!r} ({node.op}): {what} may reach 2^{reached:.1f} units of fixed point, "
            f"and must stay below 2^{bits}",
            remedy=remedy,
        )


def check_compared(node: Node, magnitude: Reals, frac_bits: int) -> None:
    """Refuse what a comparison with a constant up to 32 cannot read.

    Raises:
        ModelRefused: it is too large; the message names the node.
    """
    check(node, magnitude + 2.0 ** (frac_bits + 5), COMPARE_BITS, "what it compares")
