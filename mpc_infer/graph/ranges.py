"""Which values a graph can take, whatever the rows are: an interval for every element, from inputs to outputs.

Fixed point is right only while values stay in range: before it is truncated a product must stay below 2^62, and any
value below 2^47, both in units of 2^-f. No party can see that a value leaves the range; the result would be wrong
without a sign. So the model's owner, who alone has the weights, refuses the model before they are split.

Intervals are in units, [centre - radius, centre + radius] for every element of one row (all rows have the same). They
are never too narrow: float64 errors and the unit that a truncation may be off are added to the radius.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import ModelRefused
from mpc_infer.graph.ir import Graph, Node

PRODUCT_BITS = 62
VALUE_BITS = 47
_FLOAT_ERROR = 2.0**-20
# Relative; a sum of 2^28 products in float64 is off by less.

Reals = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Interval:
    """Bounds of every element (of weights: their values). Axis 0 of a computed tensor, the batch, has one element."""

    centre: Reals
    radius: Reals

    @property
    def magnitude(self) -> Reals:
        """The largest absolute value of every element."""
        return np.abs(self.centre) + self.radius


def check_ranges(graph: Graph, weights: Mapping[str, Reals], input_limit: int, frac_bits: int) -> dict[str, Interval]:
    """Check that no value leaves the range for inputs below a limit.

    Args:
        graph: a checked one.
        weights: float64 by name, in the graph's shapes.
        input_limit: every input lies strictly between -limit and limit.
        frac_bits: fractional bits of the fixed-point encoding.

    Returns:
        Intervals of all tensors by name, in units of 2^-frac_bits.

    Raises:
        ModelRefused: a value may leave the range; the message names the node.
    """
    scale = float(2**frac_bits)
    found = {name: _exactly(np.rint(values * scale)) for name, values in weights.items()}
    for spec in graph.inputs:
        shape = spec.with_batch(1)
        found[spec.name] = Interval(np.zeros(shape), np.full(shape, input_limit * scale))
    for node in graph.nodes:
        result = _RULES[str(node.op)](node, [found[name] for name in node.inputs], frac_bits)
        _check(node, result.magnitude, VALUE_BITS)
        found[node.outputs[0]] = result
    return found


def widest_input_limit(graph: Graph, weights: Mapping[str, Reals], highest: int, frac_bits: int) -> int:
    """The largest power of two, at most `highest`, for which `check_ranges` passes.

    Raises:
        ModelRefused: not even 1; the message names the node.
    """
    limit = highest
    while limit > 1:
        try:
            check_ranges(graph, weights, limit, frac_bits)
        except ModelRefused:
            limit //= 2
        else:
            return limit
    check_ranges(graph, weights, 1, frac_bits)
    return 1


def _exactly(values: Reals) -> Interval:
    return Interval(values, np.zeros_like(values))


def _check(node: Node, magnitude: Reals, bits: int) -> None:
    largest = float(magnitude.max(initial=0.0))
    # So written that NaN is refused, too.
    if not largest < 2.0**bits:
        raise ModelRefused(
            f"node {node.name!r} ({node.op}): a value may reach 2^{np.log2(largest):.1f} units of fixed point, "
            f"and must stay below 2^{bits}",
            remedy="declare a lower input limit, or scale the inputs or the weights down",
        )


def _product(node: Node, left: Interval, right: Interval, bias: Interval | None, frac_bits: int) -> Interval:
    centre = left.centre @ right.centre
    radius = np.abs(left.centre) @ right.radius + left.radius @ right.magnitude
    # Of every partial sum, not only of the whole.
    magnitude = left.magnitude @ right.magnitude
    if bias is not None:
        scale = 2.0**frac_bits
        centre, magnitude = centre + bias.centre * scale, magnitude + bias.magnitude * scale
    magnitude = magnitude * (1 + _FLOAT_ERROR)
    _check(node, magnitude, PRODUCT_BITS)
    return Interval(centre / 2**frac_bits, (radius + magnitude * _FLOAT_ERROR) / 2**frac_bits + 1)


def _linear(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    return _product(node, operands[0], operands[1], operands[2] if len(operands) == 3 else None, frac_bits)


def _matmul(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    return _product(node, operands[0], operands[1], None, frac_bits)


def _add(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    left, right = operands
    return Interval(left.centre + right.centre, left.radius + right.radius)


def _relu(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    (value,) = operands
    return _between(np.maximum(value.centre - value.radius, 0), np.maximum(value.centre + value.radius, 0))


def _sigmoid(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    shape = operands[0].centre.shape
    # Engines approximate it, to 1e-4: [-1, 2] has room for any.
    return _between(np.full(shape, -(2.0**frac_bits)), np.full(shape, 2.0 ** (frac_bits + 1)))


def _flatten(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    return _reshaped(operands[0], (1, -1))


def _reshape(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    target = node.attributes["shape"]
    return _reshaped(operands[0], (1, *target[1:]))  # type: ignore[index]  # the graph's check saw a tuple


def _reshaped(value: Interval, shape: tuple[int, ...]) -> Interval:
    return Interval(value.centre.reshape(shape), value.radius.reshape(shape))


def _between(lowest: Reals, highest: Reals) -> Interval:
    return Interval((lowest + highest) / 2, (highest - lowest) / 2)


_RULES: Mapping[str, Callable[[Node, Sequence[Interval], int], Interval]] = {
    "Linear": _linear,
    "MatMul": _matmul,
    "Add": _add,
    "Relu": _relu,
    "Sigmoid": _sigmoid,
    "Flatten": _flatten,
    "Reshape": _reshape,
}
