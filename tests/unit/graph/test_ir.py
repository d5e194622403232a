"""The graph itself: canonical bytes, strict reading, shape rules."""

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer.errors import CorruptModel, ModelRefused, UnsupportedOperator, WrongShape
from mpc_infer.graph import Graph, Node, TensorSpec, infer_shapes
from mpc_infer.graph.wire import MAX_GRAPH_BYTES

GRAPH = Graph(
    inputs=(TensorSpec("x", (None, 8)),),
    outputs=(TensorSpec("y", (None, 2, 2)),),
    weights=(TensorSpec("w", (8, 4)), TensorSpec("b", (4,))),
    nodes=(
        Node("dense", "Linear", ("x", "w", "b"), ("h",)),
        Node("relu", "Relu", ("h",), ("r",)),
        Node("fold", "Reshape", ("r",), ("y",), {"shape": (-1, 2, 2)}),
    ),
)


def encode(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def fields() -> dict[str, Any]:
    return json.loads(GRAPH.to_bytes())


def test_bytes_are_canonical_and_read_back() -> None:
    data = GRAPH.to_bytes()
    assert Graph.from_bytes(data) == GRAPH
    assert Graph.from_bytes(data).digest == GRAPH.digest
    assert data == encode(json.loads(data))


def test_the_digest_is_a_vector() -> None:
    assert GRAPH.digest.hex() == "c0c7c63bd0acd71c25e32cddf8f0a4afd77d1fe9b60bf584547c9b9d836776f4"


def test_every_part_is_in_the_digest() -> None:
    others = [
        replace(GRAPH, inputs=(TensorSpec("x2", (None, 8)),)),
        replace(GRAPH, outputs=()),
        replace(GRAPH, weights=GRAPH.weights[::-1]),
        replace(GRAPH, nodes=(replace(GRAPH.nodes[0], op="MatMul"), *GRAPH.nodes[1:])),
        replace(GRAPH, nodes=(*GRAPH.nodes[:2], replace(GRAPH.nodes[2], attributes={"shape": (-1, 4)}))),
    ]
    assert len({GRAPH.digest, *(other.digest for other in others)}) == len(others) + 1


def test_shapes_for_a_batch() -> None:
    assert infer_shapes(GRAPH, 3) == {"x": (3, 8), "w": (8, 4), "b": (4,), "h": (3, 4), "r": (3, 4), "y": (3, 2, 2)}


@pytest.mark.parametrize("batch", [0, -1, 2**20 + 1])
def test_a_batch_out_of_range(batch: int) -> None:
    with pytest.raises(WrongShape):
        infer_shapes(GRAPH, batch)


def test_bytes_that_are_not_canonical() -> None:
    for data in (b" " + GRAPH.to_bytes(), GRAPH.to_bytes().replace(b",", b", ", 1), GRAPH.to_bytes() + b"\n"):
        with pytest.raises(CorruptModel, match="canonical"):
            Graph.from_bytes(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"schema":' + b"9" * 5000 + b"}",
        b" " * (MAX_GRAPH_BYTES + 1),
    ],
    ids=lambda data: str(data[:8]),
)
def test_bytes_that_are_no_graph(data: bytes) -> None:
    with pytest.raises(CorruptModel):
        Graph.from_bytes(data)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("schema",), "mpc-infer/graph/v2"),
        (("extra",), 1),
        (("inputs",), []),
        (("outputs",), []),
        (("nodes",), []),
        (("inputs",), {}),
        (("inputs", 0), "x"),
        (("inputs", 0, "name"), ""),
        (("inputs", 0, "name"), 7),
        (("inputs", 0, "name"), "a" * 257),
        (("inputs", 0, "name"), "\ud800"),
        (("inputs", 0, "shape"), [8]),
        (("inputs", 0, "shape"), [None, None]),
        (("inputs", 0, "shape"), [None, 0]),
        (("inputs", 0, "shape"), [None, -8]),
        (("inputs", 0, "shape"), [None, 8.0]),
        (("inputs", 0, "shape"), [None, True]),
        (("inputs", 0, "shape"), [None, 2**60]),
        (("inputs", 0, "shape"), [None, *[1] * 8]),
        (("inputs", 0, "extra"), 1),
        (("weights", 0, "shape"), [None, 4]),
        (("weights", 0, "shape"), [2**15, 2**15]),
        (("weights", 0, "name"), "x"),
        (("weights", 1, "name"), "w"),
        (("weights", 1, "shape"), [5]),
        (("outputs", 0, "shape"), [None, 4]),
        (("outputs", 0, "name"), "x"),
        (("nodes", 0, "inputs"), ["x"]),
        (("nodes", 0, "inputs"), ["x", "w", "ghost"]),
        (("nodes", 0, "inputs"), ["r", "w", "b"]),
        (("nodes", 0, "outputs"), []),
        (("nodes", 0, "outputs"), ["h", "i"]),
        (("nodes", 0, "outputs"), ["x"]),
        (("nodes", 0, "attributes"), {"alpha": 1}),
        (("nodes", 0, "attributes"), []),
        (("nodes", 0, "name"), "relu"),
        (("nodes", 1, "inputs"), ["w"]),
        (("nodes", 1, "inputs"), ["x"]),
        (("nodes", 2, "attributes"), {}),
        (("nodes", 2, "attributes"), {"shape": [2, 2]}),
        (("nodes", 2, "attributes"), {"shape": [-1, 5]}),
        (("nodes", 2, "attributes"), {"shape": [-1, -2, -2]}),
        (("nodes", 2, "attributes"), {"shape": 4}),
        (("nodes", 2, "attributes"), {"shape": "4"}),
    ],
)
def test_one_wrong_field(path: tuple[str | int, ...], value: Any) -> None:
    changed: Any = fields()
    target = changed
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    with pytest.raises(CorruptModel):
        Graph.from_bytes(encode(changed))


def test_an_unknown_operator_is_named() -> None:
    changed = fields()
    changed["nodes"][1]["op"] = "Atan"
    with pytest.raises(UnsupportedOperator, match="'relu' is a 'Atan'"):
        Graph.from_bytes(encode(changed))


def test_missing_fields() -> None:
    for key in fields():
        changed = fields()
        del changed[key]
        with pytest.raises(CorruptModel):
            Graph.from_bytes(encode(changed))


def test_a_cycle() -> None:
    nodes = (Node("a", "Add", ("x", "q"), ("p",)), Node("b", "Relu", ("p",), ("q",)))
    with pytest.raises(CorruptModel, match="nothing before it defines"):
        replace(GRAPH, nodes=nodes, outputs=(TensorSpec("q", (None, 8)),), weights=()).check()


@given(st.binary(max_size=300))
def test_any_bytes_give_our_error(data: bytes) -> None:
    with pytest.raises(ModelRefused):
        Graph.from_bytes(data)


@given(st.integers(0, 10**6), st.integers(0, 255))
def test_any_changed_byte_is_refused_or_another_graph(place: int, value: int) -> None:
    data = bytearray(GRAPH.to_bytes())
    data[place % len(data)] = value
    if bytes(data) == GRAPH.to_bytes():
        return
    with suppress(ModelRefused):
        assert Graph.from_bytes(bytes(data)).digest != GRAPH.digest
