"""The graph: what is computed, in which order, on tensors of which shape. It holds no weight values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from mpc_infer.encoding import canonical_json, digest
from mpc_infer.errors import CorruptModel, UnsupportedOperator, WrongShape
from mpc_infer.graph.shapes import RULES, Attributes, Shape, ShapeError, check_shape, is_computed, output_shape

SCHEMA = "mpc-infer/graph/v1"
MAX_NODES = 4096
MAX_TENSORS = 4096
MAX_NAME_BYTES = 256
MAX_BATCH = 2**20


class Op(StrEnum):
    """The operators, with their inputs. Values are fixed point; products are truncated.

    ``Linear(x, W[in, out], b[out]?)`` = x W + b on the last axis, W and b weights.
    ``MatMul(x, y)``: as numpy.matmul, at least one of them computed, both with two axes or more.
    ``Add(x, y)``: broadcasting, at least one of them computed.
    ``Sub(x, y)``: the same.
    ``Conv(x, W, b?)``, ``MaxPool(x)``, ``AveragePool(x)``: see :mod:`mpc_infer.graph.spatial`.
    ``Mul``, ``Max``, ``Min`` of (x, y): broadcasting, at least one of them computed.
    ``Step(x)`` = 1 where x is not negative, else 0. Of a product that waits to be truncated: one unit of 2^-f off.
    ``Relu``, ``Abs``, ``Sigmoid``, ``Tanh``, ``Erf``, ``Gelu``, ``Silu``, ``Softplus``, ``Exp``, ``Reciprocal``,
    ``Rsqrt`` of x.
    ``LeakyRelu``, ``Clip``, ``Softmax``, ``LayerNorm``, ``ArgMax``, ``Transpose``, ``Slice``, ``Concat``:
    :mod:`mpc_infer.graph.functions`.
    ``TreeEnsemble``: :mod:`mpc_infer.graph.forest`.
    ``Flatten(x)``: attribute ``axis`` = 1: (batch, everything else).
    ``Reshape(x)``: attribute ``shape`` = (-1, sizes...), where -1 stands for the batch.
    """

    LINEAR = "Linear"
    MATMUL = "MatMul"
    ADD = "Add"
    SUB = "Sub"
    CONV = "Conv"
    MAX_POOL = "MaxPool"
    AVERAGE_POOL = "AveragePool"
    RELU = "Relu"
    ABS = "Abs"
    STEP = "Step"
    SIGMOID = "Sigmoid"
    TANH = "Tanh"
    ERF = "Erf"
    GELU = "Gelu"
    SILU = "Silu"
    SOFTPLUS = "Softplus"
    EXP = "Exp"
    RECIPROCAL = "Reciprocal"
    RSQRT = "Rsqrt"
    MUL = "Mul"
    MAX = "Max"
    MIN = "Min"
    LEAKY_RELU = "LeakyRelu"
    CLIP = "Clip"
    SOFTMAX = "Softmax"
    LAYER_NORM = "LayerNorm"
    ARG_MAX = "ArgMax"
    TREE_ENSEMBLE = "TreeEnsemble"
    TRANSPOSE = "Transpose"
    SLICE = "Slice"
    CONCAT = "Concat"
    FLATTEN = "Flatten"
    RESHAPE = "Reshape"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor's name and shape. None, on axis 0 only, is the batch: the number of rows of a job.

    ``public`` weights may be known to everybody; all others are secret. Inputs and outputs are never public.
    """

    name: str
    shape: Shape
    public: bool = False

    def with_batch(self, batch: int) -> tuple[int, ...]:
        """The shape for this many rows."""
        return tuple(batch if size is None else size for size in self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. It has exactly one output in this version; ``outputs`` is a tuple for later operators."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Graph:
    """A checked computation. Nodes stand in an order in which they can be run.

    Weights are secret inputs unless they are marked as public: the graph names them and their shapes. Values of secret
    ones live in the parties' shares, those of public ones at every party.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    weights: tuple[TensorSpec, ...]
    nodes: tuple[Node, ...]

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes: the form that is hashed, stored and sent."""
        return canonical_json(
            {
                "schema": SCHEMA,
                "inputs": [_spec_json(spec) for spec in self.inputs],
                "outputs": [_spec_json(spec) for spec in self.outputs],
                "weights": [_spec_json(spec) for spec in self.weights],
                "nodes": [_node_json(node) for node in self.nodes],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Graph":
        """Read and check a graph.

        Raises:
            UnsupportedOperator: a node's operator is not one of ours.
            CorruptModel: anything else is wrong, or the bytes are not the canonical ones.
        """
        from mpc_infer.graph.wire import read_graph

        return read_graph(data)

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that name this graph."""
        return digest("graph", self.to_bytes())

    @cached_property
    def public_weights(self) -> tuple[str, ...]:
        """Names of the weights that everybody may know."""
        return tuple(spec.name for spec in self.weights if spec.public)

    def check(self) -> None:
        """Check names, order, operators, shapes and that every input and weight is used.

        Raises:
            UnsupportedOperator: a node's operator is not one of ours.
            CorruptModel: anything else is wrong; the message names the node or tensor.
        """
        if not self.inputs or not self.outputs or not self.nodes:
            raise CorruptModel("a graph needs an input, an output and a node")
        if len(self.nodes) > MAX_NODES or len(self.inputs) + len(self.outputs) + len(self.weights) > MAX_TENSORS:
            raise CorruptModel(f"a graph may have {MAX_NODES} nodes and {MAX_TENSORS} tensors")
        for spec in (*self.inputs, *self.outputs):
            if spec.public:
                raise CorruptModel(f"{spec.name!r} is no weight, and so cannot be public")
        shapes = infer_specs(self)
        _check_outputs(self, shapes)
        _check_all_used(self)


def infer_specs(graph: Graph) -> dict[str, Shape]:
    """Shapes of all tensors with None for the batch, in the order in which they come into being.

    Raises:
        UnsupportedOperator, CorruptModel: as :meth:`Graph.check`.
    """
    shapes: dict[str, Shape] = {}
    for spec in (*graph.inputs, *graph.weights):
        _define(shapes, spec.name, spec.shape, f"tensor {spec.name!r}")
    for spec in graph.inputs:
        if not is_computed(spec.shape):
            raise CorruptModel(f"input {spec.name!r} of {spec.shape} has no batch axis")
    for spec in graph.weights:
        if is_computed(spec.shape):
            raise CorruptModel(f"weight {spec.name!r} has a batch axis")
    _check_node_names(graph)
    for node in graph.nodes:
        _define(shapes, node.outputs[0], _node_shape(node, shapes), f"node {node.name!r}")
    return shapes


def infer_shapes(graph: Graph, batch: int) -> dict[str, tuple[int, ...]]:
    """Shapes of all inputs, weights and computed tensors, by name, for a number of rows.

    Raises:
        WrongShape: the batch is not between 1 and 2^20.
        UnsupportedOperator, CorruptModel: as :meth:`Graph.check`.
    """
    if not 1 <= batch <= MAX_BATCH:
        raise WrongShape(f"a job may have 1 to {MAX_BATCH} rows, not {batch}")
    return {name: TensorSpec(name, shape).with_batch(batch) for name, shape in infer_specs(graph).items()}


def is_name(text: str) -> bool:
    """Whether a string can name a tensor or node: 1 to 256 bytes of UTF-8, as the wire format of tensors wants."""
    try:
        return 0 < len(text.encode()) <= MAX_NAME_BYTES
    except UnicodeEncodeError:
        return False


def _spec_json(spec: TensorSpec) -> dict[str, object]:
    # The mark is left out where it says nothing: graphs without public weights have the bytes that they always had.
    return {"name": spec.name, "shape": list(spec.shape)} | ({"public": True} if spec.public else {})


def _node_json(node: Node) -> dict[str, object]:
    attributes = {key: list(value) if isinstance(value, tuple) else value for key, value in node.attributes.items()}
    return {
        "name": node.name,
        "op": str(node.op),
        "inputs": list(node.inputs),
        "outputs": list(node.outputs),
        "attributes": attributes,
    }


def _define(shapes: dict[str, Shape], name: str, shape: Shape, what: str) -> None:
    if name in shapes:
        raise CorruptModel(f"{what} defines {name!r} a second time")
    if not is_name(name):
        raise CorruptModel(f"{what} has a name that is empty, longer than {MAX_NAME_BYTES} bytes or not Unicode")
    try:
        check_shape(shape)
    except ShapeError as error:
        raise CorruptModel(f"{what}: {error}") from error
    shapes[name] = shape


def _node_shape(node: Node, shapes: Mapping[str, Shape]) -> Shape:
    if node.op not in RULES:
        raise UnsupportedOperator(f"node {node.name!r} is a {node.op!r}, which has no private protocol here")
    missing = [name for name in node.inputs if name not in shapes]
    if missing:
        raise CorruptModel(f"node {node.name!r} reads {missing[0]!r}, which nothing before it defines")
    try:
        return output_shape(node.op, [shapes[name] for name in node.inputs], node.attributes)
    except ShapeError as error:
        raise CorruptModel(f"node {node.name!r} ({node.op}): {error}") from error


def _check_node_names(graph: Graph) -> None:
    seen: set[str] = set()
    for node in graph.nodes:
        if not is_name(node.name) or node.name in seen:
            raise CorruptModel(f"node name {node.name!r} is empty, too long or used twice")
        if len(node.outputs) != 1:
            raise CorruptModel(f"node {node.name!r} has {len(node.outputs)} outputs, not one")
        seen.add(node.name)


def _check_outputs(graph: Graph, shapes: Mapping[str, Shape]) -> None:
    names = [spec.name for spec in graph.outputs]
    if len(set(names)) != len(names):
        raise CorruptModel("an output is named twice")
    produced = {name for node in graph.nodes for name in node.outputs}
    for spec in graph.outputs:
        if spec.name not in produced or shapes[spec.name] != spec.shape:
            raise CorruptModel(f"no node makes the output {spec.name!r} of {spec.shape}")


def _reads(graph: Graph) -> Iterator[str]:
    for node in graph.nodes:
        yield from node.inputs
    for spec in graph.outputs:
        yield spec.name


def _check_all_used(graph: Graph) -> None:
    used = set(_reads(graph))
    for spec in (*graph.inputs, *graph.weights):
        if spec.name not in used:
            raise CorruptModel(f"nothing reads the tensor {spec.name!r}")
    for node in graph.nodes:
        if node.outputs[0] not in used:
            raise CorruptModel(f"nothing reads what node {node.name!r} makes")
