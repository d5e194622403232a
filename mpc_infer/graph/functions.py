"""Shape rules of functions, comparisons and normalisations.

Constants are attributes in multiples of 2^-32: a graph holds integers only, so that it has one digest everywhere.
"""

from collections.abc import Callable, Mapping, Sequence

Shape = tuple[int | None, ...]
Attributes = Mapping[str, int | tuple[int, ...]]
Rule = Callable[[Sequence[Shape], Attributes], Shape]

CONSTANT_BITS = 32
MAX_CONSTANT = 1 << 15 + CONSTANT_BITS
UNARY = ("Relu", "Abs", "Step", "Sigmoid", "Tanh", "Erf", "Gelu", "Silu", "Softplus", "Exp", "Reciprocal", "Rsqrt")

MAX_JOINED = 16
"""Most inputs of a Concat."""


class FunctionError(ValueError):
    """A function cannot take these shapes or attributes."""


def constant(value: float) -> int:
    """A constant as an attribute."""
    scaled: int = round(value * 2**CONSTANT_BITS)
    return scaled


def constant_units(value: int | tuple[int, ...], frac_bits: int) -> int:
    """An attribute in units of 2^-frac_bits, rounded."""
    if not isinstance(value, int) or abs(value) >= MAX_CONSTANT:
        raise FunctionError("a constant is not a number below 2^15")
    half = 1 << CONSTANT_BITS - frac_bits - 1
    return (value + half) >> (CONSTANT_BITS - frac_bits)


def with_constants(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``LeakyRelu(x)``: ``alpha``. ``Clip(x)``: ``low`` and ``high``."""
    units = {key: constant_units(value, 1) for key, value in attributes.items()}
    if units.get("low", 0) > units.get("high", 0):
        raise FunctionError("the lower bound is above the upper one")
    return inputs[0]


def over_last_axis(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``Softmax(x)`` over the last axis."""
    if len(inputs[0]) < 2:
        raise FunctionError("it needs an axis beside the batch")
    return inputs[0]


def layer_norm(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``LayerNorm(x, gamma, beta)`` over the last axis: ``epsilon``."""
    data, *affine = inputs
    if constant_units(attributes["epsilon"], CONSTANT_BITS - 1) < 0 or any(len(shape) != 1 for shape in affine):
        raise FunctionError("epsilon is not negative, gamma and beta have one axis")
    if len(data) < 2 or any(shape != data[-1:] for shape in affine):
        raise FunctionError(f"gamma and beta do not fit the last axis of {data}")
    return data


def arg_max(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``ArgMax(x)``: the first largest place on the last axis, which disappears."""
    return over_last_axis(inputs, attributes)[:-1]


def transpose(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``Transpose(x)``: ``perm``, the batch stays where it is."""
    perm, data = attributes["perm"], inputs[0]
    if not isinstance(perm, tuple) or sorted(perm) != list(range(len(data))) or perm[0] != 0:
        raise FunctionError(f"{perm} is not an order of the axes of {data} that keeps the batch first")
    return tuple(data[axis] for axis in perm)


def part(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``Slice(x)``: every ``step``-th element of an ``axis`` from ``start`` to before ``stop``; not of the batch."""
    data, axis = inputs[0], _axis(inputs[0], attributes)
    start, stop, step = (attributes[key] for key in ("start", "stop", "step"))
    if not (isinstance(start, int) and isinstance(stop, int) and isinstance(step, int)):
        raise FunctionError("start, stop and step are integers")
    if not 0 <= start < stop <= (data[axis] or 0) or step < 1:
        raise FunctionError(f"{start} to {stop} in steps of {step} lies outside of {data}, or is empty")
    return (*data[:axis], len(range(start, stop, step)), *data[axis + 1 :])


def concat(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``Concat(x, ...)``: up to 16 computed tensors one after the other on an ``axis``; not the batch."""
    first, axis = inputs[0], _axis(inputs[0], attributes)
    if any(shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :] for shape in inputs):
        raise FunctionError(f"{list(inputs)} cannot be joined on axis {axis}")
    return (*first[:axis], sum(shape[axis] or 0 for shape in inputs), *first[axis + 1 :])


def _axis(shape: Shape, attributes: Attributes) -> int:
    axis = attributes["axis"]
    if not isinstance(axis, int) or not 1 <= axis < len(shape):
        raise FunctionError(f"{axis} is not an axis of {shape} beside the batch")
    return axis
