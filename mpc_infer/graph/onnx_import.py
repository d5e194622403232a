"""Reading an ONNX file. The only module of this process that imports onnx, and only when a file is read.

Order of work: size, parse, no external data, only known operators, ONNX's own checker with shape inference
(:mod:`mpc_infer.graph.onnx_checker`) in a process of its own, then lowering to the graph
(:mod:`mpc_infer.graph.lowering`). A file comes from outside: everything in it is judged.
"""

import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import CorruptModel, ModelRefused, UnsupportedOperator
from mpc_infer.graph.folding import FOLDS, INTEGER_TYPES
from mpc_infer.graph.ir import MAX_NODES, Graph
from mpc_infer.graph.lower_ml import EXTRACTOR, ML, NAMING, SCORES
from mpc_infer.graph.lower_views import TABLE
from mpc_infer.graph.lowering import lower
from mpc_infer.graph.onnx_checker import check_consistency
from mpc_infer.graph.operators import OPERATORS
from mpc_infer.graph.patterns import with_gelu
from mpc_infer.graph.raw import AttributeValue, RawModel, RawNode

MAX_ONNX_BYTES = 512 * 2**20
REMEDIES: Mapping[str, str] = {
    "LogSoftmax": "export the scores before it; the client can take the softmax",
    "Einsum": "write it as MatMul, Mul and ReduceSum",
    "TopK": "let the client sort the scores",
    f"{ML}Normalizer": "normalise the rows at the client",
}
"""What to do instead of some operators."""
INTEGERS = INTEGER_TYPES
"""ONNX's numbers of integer types and of truth values."""
MIN_OPSET = 9
"""Before opset 9 Add, Gemm and Flatten had other rules."""
UNCHANGED = frozenset({"Identity"})
"""With these, and operators of other domains, a file may say any version of ONNX's operators, or none."""


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A graph and the values of its weights (float64, finite, by name)."""

    graph: Graph
    weights: dict[str, NDArray[np.float64]] = field(repr=False)


def import_onnx(source: bytes | Path, *, max_bytes: int = MAX_ONNX_BYTES) -> ImportedModel:
    """Read an ONNX model of the operators in :data:`mpc_infer.graph.operators.OPERATORS`.

    The first axis of every input is the batch: symbolic, or 1, which then stands for any number of rows: the model is
    read as it computes one row, and every row is evaluated so. Weights may be float16, bfloat16, float32 or float64.
    Labels, names of classes and the last division by a sum of scikit-learn's classifiers are left to the client.

    Args:
        source: the file's bytes, or its path.
        max_bytes: largest file to accept.

    Raises:
        UnsupportedOperator: a node cannot be computed privately; the message names it and says why.
        CorruptModel: not an ONNX file, truncated, inconsistent, too large, with external data or non-finite weights.
        ModelRefused: a sound model that does not fit here otherwise, as a fixed batch of more than one row.
    """
    graph, weights = lower(raw_onnx(source, max_bytes=max_bytes))
    graph.check()
    return ImportedModel(graph, weights)


def raw_onnx(source: bytes | Path, *, max_bytes: int = MAX_ONNX_BYTES, known_only: bool = True) -> RawModel:
    """The file as it stands, checked, and not yet lowered.

    Args:
        source, max_bytes: as for `import_onnx`.
        known_only: refuse operators that cannot be read.

    Raises:
        UnsupportedOperator, CorruptModel, ModelRefused: as `import_onnx`.
    """
    data = _load(source, max_bytes)
    model = _parse(data)
    nodes = _live_nodes(model.graph)
    if known_only:
        _check_operators(nodes)
    check_consistency(data)
    return with_gelu(_read(model, nodes))


def _load(source: bytes | Path, max_bytes: int) -> bytes:
    try:
        data = source if isinstance(source, bytes) else _read_file(source, max_bytes + 1)
    except OSError as error:
        raise CorruptModel(f"the model file cannot be read: {error.strerror}") from error
    if len(data) > max_bytes:
        raise CorruptModel(f"the model has more than the {max_bytes} bytes that are allowed", remedy="raise the limit")
    return data


def _read_file(path: Path, most: int) -> bytes:
    """The first bytes of a file; nothing of pipes and devices, which may never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise CorruptModel(f"{path.name!r} is not a regular file")
    with path.open("rb") as file:
        return file.read(most)


def _parse(data: bytes) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise CorruptModel("the model is not an ONNX file, or is truncated") from error
    if not model.graph.node:
        raise CorruptModel("the model has no nodes; it is not an ONNX model, or is truncated")
    if model.functions:
        raise UnsupportedOperator("the model defines functions of its own", remedy="inline them: onnx.inliner")
    _check_opset(model)
    _check_names(model.graph)
    _check_no_external_data(model.graph)
    return model


def _check_opset(model: Any) -> None:
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    used = {_operator(node) for node in model.graph.node}
    if all("." in operator or operator in UNCHANGED for operator in used):
        return
    if len(set(versions)) != 1:
        raise CorruptModel("the model does not say which version of ONNX's operators it uses")
    if versions[0] < MIN_OPSET:
        raise ModelRefused(f"operator set {versions[0]} is too old", remedy=f"export with opset {MIN_OPSET} or later")


def _check_names(graph: Any) -> None:
    # The parser hands out bytes where a string is not UTF-8.
    named = (*graph.input, *graph.output, *graph.initializer, *graph.node)
    texts = [text for node in graph.node for text in (node.op_type, node.domain, *node.input, *node.output)]
    if not all(isinstance(text, str) for text in (*texts, *(item.name for item in named))):
        raise CorruptModel("a name in the model is not UTF-8")


def _check_no_external_data(graph: Any) -> None:
    """No tensor of the graph, or of one inside of it, in another file, and none that is sparse."""
    import onnx

    if graph.sparse_initializer:
        raise CorruptModel("the model has sparse weights", remedy="save them as dense tensors")
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    tensors = [each for attribute in attributes for each in (attribute.t, *attribute.tensors)]
    for tensor in (*graph.initializer, *tensors):
        if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
            raise CorruptModel(
                f"tensor {tensor.name!r} keeps its data in another file",
                remedy="save the model with its weights inside",
            )
    for attribute in attributes:
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors:
            raise CorruptModel("a node holds a sparse tensor", remedy="save it as a dense one")
        for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
            _check_no_external_data(inner)


def _live_nodes(graph: Any) -> list[tuple[str, Any]]:
    """The nodes that an output depends on, in the file's order, each with a name of its own."""
    maker = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    live: set[int] = set()
    pending = _outputs(graph, maker)
    while pending:
        index = maker.get(pending.pop())
        if index is not None and index not in live:
            live.add(index)
            pending.extend(graph.node[index].input)
    if len(live) > MAX_NODES:
        raise ModelRefused(f"the model has {len(live)} nodes, {MAX_NODES} are allowed")
    return _named([(index, graph.node[index]) for index in sorted(live)])


def _outputs(graph: Any, maker: Mapping[str, int] | None = None) -> list[str]:
    """The outputs without labels, unless there are only labels."""
    if maker is None:
        maker = {name: index for index, node in enumerate(graph.node) for name in node.output if name}
    names = [value.name for value in graph.output]
    return [name for name in names if not _is_label(graph, maker, name)] or names


def _is_label(graph: Any, maker: Mapping[str, int], name: str) -> bool:
    for _ in range(len(NAMING)):
        if name not in maker:
            return False
        node = graph.node[maker[name]]
        if _operator(node) == EXTRACTOR:
            return node.input[0] not in maker
        if _operator(node) in SCORES:
            return bool(name == node.output[0])
        if _operator(node) not in NAMING or not node.input:
            return False
        name = node.input[0]
    return False


def _operator(node: Any) -> str:
    domain = "" if node.domain == "ai.onnx" else node.domain
    return f"{domain}.{node.op_type}" if domain else str(node.op_type)


def _named(nodes: Iterable[tuple[int, Any]]) -> list[tuple[str, Any]]:
    named: dict[str, Any] = {}
    for index, node in nodes:
        name = node.name or f"{node.op_type}_{index}"
        named[name if name not in named else f"{name}_{index}"] = node
    return list(named.items())


def _check_operators(nodes: Iterable[tuple[str, Any]]) -> None:
    for name, node in nodes:
        operator = _operator(node)
        if operator not in OPERATORS and operator not in FOLDS:
            raise UnsupportedOperator(
                f"node {name!r} is a {operator}, which has no private protocol here",
                remedy=REMEDIES.get(operator, "docs/models.md lists the operators that can be used"),
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def _read(model: Any, nodes: Iterable[tuple[str, Any]]) -> RawModel:
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    raw_nodes = tuple(_read_node(name, node) for name, node in nodes)
    used = {name for node in raw_nodes for name in node.inputs} & set(initializers)
    inputs = [value for value in graph.input if value.name not in initializers]
    return RawModel(
        inputs={value.name: _input_shape(value) for value in inputs},
        outputs=tuple(_outputs(graph)),
        constants={name: _array(initializers[name], name) for name in sorted(used)},
        nodes=raw_nodes,
        opset=max(
            (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=MIN_OPSET
        ),
    )


def _read_node(name: str, node: Any) -> RawNode:
    attributes = {attribute.name: _attribute(name, attribute) for attribute in node.attribute}
    return RawNode(name, _operator(node), tuple(node.input), tuple(node.output), attributes)


def _attribute(node_name: str, attribute: Any) -> AttributeValue:
    import onnx

    kinds = onnx.AttributeProto
    if attribute.type == kinds.TENSOR:
        return _array(attribute.t, attribute.t.name or node_name)
    if attribute.type in (kinds.INTS, kinds.FLOATS):
        return tuple(attribute.ints) if attribute.type == kinds.INTS else tuple(attribute.floats)
    if attribute.type in (kinds.INT, kinds.FLOAT):
        return int(attribute.i) if attribute.type == kinds.INT else float(attribute.f)
    if attribute.type == kinds.STRINGS:
        return tuple(bytes(item).decode("utf-8", errors="replace") for item in attribute.strings)
    if attribute.type == kinds.STRING:
        return bytes(attribute.s).decode("utf-8", errors="replace")
    return None


def _array(tensor: Any, name: str) -> NDArray[np.generic]:
    """A tensor's values: float64 for every floating type, int64 for every integer type."""
    import onnx

    try:
        values: NDArray[np.generic] = onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, RuntimeError) as error:
        raise CorruptModel(f"tensor {name!r} cannot be read: {_first_line(error)}") from error
    types = onnx.TensorProto
    if tensor.data_type in (types.FLOAT, types.DOUBLE, types.FLOAT16, types.BFLOAT16):
        # A signalling NaN makes numpy warn; weights are checked to be finite when they are used.
        with np.errstate(invalid="ignore"):
            return values.astype(np.float64)
    if tensor.data_type in INTEGERS:
        return values.astype(np.int64)
    raise ModelRefused(f"tensor {name!r} is neither of floating numbers nor of integers", remedy="export with floats")


def _input_shape(value: Any) -> tuple[int, ...]:
    """The shape for one row."""
    import onnx

    types = onnx.TensorProto
    tensor_type = value.type.tensor_type
    if tensor_type.elem_type not in (types.FLOAT, types.DOUBLE, types.FLOAT16):
        raise ModelRefused(
            f"input {value.name!r} is not a tensor of floating numbers",
            remedy=f"export with floats; where it says places of a table, {TABLE}",
        )
    dims = tensor_type.shape.dim
    if not dims:
        raise ModelRefused(f"input {value.name!r} has no axes, or no known shape", remedy="give it a batch axis")
    if dims[0].HasField("dim_value") and dims[0].dim_value != 1:
        raise ModelRefused(
            f"input {value.name!r} is fixed to {dims[0].dim_value} rows", remedy="export with a dynamic batch axis"
        )
    return (1, *(_fixed_size(value.name, axis, dim) for axis, dim in enumerate(dims) if axis > 0))


def _fixed_size(name: str, axis: int, dim: Any) -> int:
    if not dim.HasField("dim_value") or dim.dim_value < 1:
        raise ModelRefused(
            f"axis {axis} of input {name!r} has no fixed size", remedy="export with only the batch axis dynamic"
        )
    return int(dim.dim_value)
