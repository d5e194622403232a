"""Lowering of division, roots and of what needs them: they bring their argument into a bounded domain first."""

from collections.abc import Callable, Mapping
from math import isqrt
from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Builder, Tensor
from mpc_infer.engine.masked.lower_functions import NEGATIVE_EXP, Domain, evaluate, spline
from mpc_infer.engine.masked.lower_pool import maximum_over
from mpc_infer.engine.masked.lower_weights import bias_share, factor_of_share, times
from mpc_infer.graph.functions import constant_units
from mpc_infer.graph.ir import Node

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering

RECIPROCAL = Domain(0.5, -5, 6, 4)
"""The argument is brought to [1, 2)."""

ROOT = Domain(0.5, -4, 6, 4)
"""The argument is brought to [1, 4)."""

LOWEST, TOP = -14, 15
"""Divisors and radicands are positive and lie from 2^LOWEST to 2^TOP; below, nothing is promised."""


FINER = 8
"""Fractional bits beyond f of a factor that multiplies something large."""


def truncated(builder: Builder, share: int, bits: int) -> int:
    """A share with so many fractional bits too many, opened with f."""
    return builder.open(truncated_share(builder, share, bits))


def truncated_share(builder: Builder, share: int, bits: int) -> int:
    """A share with so many fractional bits too many, as a share with f."""
    return builder.truncate(builder.open(share, bits), bits)


def scaled_down(builder: Builder, number: int, low: int, top: int, step: int) -> tuple[int, int]:
    """Bring a positive opened value x, 2^low <= x < 2^top, to [1, 2^step).

    Compare x with 2^(low + step), 2^(low + 2 step), ... at once: x = 2^(low + step j) and more where exactly j of these
    are positive. What x is multiplied by is then a sum of the comparisons' bits with public coefficients.

    Returns:
        x / 2^(low + step j), and 2^-(low / step + j), both opened.
    """
    f, shape = builder.frac_bits, builder.shape(number)
    marks = range(low, top, step)
    bits = [builder.bit(builder.compare(builder.shift(number, -_units(mark, f)), 0), 0) for mark in marks[1:]]
    factor = _staircase(builder, bits, [_units(-mark, f) for mark in marks], shape)
    root = factor if step == 1 else _staircase(builder, bits, [_units(-(mark // step), f) for mark in marks], shape)
    opened = builder.open(factor)
    normal = builder.limit(builder.add("multiply", (number, opened), shape), 2 << 2 * f + step)
    return truncated(builder, normal, f), opened if step == 1 else builder.open(root)


def _units(power: int, frac_bits: int) -> int:
    return 1 << frac_bits + power if frac_bits + power >= 0 else 0


def _staircase(builder: Builder, bits: list[int], levels: list[int], shape: tuple[int, ...]) -> int:
    # levels[j] where exactly the first j bits are 1.
    steps = [
        builder.view("scale", (bit,), shape, (after - before,))
        for bit, before, after in zip(bits, levels, levels[1:], strict=False)
    ]
    return builder.shift(builder.total(steps, [1] * len(steps), shape), levels[0])


def inverse(builder: Builder, number: int, low: int, top: int, more: int = 0) -> int:
    """1 / x of a positive opened value, 2^low <= x < 2^top, opened, with so many fractional bits beyond f."""
    normal, factor = scaled_down(builder, number, low, top, 1)
    return _scaled_back(builder, normal, factor, "reciprocal", RECIPROCAL, more)


def inverse_root(builder: Builder, number: int, more: int = 0) -> int:
    """1 / sqrt(x) of a positive opened value, opened, with so many fractional bits beyond f."""
    normal, factor = scaled_down(builder, number, LOWEST, TOP + 1, 2)
    return _scaled_back(builder, normal, factor, "rsqrt", ROOT, more)


def _scaled_back(builder: Builder, normal: int, factor: int, name: str, domain: Domain, more: int) -> int:
    value, extra = spline(builder, normal, 0, name, domain, exact=True)
    product = builder.add("multiply", (value, factor), builder.shape(normal))
    return truncated(builder, product, extra + builder.frac_bits - more)


def reciprocal(lowering: "Lowering", node: Node) -> Tensor:
    """sign(x) / |x|."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    number = builder.masked(data)
    positive = builder.compare(number, 0)
    twice = builder.view("scale", (builder.select(positive, number, 0),), data.shape, (2,))
    size = builder.open(builder.total((twice, builder.lift(number, 1)), (1, -1), data.shape))
    inverted = inverse(builder, size, LOWEST, TOP)
    signed = builder.view("scale", (builder.select(positive, inverted, 0),), data.shape, (2,))
    return Tensor(data.shape, shares={0: builder.total((signed, builder.lift(inverted, 1)), (1, -1), data.shape)})


def rsqrt(lowering: "Lowering", node: Node) -> Tensor:
    """1 / sqrt(x), x positive."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    return Tensor(data.shape, opened={0: inverse_root(builder, builder.masked(data))})


def softmax(lowering: "Lowering", node: Node) -> Tensor:
    """exp(x - max) / sum of the same, over the last axis."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    number, axis = builder.masked(data), len(data.shape) - 1
    row = (*data.shape[:-1], 1)
    largest = builder.open(maximum_over(builder, number, axis, 0))
    below = builder.total((number, largest), (1, -1), data.shape)
    powers = builder.open(evaluate(builder, below, 0, "exp", NEGATIVE_EXP))
    sums = builder.reshape(builder.view("reduce", (powers,), data.shape[:-1], (axis,)), row)
    share = inverse(builder, sums, -1, data.shape[-1].bit_length() + 1, FINER)
    product = builder.add("multiply", (powers, share), data.shape)
    return Tensor(data.shape, shares={builder.frac_bits + FINER: product})


def layer_norm(lowering: "Lowering", node: Node) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) gamma + beta, over the last axis."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    f, shape, row = builder.frac_bits, data.shape, (*data.shape[:-1], 1)
    number = builder.masked(data)
    centred = _centred(builder, number)
    squares = builder.add("multiply", (centred, centred), shape)
    total = builder.reshape(builder.view("reduce", (squares,), shape[:-1], (len(shape) - 1,)), row)
    _limit_squares(builder, total, number, shape[-1])
    # Truncated before the division too: a divisor with enough digits would not fit beside 2 f fractional bits.
    short = builder.truncate(builder.open(total, f), f)
    divided = builder.view("scale", (short,), row, (_share_of_one(shape[-1], f),))
    variance = builder.truncate(builder.open(divided, f + FINER), f + FINER)
    epsilon = max(1, constant_units(node.attributes["epsilon"], f))
    root = inverse_root(builder, builder.open(builder.shift(variance, epsilon)), FINER)
    product = builder.add("multiply", (centred, root), shape)
    # No element is further from the mean than sqrt(n) deviations; twice that covers what mean and root are off.
    builder.limit(product, 2 * (isqrt(shape[-1]) + 1) << 2 * f + FINER)
    normal = truncated_share(builder, product, f + FINER)
    factor = factor_of_share(lowering, normal, node.inputs[1])
    weighed = times(lowering, "weigh", factor, node.inputs[1], shape, shape[-1:])
    beta = bias_share(lowering, node.inputs[2], shape[-1:], wide=True)
    return Tensor(shape, shares={f: builder.total((weighed, beta), (1, 1), shape)})


def _centred(builder: Builder, number: int) -> int:
    f, shape = builder.frac_bits, builder.shape(number)
    row = (*shape[:-1], 1)
    sums = builder.reshape(builder.view("reduce", (number,), shape[:-1], (len(shape) - 1,)), row)
    mean = truncated(builder, builder.lift(sums, _share_of_one(shape[-1], f)), f + FINER)
    return builder.total((number, mean), (1, -1), shape)


def _limit_squares(builder: Builder, total: int, number: int, count: int) -> None:
    # Squared distances from the mean sum to no more than those from zero. The mean is a unit or two off.
    bound = builder.bounds[number]
    if bound is not None:
        builder.limit(total, count * (bound + 4) ** 2)


def _share_of_one(count: int, frac_bits: int) -> int:
    return round((1 << frac_bits + FINER) / count)


NORMS: Mapping[str, Callable[["Lowering", Node], Tensor]] = {
    "Reciprocal": reciprocal,
    "Rsqrt": rsqrt,
    "Softmax": softmax,
    "LayerNorm": layer_norm,
}
"""Operator: how it is lowered."""
