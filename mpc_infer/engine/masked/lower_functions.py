"""Lowering of smooth functions: a spline inside of a domain, comparisons for what lies outside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Builder, Tensor
from mpc_infer.engine.masked.lower_pool import MAX_IGNORED
from mpc_infer.graph.ir import Node
from mpc_infer.preprocessing.masked_functions import FUNCTIONS, scale_bits

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering

NUMBERS = {function.name: number for number, function in enumerate(FUNCTIONS)}


@dataclass(frozen=True)
class Domain:
    """Where a function is a spline, and what it is elsewhere.

    The last segment is not used: a segment's number may be read one too high.

    Attributes:
        low: where the first segment begins.
        width: of a segment, as a power of two.
        index_bits: there are 2^index_bits segments.
        terms: coefficients of a segment's polynomial.
        below, above: the constant that the function is outside.
        above_x: x is added above.
        bounded: nothing lies above.
    """

    low: float
    width: int
    index_bits: int
    terms: int
    below: int = 0
    above: int = 0
    above_x: bool = False
    bounded: bool = False

    @property
    def high(self) -> float:
        """Where the last segment that is used ends."""
        return self.low + 2.0**self.width * ((1 << self.index_bits) - 1)


DOMAINS: Mapping[str, Domain] = {
    "Sigmoid": Domain(-15.0, 1, 4, 9, above=1),
    "Tanh": Domain(-7.5, 0, 4, 9, below=-1, above=1),
    "Erf": Domain(-3.5, 0, 3, 10, below=-1, above=1),
    "Gelu": Domain(-7.0, 1, 3, 12, above_x=True),
    "Silu": Domain(-15.0, 1, 4, 11, above_x=True),
    "Softplus": Domain(-15.0, 1, 4, 9, above_x=True),
    "Exp": Domain(-19.0, 1, 4, 10),
}
"""Operators that are one spline and two comparisons. Errors over the whole range: docs/engine.md.

Few segments with many coefficients each: the dealer makes, and a party holds, the coefficients of every segment; for
the same error cubics need three times as many.
"""

NEGATIVE_EXP = Domain(-14.5, 0, 4, 7, bounded=True)
"""exp of what is not positive."""


def smooth(lowering: "Lowering", node: Node) -> Tensor:
    """A function of one variable."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    number, bits = builder.nearest(data, MAX_IGNORED)
    return Tensor(data.shape, shares={0: evaluate(builder, number, bits, node.op.lower(), DOMAINS[node.op])})


def evaluate(builder: Builder, number: int, bits: int, name: str, domain: Domain) -> int:
    """The function of an opened value, as a share with f fractional bits. One round more than a comparison takes.

    1. Compare with both ends of the domain, and open the spline's value, in the same round.
    2. [x >= low] spline - [x >= high] spline, and what lies outside.
    """
    one, shape = 1 << builder.frac_bits, builder.shape(number)
    value, extra = spline(builder, number, bits, name, domain)
    inside = builder.compare(builder.shift(number, -(round(domain.low * one) << bits)), bits)
    terms = [(builder.select(inside, value, extra), 1)]
    if domain.below:
        bit = builder.view("scale", (builder.bit(inside, builder.frac_bits),), shape, (domain.below,))
        terms.append((bit, -1))
    if not domain.bounded:
        outside = builder.compare(builder.shift(number, -(round(domain.high * one) << bits)), bits)
        terms.append((builder.select(outside, value, extra), -1))
        if domain.above:
            bit = builder.view("scale", (builder.bit(outside, builder.frac_bits),), shape, (domain.above,))
            terms.append((bit, 1))
        if domain.above_x:
            terms.append((builder.select(outside, number, bits), 1))
    total = builder.total([number for number, _ in terms], [sign for _, sign in terms], shape)
    return builder.shift(total, domain.below * one) if domain.below else total


def spline(
    builder: Builder, number: int, bits: int, name: str, domain: Domain, *, exact: bool = False
) -> tuple[int, int]:
    """The spline of an opened value, opened in its turn, and its fractional bits beyond f. For its domain only.

    Args:
        exact: whether the bits beyond f are all needed.
    """
    f, function = builder.frac_bits, NUMBERS[name]
    params = (bits, f, f + domain.width, domain.index_bits, round(domain.low * (1 << f)), function, domain.terms)
    share = builder.add("spline", (number,), builder.shape(number), params)
    extra = scale_bits(function, f) - f
    return builder.open(share, 0 if exact else extra), extra


SPLINES: Mapping[str, Callable[["Lowering", Node], Tensor]] = dict.fromkeys(DOMAINS, smooth)
"""Operator: how it is lowered."""
