"""Ceilings for activations: what makes a deep network's range provable.

Intervals grow from layer to layer, far beyond what any row reaches: those of twenty convolutions leave every fixed
point. A Relu that ends at a ceiling above what calibration rows reach gives the same results for rows like these, and
lets the interval begin anew. For a row that goes further the activation stays at its ceiling: a result of the network
with ceilings, which is the model that is published, and never a wrapped number.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mpc_infer.engine.real import OPERATORS
from mpc_infer.errors import InvalidInput
from mpc_infer.graph.ceilings import ended
from mpc_infer.graph.input_ranges import CalibrationRows, Declared, in_units, resolved
from mpc_infer.graph.ir import Graph, Node, Op
from mpc_infer.graph.onnx_import import ImportedModel
from mpc_infer.graph.ranges import given, made
from mpc_infer.sharing.fixed import FRAC_BITS, LIMIT

TIMES = 4.0
"""A ceiling lies so many times above what the rows reach, at least."""
HIGH = 2.0**10
"""A Relu whose interval ends below needs no ceiling. One comparison more is what a ceiling costs."""


def with_ceilings(
    imported: ImportedModel, rows: Mapping[str, ArrayLike], declared: Declared | None = None, *, times: float = TIMES
) -> ImportedModel:
    """The model with ceilings where the intervals of its Relus would grow too far.

    Args:
        imported: what was read from a file.
        rows: calibration rows of every input, by name.
        declared: ranges of the inputs; by default what the rows span and as much again to either side.
        times: how far above what the rows reach a ceiling lies, at least; it is a power of two.

    Raises:
        InvalidInput: the rows do not fit the inputs, or `times` is below 1.
        ModelRefused: a value may leave the range in spite of ceilings; the message names the node.
    """
    if not 1 <= times < LIMIT:
        raise InvalidInput(f"a ceiling lies 1 to {LIMIT} times above what rows reach, not {times}")
    graph, weights = imported.graph, imported.weights
    ranges, _ = resolved(graph, declared if declared is not None else CalibrationRows(rows, 100))
    units = in_units(graph, ranges, FRAC_BITS)
    reached = _reached(graph, weights, rows)
    found, nodes = given(graph, weights, units, FRAC_BITS), []
    for node in graph.nodes:
        chosen, interval = node, made(node, found, FRAC_BITS)
        if node.op == Op.RELU and interval.high.max() > HIGH * 2.0**FRAC_BITS:
            chosen = _ended_above(node, times * reached[node.outputs[0]])
            interval = made(chosen, found, FRAC_BITS)
        nodes.append(chosen)
        found[node.outputs[0]] = interval
    changed = replace(graph, nodes=tuple(nodes))
    changed.check()
    return ImportedModel(changed, weights)


def _ended_above(node: Node, least: float) -> Node:
    ceiling = 2.0 ** math.ceil(math.log2(max(least, 1.0)))
    return ended(node, min(ceiling, LIMIT / 2))  # nothing that is encoded reaches 2^15


def _reached(
    graph: Graph, weights: Mapping[str, NDArray[np.float64]], rows: Mapping[str, ArrayLike]
) -> dict[str, float]:
    """The largest value of every computed tensor."""
    inputs = {name: np.asarray(values, dtype=np.float64) for name, values in rows.items()}
    values, largest = {**weights, **inputs}, dict[str, float]()
    for node in graph.nodes:
        result = OPERATORS[str(node.op)](node, [values[name] for name in node.inputs])
        values[node.outputs[0]], largest[node.outputs[0]] = result, float(result.max(initial=0.0))
    return largest
