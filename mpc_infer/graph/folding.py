"""What can be computed of constants when a model is read: in numpy, of limited size."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.raw import AttributeValue, RawNode, integer, integers
from mpc_infer.graph.shapes import MAX_RANK, ShapeError

Array = NDArray[Any]
Inputs = Sequence[NDArray[Any] | None]
MAX_ELEMENTS = 2**25
"""Of one constant that is made here."""
FLOAT_TYPES, INTEGER_TYPES = frozenset({1, 10, 11, 16}), frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})
"""ONNX's numbers of element types."""


def fold(node: RawNode, inputs: Inputs) -> Array:
    """What a node makes of constants.

    Raises:
        ShapeError: they do not fit, or the result is too large.
    """
    try:
        with np.errstate(all="ignore"):
            result = np.asarray(FOLDS[node.op](node, inputs))
    except (ValueError, TypeError, IndexError, AttributeError, OverflowError, ZeroDivisionError) as error:
        raise ShapeError(f"what it makes of constants cannot be computed: {type(error).__name__}") from error
    if result.ndim > MAX_RANK:
        raise ShapeError(f"it makes a constant of {result.ndim} axes")
    return result.astype(np.float64 if np.issubdtype(result.dtype, np.floating) else np.int64)


def literal(node: RawNode, inputs: Inputs) -> Array:
    """A constant written as a node."""
    ((key, value),) = node.attributes.items()
    if key == "value" and isinstance(value, np.ndarray):
        return value
    if key in ("value_float", "value_floats"):
        return np.asarray(value, dtype=np.float64)
    if key in ("value_int", "value_ints"):
        return np.asarray(value, dtype=np.int64)
    raise ShapeError(f"it holds a {key}; only dense numbers can be used")


def axes_of(node: RawNode, inputs: Inputs) -> tuple[int, ...] | None:
    """Axes, which are an attribute before opset 13, and the second input since."""
    if len(inputs) > 1 and inputs[1] is not None:
        return tuple(int(axis) for axis in np.asarray(inputs[1]).reshape(-1)[: MAX_RANK + 1])
    return integers(node, "axes")


def check_size(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape of a constant.

    Raises:
        ShapeError: it is too large.
    """
    sizes = tuple(int(size) for size in shape)
    if len(sizes) > MAX_RANK or min(sizes, default=1) < 0 or np.prod([*sizes, 1], dtype=object) > MAX_ELEMENTS:
        raise ShapeError("it would make too large a constant")
    return sizes


def _elementwise(function: Callable[..., Any]) -> Callable[[RawNode, Inputs], Any]:
    def evaluate(node: RawNode, inputs: Inputs) -> Any:
        check_size(np.broadcast_shapes(*(np.asarray(array).shape for array in inputs)))
        return function(*inputs)

    return evaluate


def _divide(left: Array, right: Array) -> Any:
    if np.issubdtype(left.dtype, np.integer):
        return np.trunc(left / right).astype(np.int64)
    return left / right


def _matmul(node: RawNode, inputs: Inputs) -> Any:
    left, right = (np.asarray(array) for array in inputs)
    check_size([left.size // max(left.shape[-1], 1), right.size // max(right.shape[0], 1)])
    return left @ right


def _transpose(node: RawNode, inputs: Inputs) -> Any:
    return np.transpose(np.asarray(inputs[0]), integers(node, "perm"))


def _reshape(node: RawNode, inputs: Inputs) -> Any:
    array, target = np.asarray(inputs[0]), [int(size) for size in np.asarray(inputs[1])]
    if not integer(node, "allowzero", 0):
        target = [array.shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    return array.reshape(target)


def _flatten(node: RawNode, inputs: Inputs) -> Any:
    array = np.asarray(inputs[0])
    axis = integer(node, "axis", 1) % max(array.ndim, 1) if integer(node, "axis", 1) < 0 else integer(node, "axis", 1)
    return array.reshape(int(np.prod(array.shape[:axis])), -1)


def _squeeze(node: RawNode, inputs: Inputs) -> Any:
    return np.squeeze(np.asarray(inputs[0]), axes_of(node, inputs))


def _unsqueeze(node: RawNode, inputs: Inputs) -> Any:
    return np.expand_dims(np.asarray(inputs[0]), axes_of(node, inputs) or ())


def _concat(node: RawNode, inputs: Inputs) -> Any:
    arrays = [np.asarray(array) for array in inputs]
    check_size([sum(array.size for array in arrays)])
    return np.concatenate(arrays, axis=integer(node, "axis", 0))


def _slice(node: RawNode, inputs: Inputs) -> Any:
    array = np.asarray(inputs[0])
    return array[slices(node, inputs, array.shape)]


def slices(node: RawNode, inputs: Inputs, shape: Sequence[int]) -> tuple[slice, ...]:
    """What a Slice takes of every axis, from its inputs (since opset 10) or attributes."""
    if len(inputs) == 1:
        starts, ends, axes = (integers(node, key) for key in ("starts", "ends", "axes"))
        steps: Any = None
    else:
        starts, ends, axes, steps = (_numbers(inputs, place) for place in (1, 2, 3, 4))
    if starts is None or ends is None or len(starts) != len(ends):
        raise ShapeError("its starts and ends are missing, or do not fit")
    axes = axes if axes is not None else tuple(range(len(starts)))
    steps = steps if steps is not None else (1,) * len(starts)
    taken = [slice(None)] * len(shape)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        begin, stop, by = slice(start, end, step).indices(shape[axis])
        taken[axis] = slice(begin, stop if stop >= 0 else None, by)
    return tuple(taken)


def _numbers(inputs: Inputs, place: int) -> tuple[int, ...] | None:
    array = inputs[place] if place < len(inputs) else None
    return None if array is None else tuple(int(item) for item in array.reshape(-1))


def _gather(node: RawNode, inputs: Inputs) -> Any:
    array, places, axis = np.asarray(inputs[0]), np.asarray(inputs[1]), integer(node, "axis", 0)
    check_size([places.size, array.size // max(array.shape[axis], 1)])
    return np.take(array, places, axis=axis)


def _cast(node: RawNode, inputs: Inputs) -> Any:
    kind, array = integer(node, "to", 0), np.asarray(inputs[0])
    if kind in FLOAT_TYPES:
        return array.astype(np.float64)
    if kind not in INTEGER_TYPES:
        raise ShapeError("it casts to what is no number")
    return (array != 0) if kind == 9 else np.trunc(array).astype(np.int64)


def _expand(node: RawNode, inputs: Inputs) -> Any:
    array, target = np.asarray(inputs[0]), check_size(np.asarray(inputs[1]).tolist())
    return np.broadcast_to(array, check_size(np.broadcast_shapes(array.shape, target)))


def _of_shape(node: RawNode, inputs: Inputs) -> Any:
    value: AttributeValue = node.attributes.get("value")
    filled = np.asarray(value).reshape(-1)[0] if isinstance(value, np.ndarray) else np.float64(0)
    return np.full(check_size(np.asarray(inputs[0]).tolist()), filled)


def _range(node: RawNode, inputs: Inputs) -> Any:
    start, stop, step = (np.asarray(array).reshape(()).item() for array in inputs)
    check_size([max(0, int((stop - start) / step) + 1)])
    return np.arange(start, stop, step)


def _shape(node: RawNode, inputs: Inputs) -> Any:
    return shape_part(node, np.asarray(inputs[0]).shape)


def shape_part(node: RawNode, shape: Sequence[int]) -> Array:
    """What a Shape node says of a shape."""
    stop = integer(node, "end", len(shape))
    return np.asarray(tuple(shape)[integer(node, "start", 0) : stop], dtype=np.int64)


def _sigmoid(values: Array) -> Any:
    return 0.5 + 0.5 * np.tanh(0.5 * values)


def _tile(node: RawNode, inputs: Inputs) -> Any:
    array, repeats = np.asarray(inputs[0]), [int(count) for count in np.asarray(inputs[1]).reshape(-1)]
    check_size([array.size, *(max(count, 0) for count in repeats)])
    return np.tile(array, repeats)


def _triangle(node: RawNode, inputs: Inputs) -> Any:
    array, offset = np.asarray(inputs[0]), 0 if len(inputs) < 2 else int(np.asarray(inputs[1]).reshape(-1)[0])
    return np.triu(array, offset) if integer(node, "upper", 1) else np.tril(array, offset)


def _mod(node: RawNode, inputs: Inputs) -> Any:
    left, right = (np.asarray(array) for array in inputs)
    check_size(np.broadcast_shapes(left.shape, right.shape))
    return np.fmod(left, right) if integer(node, "fmod", 0) else np.mod(left, right)


def _cast_like(node: RawNode, inputs: Inputs) -> Any:
    return np.asarray(inputs[0]).astype(np.asarray(inputs[1]).dtype)


def _reduced(function: Callable[..., Any]) -> Callable[[RawNode, Inputs], Any]:
    def evaluate(node: RawNode, inputs: Inputs) -> Any:
        axes = axes_of(node, inputs)
        if not axes and integer(node, "noop_with_empty_axes", 0):
            return inputs[0]
        return function(np.asarray(inputs[0]), axis=axes or None, keepdims=bool(integer(node, "keepdims", 1)))

    return evaluate


FOLDS: Mapping[str, Callable[[RawNode, Inputs], Any]] = {
    "Constant": literal,
    "Identity": lambda node, inputs: inputs[0],
    "Dropout": lambda node, inputs: inputs[0],
    "Cast": _cast,
    "Shape": _shape,
    "Size": lambda node, inputs: np.asarray(np.size(np.asarray(inputs[0])), dtype=np.int64),
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _elementwise(_divide),
    "Pow": _elementwise(lambda base, power: np.power(base.astype(np.float64), power).astype(base.dtype)),
    "Max": _elementwise(lambda *arrays: np.max(np.broadcast_arrays(*arrays), axis=0)),
    "Min": _elementwise(lambda *arrays: np.min(np.broadcast_arrays(*arrays), axis=0)),
    "Equal": _elementwise(np.equal),
    "Greater": _elementwise(np.greater),
    "GreaterOrEqual": _elementwise(np.greater_equal),
    "Less": _elementwise(np.less),
    "LessOrEqual": _elementwise(np.less_equal),
    "And": _elementwise(np.logical_and),
    "Or": _elementwise(np.logical_or),
    "Xor": _elementwise(np.logical_xor),
    "Not": _elementwise(np.logical_not),
    "Sign": _elementwise(np.sign),
    "Ceil": _elementwise(np.ceil),
    "Round": _elementwise(np.round),
    "Where": _elementwise(lambda condition, left, right: np.where(condition != 0, left, right)),
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Sqrt": _elementwise(np.sqrt),
    "Exp": _elementwise(np.exp),
    "Log": _elementwise(np.log),
    "Reciprocal": _elementwise(lambda values: 1.0 / values),
    "Floor": _elementwise(np.floor),
    "Relu": _elementwise(lambda values: np.maximum(values, 0)),
    "Sigmoid": _elementwise(_sigmoid),
    "Tanh": _elementwise(np.tanh),
    "MatMul": _matmul,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Concat": _concat,
    "Slice": _slice,
    "Gather": _gather,
    "Expand": _expand,
    "ConstantOfShape": _of_shape,
    "Range": _range,
    "Mod": _mod,
    "Tile": _tile,
    "Trilu": _triangle,
    "CastLike": _cast_like,
    "ReduceSum": _reduced(np.sum),
    "ReduceMean": _reduced(np.mean),
    "ReduceMax": _reduced(np.max),
    "ReduceMin": _reduced(np.min),
    "ReduceProd": _reduced(np.prod),
}
"""ONNX operator: what it makes of constants."""
