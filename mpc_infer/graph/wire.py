"""Reading a graph's JSON strictly: exact fields, exact types, canonical bytes, limits."""

from typing import Any

from mpc_infer.encoding import parse_json
from mpc_infer.errors import CorruptModel, InvalidInput, InvalidRequest
from mpc_infer.graph import ir
from mpc_infer.graph.shapes import MAX_RANK

MAX_GRAPH_BYTES = 4 * 2**20


def parse_canonical(data: bytes, max_bytes: int, what: str) -> dict[str, Any]:
    """Parse a JSON object of limited size.

    Raises:
        CorruptModel: too large, not JSON, or not an object.
    """
    if len(data) > max_bytes:
        raise CorruptModel(f"the {what} has {len(data)} bytes, {max_bytes} are allowed")
    try:
        value = parse_json(data, max_bytes=max_bytes)
    except InvalidRequest as error:
        raise CorruptModel(f"the {what} cannot be read: {error.message}") from error
    if not isinstance(value, dict):
        raise CorruptModel(f"the {what} is not a JSON object")
    return value


def check_fields(value: object, names: set[str], what: str) -> dict[str, Any]:
    """Refuse a JSON object with missing or unknown fields.

    Raises:
        CorruptModel: not an object, or other fields.
    """
    if not isinstance(value, dict) or set(value) != names:
        raise CorruptModel(f"{what} must have exactly the fields {sorted(names)}")
    return value


def read_specs(value: object, what: str) -> tuple["ir.TensorSpec", ...]:
    """Read a JSON list of tensor names and shapes.

    Raises:
        CorruptModel: it is not one.
    """
    return tuple(_read_spec(item, what) for item in _list(value, ir.MAX_TENSORS, what))


def read_graph(data: bytes) -> "ir.Graph":
    """Read and check a graph from its canonical bytes.

    Raises:
        UnsupportedOperator, CorruptModel: as :meth:`mpc_infer.graph.ir.Graph.from_bytes`.
    """
    fields = parse_canonical(data, MAX_GRAPH_BYTES, "graph")
    check_fields(fields, {"schema", "inputs", "outputs", "weights", "nodes"}, "a graph")
    if fields["schema"] != ir.SCHEMA:
        raise CorruptModel(f"the graph's schema is not {ir.SCHEMA}")
    graph = ir.Graph(
        inputs=read_specs(fields["inputs"], "an input"),
        outputs=read_specs(fields["outputs"], "an output"),
        weights=tuple(_read_weight(item) for item in _list(fields["weights"], ir.MAX_TENSORS, "weights")),
        nodes=tuple(_read_node(item) for item in _list(fields["nodes"], ir.MAX_NODES, "nodes")),
    )
    graph.check()
    _check_canonical(graph, data)
    return graph


def _check_canonical(graph: "ir.Graph", data: bytes) -> None:
    try:
        canonical = graph.to_bytes()
    except InvalidInput as error:
        raise CorruptModel("the graph has no canonical form") from error
    if canonical != data:
        raise CorruptModel("the graph's bytes are not canonical (RFC 8785)")


def _list(value: object, limit: int, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > limit:
        raise CorruptModel(f"{what} must be a list of at most {limit}")
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not ir.is_name(value):
        raise CorruptModel(f"{what} must be a string of 1 to {ir.MAX_NAME_BYTES} bytes")
    return value


def _integer(value: object, what: str) -> int:
    if type(value) is not int or abs(value) >= 2**53:
        raise CorruptModel(f"{what} must be an integer below 2^53")
    return value


def _read_spec(value: object, what: str) -> "ir.TensorSpec":
    fields = check_fields(value, {"name", "shape"}, what)
    sizes = _list(fields["shape"], MAX_RANK, f"{what}'s shape")
    shape = tuple(None if size is None else _integer(size, f"{what}'s size") for size in sizes)
    return ir.TensorSpec(_text(fields["name"], f"{what}'s name"), shape)


def _read_weight(value: object) -> "ir.TensorSpec":
    if not isinstance(value, dict) or "public" not in value:
        return _read_spec(value, "a weight")
    if value["public"] is not True:
        raise CorruptModel("a weight's mark `public` is true, or left out")
    spec = _read_spec({key: item for key, item in value.items() if key != "public"}, "a weight")
    return ir.TensorSpec(spec.name, spec.shape, public=True)


def _read_node(value: object) -> "ir.Node":
    fields = check_fields(value, {"name", "op", "inputs", "outputs", "attributes"}, "a node")
    if not isinstance(fields["attributes"], dict) or len(fields["attributes"]) > 16:
        raise CorruptModel("a node's attributes must be an object of at most 16")
    return ir.Node(
        name=_text(fields["name"], "a node's name"),
        op=_text(fields["op"], "a node's operator"),
        inputs=_names(fields["inputs"]),
        outputs=_names(fields["outputs"]),
        attributes={key: _read_attribute(item) for key, item in fields["attributes"].items()},
    )


def _names(value: object) -> tuple[str, ...]:
    return tuple(_text(item, "a tensor's name") for item in _list(value, 16, "a node's tensors"))


def _read_attribute(value: object) -> int | tuple[int, ...]:
    if isinstance(value, list):
        return tuple(_integer(item, "an attribute") for item in _list(value, MAX_RANK, "an attribute"))
    return _integer(value, "an attribute")
