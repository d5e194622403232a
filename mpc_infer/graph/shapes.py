"""Shape rules of the operators.

A shape is a tuple of sizes. None stands for the batch (the number of rows) and may only be axis 0: a tensor with it
is computed from an input, a tensor without it is a weight. Every rule keeps the batch on axis 0, so that every
operator works row by row and a graph runs for any number of rows. The rules say "no" by raising ShapeError.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from mpc_infer.graph.forest import tree_ensemble
from mpc_infer.graph.functions import (
    MAX_JOINED,
    UNARY,
    FunctionError,
    arg_max,
    concat,
    layer_norm,
    over_last_axis,
    part,
    transpose,
    with_constants,
)
from mpc_infer.graph.spatial import WINDOW, WindowError, conv, pool

Shape = tuple[int | None, ...]
Attributes = Mapping[str, int | tuple[int, ...]]

MAX_RANK = 8
MAX_ELEMENTS = 2**28
"""Largest number of elements of a weight, or of one row of a computed tensor."""


class ShapeError(ValueError):
    """An operator cannot take these shapes. Callers wrap it with the node's name; ``remedy``: what to do."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


def across_rows(verb: str = "works") -> ShapeError:
    """What to raise where an operator would combine the rows of a job."""
    return ShapeError(f"it {verb} across rows; every row is evaluated by itself")


def is_computed(shape: Shape) -> bool:
    """Whether a tensor of this shape depends on an input."""
    return bool(shape) and shape[0] is None


def row_elements(shape: Shape) -> int:
    """Number of elements of a weight, or of one row of a computed tensor."""
    return math.prod(size for size in shape if size is not None)


def check_shape(shape: Shape) -> None:
    """Refuse the batch anywhere but on axis 0, empty axes, and sizes beyond the limits."""
    if any(size is None for size in shape[1:]):
        raise ShapeError("the batch may only be the first axis")
    if any(size is not None and size < 1 for size in shape):
        raise ShapeError(f"an axis of {shape} is empty or negative")
    if len(shape) > MAX_RANK or row_elements(shape) > MAX_ELEMENTS:
        raise ShapeError(f"{shape} has more than {MAX_RANK} axes or {MAX_ELEMENTS} elements")


def _want_computed(shape: Shape) -> Shape:
    if None not in shape:
        raise ShapeError("it works on weights only; fold it into the weights before exporting")
    if shape[0] is not None:
        raise ShapeError(f"it would move the batch from the first axis: {shape}")
    return shape


def _broadcast_axis(left: int | None, right: int | None) -> int | None:
    if left == right or right == 1:
        return left
    if left == 1:
        return right
    raise ShapeError(f"axes of {left or 'batch'} and {right or 'batch'} elements do not broadcast")


def _broadcast(left: Shape, right: Shape) -> Shape:
    rank = max(len(left), len(right))
    padded = [(1,) * (rank - len(shape)) + shape for shape in (left, right)]
    return tuple(_broadcast_axis(one, other) for one, other in zip(*padded, strict=True))


def _linear(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    data, weight = _want_computed(inputs[0]), inputs[1]
    if is_computed(weight) or len(weight) != 2 or len(data) < 2 or data[-1] != weight[0]:
        raise ShapeError(f"{data} cannot be multiplied by a weight of {weight}")
    if len(inputs) == 3 and inputs[2] != weight[1:]:
        raise ShapeError(f"a bias of {inputs[2]} does not fit a weight of {weight}")
    return (*data[:-1], weight[1])


def _matmul(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    left, right = inputs
    if min(len(left), len(right)) < 2:
        raise ShapeError("both factors need at least two axes")
    if None in right[-2:] or left[-1] is None or left[-1] != right[-2]:
        raise ShapeError(f"{left} cannot be multiplied by {right} row by row")
    return _want_computed((*_broadcast(left[:-2], right[:-2]), left[-2], right[-1]))


def _add(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    return _want_computed(_broadcast(inputs[0], inputs[1]))


def _same(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    return _want_computed(inputs[0])


def _flatten(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    if attributes["axis"] != 1:
        raise ShapeError("only axis 1 keeps the rows apart")
    return (None, row_elements(_want_computed(inputs[0])))


def _reshape(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    target = attributes["shape"]
    if not isinstance(target, tuple) or not target or target[0] != -1:
        raise ShapeError("the target must begin with -1, the batch")
    result: Shape = (None, *target[1:])
    check_shape(result)
    if row_elements(result) != row_elements(_want_computed(inputs[0])):
        raise ShapeError(f"{inputs[0]} does not fill {result} row by row")
    return result


Rule = Callable[[Sequence[Shape], Attributes], Shape]


def _computed(rule: Rule) -> Rule:
    return lambda inputs, attributes: rule([_want_computed(inputs[0]), *inputs[1:]], attributes)


RULES: Mapping[str, tuple[frozenset[int], frozenset[str], Rule]] = {
    "Linear": (frozenset({2, 3}), frozenset(), _linear),
    "MatMul": (frozenset({2}), frozenset(), _matmul),
    "Conv": (frozenset({2, 3}), WINDOW | {"group"}, _computed(conv)),
    "MaxPool": (frozenset({1}), WINDOW | {"kernel"}, _computed(pool)),
    "AveragePool": (frozenset({1}), WINDOW | {"kernel"}, _computed(pool)),
    "Add": (frozenset({2}), frozenset(), _add),
    "Sub": (frozenset({2}), frozenset(), _add),
    **{op: (frozenset({1}), frozenset[str](), _same) for op in UNARY},
    "Mul": (frozenset({2}), frozenset(), _add),
    "Max": (frozenset({2}), frozenset(), _add),
    "Min": (frozenset({2}), frozenset(), _add),
    "LeakyRelu": (frozenset({1}), frozenset({"alpha"}), _computed(with_constants)),
    "Clip": (frozenset({1}), frozenset({"low", "high"}), _computed(with_constants)),
    "Softmax": (frozenset({1}), frozenset(), _computed(over_last_axis)),
    "LayerNorm": (frozenset({3}), frozenset({"epsilon"}), _computed(layer_norm)),
    "ArgMax": (frozenset({1}), frozenset(), _computed(arg_max)),
    "TreeEnsemble": (frozenset({6}), frozenset({"depth", "extra"}), _computed(tree_ensemble)),
    "Transpose": (frozenset({1}), frozenset({"perm"}), _computed(transpose)),
    "Slice": (frozenset({1}), frozenset({"axis", "start", "stop", "step"}), _computed(part)),
    "Concat": (frozenset(range(2, MAX_JOINED + 1)), frozenset({"axis"}), _computed(concat)),
    "Flatten": (frozenset({1}), frozenset({"axis"}), _flatten),
    "Reshape": (frozenset({1}), frozenset({"shape"}), _reshape),
}
"""Operator: how many inputs it takes, its attributes, its shape rule."""


def output_shape(op: str, inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """Shape of an operator's one output.

    Raises:
        ShapeError: it takes another number of inputs, other attributes, or other shapes.
    """
    counts, names, rule = RULES[op]
    if len(inputs) not in counts:
        raise ShapeError(f"it takes {sorted(counts)} inputs, not {len(inputs)}")
    if frozenset(attributes) != names:
        raise ShapeError(f"its attributes must be {sorted(names)}, not {sorted(attributes)}")
    try:
        shape = rule(inputs, attributes)
    except (WindowError, FunctionError) as error:
        raise ShapeError(str(error)) from error
    check_shape(shape)
    return shape
