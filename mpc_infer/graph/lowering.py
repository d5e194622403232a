"""From ONNX nodes to the graph's operators.

Identity and Constant vanish, Gemm becomes Linear with its factors and transposition folded into the weights, a
MatMul by a matrix of weights becomes Linear. Weights that nothing reads are never made.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import CorruptModel, ModelRefused, UnsupportedOperator
from mpc_infer.graph.ir import Graph, Node, Op, TensorSpec
from mpc_infer.graph.raw import AttributeValue, RawModel, RawNode
from mpc_infer.graph.shapes import Attributes, Shape, ShapeError, output_shape, row_elements

Array = NDArray[np.generic]


def lower(model: RawModel) -> tuple[Graph, dict[str, NDArray[np.float64]]]:
    """Make the graph and its weights.

    Raises:
        UnsupportedOperator: a node stands where it cannot be computed privately; the message names it.
        CorruptModel: a weight is not finite, or of integers.
        ModelRefused: an output is an input, a constant, or the same as another output.
    """
    lowering = _Lowering(model)
    for node in model.nodes:
        lowering.add(node)
    return lowering.finish()


class _Lowering:
    """The graph as far as it has been made.

    ``_shapes`` knows every computed tensor, ``_constants`` every constant of the file, ``_aliases`` what an Identity
    renamed.
    """

    def __init__(self, model: RawModel) -> None:
        self._model = model
        self._shapes: dict[str, Shape] = dict(model.inputs)
        self._constants: dict[str, Array] = dict(model.constants)
        self._aliases: dict[str, str] = {}
        self._weights: dict[str, NDArray[np.float64]] = {}
        self._nodes: list[Node] = []

    def add(self, node: RawNode) -> None:
        """Lower one node."""
        try:
            OPERATORS[node.op](self, node)
        except ShapeError as error:
            raise UnsupportedOperator(f"node {node.name!r} ({node.op}): {error}") from error

    def finish(self) -> tuple[Graph, dict[str, NDArray[np.float64]]]:
        """The graph with the file's names for its outputs."""
        names = {self.resolve(name): name for name in self._model.outputs}
        made = {node.outputs[0] for node in self._nodes}
        if len(names) != len(self._model.outputs) or not names.keys() <= made:
            raise ModelRefused("an output of the model is an input, a constant, or the same as another output")
        nodes = tuple(_renamed(node, names) for node in self._nodes)
        graph = Graph(
            inputs=tuple(TensorSpec(name, shape) for name, shape in self._model.inputs.items()),
            outputs=tuple(TensorSpec(names[name], self._shapes[name]) for name in names),
            weights=tuple(TensorSpec(name, array.shape) for name, array in self._weights.items()),
            nodes=nodes,
        )
        return graph, self._weights

    def resolve(self, name: str) -> str:
        """The tensor behind a name."""
        return self._aliases.get(name, name)

    def constant(self, name: str) -> Array | None:
        """A constant's value, or None for a computed tensor."""
        return self._constants.get(self.resolve(name))

    def shape(self, name: str) -> Shape:
        """A computed tensor's shape.

        Raises:
            ShapeError: it is a constant.
        """
        name = self.resolve(name)
        if name in self._constants:
            raise ShapeError(f"{name!r} is a constant; it works on weights only, fold it before exporting")
        if name not in self._shapes:
            raise CorruptModel(f"nothing defines the tensor {name!r}")
        return self._shapes[name]

    def weight(self, name: str, values: Array, use: str = "") -> str:
        """Make a weight of a constant, once for each way it is used; returns the weight's name."""
        source = self.resolve(name)
        if not np.issubdtype(values.dtype, np.floating):
            raise CorruptModel(f"weight {source!r} is of integers")
        if values.size == 0 or not np.isfinite(values).all():
            raise CorruptModel(f"weight {source!r} is empty, or holds NaN or infinity")
        array = np.ascontiguousarray(values, dtype=np.float64).reshape(values.shape or (1,))
        label = f"{source}:{use}" if use else source
        known = self._weights.setdefault(label, array)
        return label if known is array or np.array_equal(known, array) else self._distinct(label, array)

    def _distinct(self, label: str, array: NDArray[np.float64]) -> str:
        unused = next(name for number in range(2, 10**6) if (name := f"{label}:{number}") not in self._weights)
        self._weights[unused] = array
        return unused

    def emit(self, node: RawNode, op: Op, inputs: tuple[str, ...], attributes: Attributes) -> None:
        """Append a node of the graph that makes the ONNX node's output."""
        names = tuple(self.resolve(name) for name in inputs)
        shapes = [self._weights[name].shape if name in self._weights else self.shape(name) for name in names]
        output = node.outputs[0]
        if output in self._weights or output in self._shapes:
            raise CorruptModel(f"node {node.name!r} defines {output!r} a second time")
        self._shapes[output] = output_shape(op, shapes, attributes)
        self._nodes.append(Node(node.name, op.value, names, (output,), attributes))

    def operand(self, name: str) -> str:
        """A tensor of either kind, as an input of a node; a constant becomes a weight."""
        values = self.constant(name)
        return name if values is None else self.weight(name, values)

    def identity(self, node: RawNode) -> None:
        """Another name for the same tensor."""
        self._aliases[node.outputs[0]] = self.resolve(node.inputs[0])

    def define(self, node: RawNode) -> None:
        """A constant written as a node."""
        values = [_constant_value(node, key, value) for key, value in node.attributes.items()]
        self._constants[node.outputs[0]] = values[0]

    def gemm(self, node: RawNode) -> None:
        """alpha · A · B(ᵀ) + beta · C, with B and C constant, as Linear."""
        data, weight = node.inputs[:2]
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        values = self.constant(weight)
        if _integer(node, "transA", 0) or values is None or len(self.shape(data)) != 2:
            raise ShapeError("only rows times a constant matrix can be computed here (transA = 0, B constant)")
        transposed, alpha = _integer(node, "transB", 0), _number(node, "alpha", 1.0)
        use = ("T" if transposed else "") + (f"*{alpha}" if alpha != 1.0 else "")
        name = self.weight(weight, alpha * _float(values.T if transposed else values, weight), use)
        inputs = (data, name, self._gemm_bias(node, bias, self._weights[name].shape[-1])) if bias else (data, name)
        self.emit(node, Op.LINEAR, tuple(part for part in inputs if part), {})

    def _gemm_bias(self, node: RawNode, name: str, width: int) -> str:
        values, beta = self.constant(name), _number(node, "beta", 1.0)
        if beta == 0.0:
            return ""
        if values is None or values.size not in (1, width) or max((*values.shape[:-1], 1)) != 1:
            raise ShapeError("C must be a constant, the same for every row")
        use = "" if beta == 1.0 and values.shape == (width,) else f"bias{width}*{beta}"
        return self.weight(name, np.broadcast_to(beta * _float(values, name).reshape(-1), (width,)), use)

    def matmul(self, node: RawNode) -> None:
        """Rows times a constant matrix is Linear, anything else stays MatMul."""
        left, right = node.inputs
        values = self.constant(right)
        linear = values is not None and values.ndim == 2 and self.constant(left) is None
        self.emit(node, Op.LINEAR if linear else Op.MATMUL, (self.operand(left), self.operand(right)), {})

    def add_tensors(self, node: RawNode) -> None:
        """Sum with broadcasting."""
        left, right = node.inputs
        self.emit(node, Op.ADD, (self.operand(left), self.operand(right)), {})

    def relu(self, node: RawNode) -> None:
        """max(x, 0)."""
        self.shape(node.inputs[0])
        self.emit(node, Op.RELU, node.inputs, {})

    def sigmoid(self, node: RawNode) -> None:
        """1 / (1 + exp(-x))."""
        self.shape(node.inputs[0])
        self.emit(node, Op.SIGMOID, node.inputs, {})

    def flatten(self, node: RawNode) -> None:
        """(batch, everything else)."""
        rank, axis = len(self.shape(node.inputs[0])), _integer(node, "axis", 1)
        self.emit(node, Op.FLATTEN, node.inputs, {"axis": axis + rank if axis < 0 else axis})

    def reshape(self, node: RawNode) -> None:
        """Another shape for each row."""
        data, target = node.inputs
        sizes = self.constant(target)
        if sizes is None or sizes.ndim != 1 or not np.issubdtype(sizes.dtype, np.integer):
            raise ShapeError("its shape must be a constant list of integers")
        keep_zero = _integer(node, "allowzero", 0) != 0
        shape = _resolve(self.shape(data), [int(size) for size in sizes.tolist()], keep_zero, self._model.one_row)
        self.emit(node, Op.RESHAPE, (data,), {"shape": shape})


def _resolve(shape: Shape, target: list[int], keep_zero: bool, one_row: bool) -> tuple[int, ...]:
    """ONNX's target as (-1 for the batch, sizes...): 0 copies an axis, -1 is what is left."""
    if not target or (keep_zero and 0 in target) or target.count(-1) > 1 or min(target) < -1:
        raise ShapeError(f"its target {target} is empty or makes an empty tensor")
    if target[0] not in ((-1, 0, 1) if one_row else (-1, 0)):
        raise ShapeError(f"its target {target} fixes the number of rows; export with a dynamic batch axis")
    sizes = [_copied(shape, axis) if size == 0 else size for axis, size in enumerate(target)][1:]
    if -1 in sizes:
        rest = -int(np.prod(sizes, dtype=object))
        sizes[sizes.index(-1)] = max(row_elements(shape) // max(rest, 1), 1)
    return (-1, *sizes)


def _copied(shape: Shape, axis: int) -> int:
    if axis >= len(shape):
        raise ShapeError(f"its target copies axis {axis}, which {shape} does not have")
    return shape[axis] or -1


def _renamed(node: Node, names: Mapping[str, str]) -> Node:
    inputs = tuple(names.get(name, name) for name in node.inputs)
    outputs = tuple(names.get(name, name) for name in node.outputs)
    return Node(node.name, node.op, inputs, outputs, node.attributes)


def _constant_value(node: RawNode, key: str, value: AttributeValue) -> Array:
    if key == "value" and isinstance(value, np.ndarray):
        return value
    if key in ("value_float", "value_floats"):
        return np.asarray(value, dtype=np.float64)
    if key in ("value_int", "value_ints"):
        return np.asarray(value, dtype=np.int64)
    raise UnsupportedOperator(f"node {node.name!r} (Constant) holds a {key}; only dense numbers can be used")


def _float(values: Array, name: str) -> NDArray[np.float64]:
    if not np.issubdtype(values.dtype, np.floating):
        raise CorruptModel(f"weight {name!r} is of integers")
    return values.astype(np.float64)


def _integer(node: RawNode, key: str, default: int) -> int:
    value = node.attributes.get(key, default)
    if not isinstance(value, int):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} is not an integer")
    return value


def _number(node: RawNode, key: str, default: float) -> float:
    value = node.attributes.get(key, default)
    if not isinstance(value, int | float):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} is not a number")
    return float(value)


OPERATORS: Mapping[str, Callable[[_Lowering, RawNode], None]] = {
    "Gemm": _Lowering.gemm,
    "MatMul": _Lowering.matmul,
    "Add": _Lowering.add_tensors,
    "Relu": _Lowering.relu,
    "Sigmoid": _Lowering.sigmoid,
    "Flatten": _Lowering.flatten,
    "Reshape": _Lowering.reshape,
    "Identity": _Lowering.identity,
    "Constant": _Lowering.define,
}
"""ONNX operator: how it is lowered."""
