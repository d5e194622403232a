"""What is read of an ONNX file, in plain Python: no ONNX type leaves the module that imports onnx."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import CorruptModel

AttributeValue = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | NDArray[np.generic] | None
"""None: of a kind that no operator here knows."""


@dataclass(frozen=True, slots=True)
class RawNode:
    """An ONNX node. ``name`` is made up from its operator and position where the file gives none."""

    name: str
    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue] = field(repr=False)


@dataclass(frozen=True, slots=True)
class RawModel:
    """An ONNX model, dead nodes left out, as it computes one row.

    ``inputs`` have 1 on axis 0. ``opset`` is the version of ai.onnx.
    """

    inputs: Mapping[str, tuple[int, ...]]
    outputs: tuple[str, ...]
    constants: Mapping[str, NDArray[np.generic]] = field(repr=False)
    nodes: tuple[RawNode, ...]
    opset: int


def integer(node: RawNode, key: str, default: int) -> int:
    """An attribute.

    Raises:
        CorruptModel: it is of another kind.
    """
    value = node.attributes.get(key, default)
    if not isinstance(value, int):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} is not an integer")
    return value


def number(node: RawNode, key: str, default: float) -> float:
    """An attribute.

    Raises:
        CorruptModel: it is of another kind.
    """
    value = node.attributes.get(key, default)
    if not isinstance(value, int | float):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} is not a number")
    return float(value)


def text(node: RawNode, key: str, default: str) -> str:
    """An attribute.

    Raises:
        CorruptModel: it is of another kind.
    """
    value = node.attributes.get(key, default)
    if not isinstance(value, str):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} is not a text")
    return value


def integers(node: RawNode, key: str) -> tuple[int, ...] | None:
    """An attribute, or None where the node does not have it.

    Raises:
        CorruptModel: it is of another kind.
    """
    value = node.attributes.get(key)
    if value is None and key not in node.attributes:
        return None
    if not isinstance(value, tuple) or not all(isinstance(item, int) for item in value):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} is not a list of integers")
    return tuple(int(item) for item in value)


def floats(node: RawNode, key: str) -> NDArray[np.float64]:
    """An attribute, empty where the node does not have it.

    Raises:
        CorruptModel: it is of another kind.
    """
    value = node.attributes.get(key, ())
    if not isinstance(value, tuple) or any(isinstance(item, str) for item in value):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} is not a list of numbers")
    return np.asarray(value, dtype=np.float64)


def numbers(node: RawNode, key: str) -> NDArray[np.float64]:
    """An attribute, or the tensor ``key_as_tensor`` in its place; empty where the node has neither.

    Raises:
        CorruptModel: it is of another kind.
    """
    for name in (key, f"{key}_as_tensor"):
        value = node.attributes.get(name)
        if isinstance(value, np.ndarray) and value.ndim == 1:
            return value.astype(np.float64)
        if name in node.attributes and not isinstance(value, tuple):
            raise CorruptModel(f"attribute {name!r} of node {node.name!r} is not a list of numbers")
        if value:
            return floats(node, name)
    return np.zeros(0)


def texts(node: RawNode, key: str) -> tuple[str, ...]:
    """An attribute, empty where the node does not have it.

    Raises:
        CorruptModel: it is of another kind.
    """
    value = node.attributes.get(key, ())
    if not isinstance(value, tuple) or not all(isinstance(item, str) for item in value):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} is not a list of texts")
    return tuple(str(item) for item in value)
