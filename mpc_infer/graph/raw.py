"""What is read of an ONNX file, in plain Python: no ONNX type leaves the module that imports onnx."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.shapes import Shape

AttributeValue = int | float | str | tuple[int, ...] | tuple[float, ...] | NDArray[np.generic] | None
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
    """An ONNX model, dead nodes left out.

    ``inputs`` have None on axis 0. ``one_row`` tells that the file fixes the batch to 1, so that a leading 1 in a
    Reshape means the batch.
    """

    inputs: Mapping[str, Shape]
    outputs: tuple[str, ...]
    constants: Mapping[str, NDArray[np.generic]] = field(repr=False)
    nodes: tuple[RawNode, ...]
    one_row: bool
