"""From ONNX nodes to the graph's operators.

The file is read as it computes one row: every tensor of it has the shape that it has for a batch of one, so that a
program may carry the batch on any axis, or merge it with others. In the graph the same elements stand behind the batch
axis. What depends on constants alone is computed here; weights that nothing reads are never made.
"""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import CorruptModel, ModelRefused, UnsupportedOperator
from mpc_infer.graph.folding import FOLDS, check_size, fold
from mpc_infer.graph.ir import MAX_NODES, Graph, Node, Op, TensorSpec
from mpc_infer.graph.raw import RawModel, RawNode
from mpc_infer.graph.shapes import Attributes, Shape, ShapeError, across_rows, output_shape
from mpc_infer.graph.simplify import simplify

Array = NDArray[np.generic]
Sizes = tuple[int, ...]
SEVERAL_OUTPUTS = frozenset({"Split", "ai.onnx.ml.LinearClassifier", "ai.onnx.ml.TreeEnsembleClassifier"})
MISFITS = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError)
"""What numpy and Python raise at shapes and attributes that do not fit: a file comes from outside."""
MAX_WEIGHT = 2.0**15
MAX_MADE = 4 * MAX_NODES
"""Nodes before they are simplified."""
MAX_FOLDED = 2**26
"""Elements of everything that is computed here from constants."""


@dataclass(frozen=True, slots=True)
class Value:
    """A computed tensor of the file.

    Attributes:
        name: the graph's tensor that holds it, in the shape :func:`placed`.
        shape: in the file, for one row.
        rows: which axis counts rows; None when it was merged with another.
    """

    name: str
    shape: Sizes
    rows: int | None


@dataclass(frozen=True, slots=True)
class Constant:
    """A tensor that is known now. ``label`` names the weight that it may become."""

    label: str
    array: Array = field(repr=False)


Operand = Value | Constant


def placed(shape: Sizes) -> Shape:
    """The shape in the graph: the batch takes the place of a leading 1, or comes before everything."""
    return (None, *(shape[1:] if shape[:1] == (1,) else shape))


def lower(model: RawModel) -> tuple[Graph, dict[str, NDArray[np.float64]]]:
    """Make the graph and its weights.

    Raises:
        UnsupportedOperator: a node stands where it cannot be computed privately; the message names it.
        CorruptModel: a weight is not finite, or of integers.
        ModelRefused: an output is an input, a constant, or the same as another output.
    """
    lowering = Lowering(model)
    for node in model.nodes:
        lower_node(lowering, node)
    return lowering.finish()


def lower_node(lowering: "Lowering", node: RawNode) -> None:
    """Make the nodes of one node of the file.

    Raises:
        UnsupportedOperator, CorruptModel, ModelRefused: as `lower`.
    """
    from mpc_infer.graph.operators import OPERATORS

    try:
        if not lowering.folded(node):
            lowering.begin(node)
            if node.op not in OPERATORS:
                raise ShapeError("it can be computed of constants alone; there is no private protocol for it")
            value = OPERATORS[node.op](lowering, node)
            if value is not None:
                lowering.bind(node.outputs[0], value)
    except ShapeError as error:
        raise UnsupportedOperator(f"node {node.name!r} ({node.op}): {error}", remedy=error.remedy) from error
    except MISFITS as error:
        what = f"node {node.name!r} ({node.op}): its inputs, shapes or attributes do not fit together"
        raise CorruptModel(f"{what} ({type(error).__name__})") from error


class Lowering:
    """The graph as far as it has been made.

    Attributes:
        model: what is read.
        constants: every constant of the file and what was computed from them.
        weights: of the graph.
        reads: how often each tensor of the file is read.
        readers: the last node that reads it.
    """

    def __init__(self, model: RawModel) -> None:
        self.model = model
        self.constants: dict[str, Array] = dict(model.constants)
        self.weights: dict[str, NDArray[np.float64]] = {}
        self.reads = Counter(name for node in model.nodes for name in node.inputs)
        self.reads.update(model.outputs)
        self.readers = {name: node for node in model.nodes for name in node.inputs}
        self._values = {name: Value(name, shape, 0) for name, shape in model.inputs.items()}
        self._shapes: dict[str, Shape] = {name: placed(shape) for name, shape in model.inputs.items()}
        self._nodes: dict[str, Node] = {}
        self._labels: dict[str, str] = {}
        self._whole: dict[str, bool] = {}
        self._node = RawNode("", "", (), (), {})
        self._made = 0
        self._elements = 0

    def folded(self, node: RawNode) -> bool:
        """Compute a node whose inputs are all constants; whether it is one."""
        inputs = [self.constants.get(name) for name in node.inputs]
        known = all(array is not None or not name for name, array in zip(node.inputs, inputs, strict=True))
        if not known or node.op not in FOLDS:
            return False
        result = fold(node, inputs)
        self._count(node, result.size)
        self.constants[node.outputs[0]] = result
        return True

    def _count(self, node: RawNode, elements: int) -> None:
        self._elements += elements
        if self._elements > MAX_FOLDED:
            raise ModelRefused(f"the constants that node {node.name!r} and others make are too large")

    def filled(self, shape: Sizes, value: float) -> NDArray[np.float64]:
        """A constant of one number. All that are made here have a limit together.

        Raises:
            ShapeError, ModelRefused: it is too large, or they are.
        """
        self._count(self._node, elements(check_size(shape)))
        return np.full(shape, value)

    def begin(self, node: RawNode) -> None:
        """Nodes that are emitted from now on belong to this one."""
        if node.op not in SEVERAL_OUTPUTS and any(self.reads[name] for name in node.outputs[1:] if name):
            raise ShapeError("only its first output can be used")
        self._node, self._made = node, 0

    def operand(self, name: str) -> Operand:
        """A tensor of the file."""
        if name in self.constants:
            return Constant(self._labels.get(name, name), self.constants[name])
        return self.value(name)

    def value(self, name: str) -> Value:
        """A computed tensor of the file.

        Raises:
            ShapeError: it is a constant.
        """
        if name in self.constants:
            raise ShapeError(f"{name!r} is a constant; it works on weights only, fold it before exporting")
        if name not in self._values:
            raise CorruptModel(f"nothing defines the tensor {name!r}")
        return self._values[name]

    def constant(self, name: str) -> Array | None:
        """A constant's value, or None for a computed or missing tensor."""
        return self.constants.get(name)

    def known(self, name: str, what: str) -> Array:
        """A constant's value.

        Raises:
            ShapeError: the tensor is computed.
        """
        if name not in self.constants:
            raise ShapeError(f"its {what} must be a constant")
        return self.constants[name]

    def maker(self, value: Value) -> Node | None:
        """The graph's node that makes a value; None for an input."""
        return self._nodes.get(value.name)

    def shape_of(self, name: str) -> Shape:
        """The shape of a tensor of the graph that is computed."""
        return self._shapes[name]

    def define(self, name: str, values: Array) -> None:
        """Add a constant."""
        self.constants[name] = values

    def rename(self, new: str, old: str) -> None:
        """Give a constant or value another name in the file."""
        found = self.operand(old)
        if isinstance(found, Constant):
            self.constants[new], self._labels[new] = found.array, found.label
        else:
            self._values[new] = found

    def whole_number(self, value: Value, *, truth: bool) -> Value:
        """Remember that a value has no fractions, or is 0 or 1 even."""
        self._whole[value.name] = truth
        return value

    def is_whole(self, value: Value, *, truth: bool) -> bool:
        """Whether a value is known to have no fractions, or to be 0 or 1."""
        return self._whole.get(value.name, False) if truth else value.name in self._whole

    def weight(self, constant: Constant, use: str = "") -> str:
        """Make a weight of a constant, once for each way it is used; returns the weight's name."""
        values, source = constant.array, constant.label
        if not np.issubdtype(values.dtype, np.floating):
            raise CorruptModel(f"weight {source!r} is of integers")
        if values.size == 0 or not np.isfinite(values).all():
            raise CorruptModel(
                f"weight {source!r} of node {self._node.name!r} is empty, or holds NaN or infinity",
                remedy="put large finite numbers into masks",
            )
        array = np.ascontiguousarray(values, dtype=np.float64).reshape(values.shape or (1,))
        label = f"{source}:{use}" if use else source
        known = self.weights.setdefault(label, array)
        if known is array or (known.shape == array.shape and np.array_equal(known, array)):
            return label
        unused = next(name for number in range(2, 10**6) if (name := f"{label}:{number}") not in self.weights)
        self.weights[unused] = array
        return unused

    def emit(self, op: Op, inputs: tuple[str, ...], attributes: Attributes | None = None) -> str:
        """Append a node of the graph; returns the tensor that it makes."""
        if len(self._nodes) >= MAX_MADE:
            raise ModelRefused(f"node {self._node.name!r} and others before it make more than {MAX_MADE} operations")
        shapes = [self.weights[name].shape if name in self.weights else self._shapes[name] for name in inputs]
        name = f"{self._node.outputs[0]}:{self._made}"
        while name in self._shapes or name in self.weights:
            self._made += 1
            name = f"{self._node.outputs[0]}:{self._made}"
        self._made += 1
        self._shapes[name] = output_shape(op, shapes, attributes or {})
        self._nodes[name] = Node(self._node.name, op.value, inputs, (name,), attributes or {})
        return name

    def reshape(self, name: str, shape: Shape) -> str:
        """The same elements of a tensor of the graph in another shape."""
        if self._shapes[name] == shape:
            return name
        maker = self._nodes.get(name)
        if maker is not None and maker.op == Op.RESHAPE:
            return self.reshape(maker.inputs[0], shape)
        return self.emit(Op.RESHAPE, (name,), {"shape": (-1, *(size or -1 for size in shape[1:]))})

    def full(self, value: Value, rank: int = 0) -> str:
        """A tensor of the graph with all axes of a value behind the batch, and axes of 1 before them up to a rank."""
        more = max(rank - len(value.shape), 0)
        return self.reshape(value.name, (None, *([1] * more), *value.shape))

    def settle(self, name: str, shape: Sizes, rows: int | None) -> Value:
        """A value whose elements a tensor of the graph holds, in whichever shape."""
        return Value(self.reshape(name, placed(shape)), shape, rows)

    def along(self, value: Value, axis: int) -> tuple[str, int]:
        """A tensor of the graph that holds a value, and the place of one of the value's axes there.

        Raises:
            ShapeError: the axis counts rows.
        """
        if axis == value.rows:
            raise across_rows()
        return (value.name, axis) if value.shape[0] == 1 and axis else (self.full(value), axis + 1)

    def bind(self, name: str, value: Value) -> None:
        """Name what an ONNX node makes; the graph's tensor gets the same name where it was made for it."""
        if name in self._values or name in self.constants:
            raise CorruptModel(f"node {self._node.name!r} defines {name!r} a second time")
        last = next(reversed(self._nodes), None)
        taken = name in self._shapes or name in self.weights
        if value.name == last and value.name.startswith(f"{self._node.outputs[0]}:") and not taken:
            node = self._nodes.pop(last)
            self._nodes[name] = replace(node, outputs=(name,))
            self._shapes[name] = self._shapes.pop(last)
            if value.name in self._whole:
                self._whole[name] = self._whole[value.name]
            value = replace(value, name=name)
        self._values[name] = value

    def finish(self) -> tuple[Graph, dict[str, NDArray[np.float64]]]:
        """The graph with the file's names for its outputs."""
        names: dict[str, str] = {}
        for name in self.model.outputs:
            value = self._values.get(name)
            if value is not None and (value.shape[:1] != (1,) or value.rows not in (0, None)):
                node = next((node.name for node in self.model.nodes if name in node.outputs), name)
                raise UnsupportedOperator(
                    f"node {node!r} makes the output {name!r} of {value.shape} for one row, without an axis for rows",
                    remedy="the first axis of every output must be the batch",
                )
            if value is None or value.name in names or value.name not in self._nodes:
                raise ModelRefused("an output of the model is an input, a constant, or the same as another output")
            names[value.name] = name
        nodes, weights = simplify(list(self._nodes.values()), self.weights, frozenset(names))
        for each in nodes:
            _check_size(each, weights)
        return self._graph(nodes, weights, names), weights

    def _graph(self, nodes: list[Node], weights: Mapping[str, NDArray[np.float64]], names: Mapping[str, str]) -> Graph:
        return Graph(
            inputs=tuple(TensorSpec(name, placed(shape)) for name, shape in self.model.inputs.items()),
            outputs=tuple(TensorSpec(name, self._shapes[made]) for made, name in names.items()),
            weights=tuple(TensorSpec(name, array.shape) for name, array in weights.items()),
            nodes=tuple(_renamed(node, names) for node in _distinct(nodes)),
        )


def _check_size(node: Node, weights: Mapping[str, NDArray[np.float64]]) -> None:
    for name in node.inputs:
        if name in weights and np.abs(weights[name]).max() >= MAX_WEIGHT:
            raise ModelRefused(
                f"weight {name!r} of node {node.name!r} holds a number of 2^15 or more, which is out of range",
                remedy="scale it down; in a mask -1000 is as good as any",
            )


def _distinct(nodes: list[Node]) -> list[Node]:
    """Several nodes that were made for one of the file get numbers; the last one keeps the name."""
    left = Counter(node.name for node in nodes)
    result = []
    for node in nodes:
        left[node.name] -= 1
        rest = left[node.name]
        result.append(replace(node, name=f"{node.name}:{rest}") if rest else node)
    return result


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    inputs = tuple(names.get(name, name) for name in node.inputs)
    return replace(node, inputs=inputs, outputs=tuple(names.get(name, name) for name in node.outputs))


def elements(shape: Sizes) -> int:
    """How many elements a shape has."""
    return math.prod(shape)
