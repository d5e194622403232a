"""Which values a graph can take, whatever the rows are: an interval for every element, from inputs to outputs.

Fixed point is right only while values stay in range; limits are in units of 2^-f. No party can see that a value leaves
the range; the result would be wrong without a sign. So the model's owner, who alone has the weights, refuses the model
before they are split. See :mod:`mpc_infer.graph.interval` for what is known of a tensor.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mpc_infer.errors import ModelRefused
from mpc_infer.graph.input_ranges import UnitRange, below
from mpc_infer.graph.interval import VALUE_BITS, Interval, Reals, Spectra, between, check, exactly
from mpc_infer.graph.ir import Graph, Node, TensorSpec
from mpc_infer.graph.range_functions import FUNCTIONS
from mpc_infer.graph.range_linear import LINEAR
from mpc_infer.graph.range_trees import tree_ensemble
from mpc_infer.graph.range_views import VIEWS

__all__ = ["VALUE_BITS", "Interval", "check_ranges", "widest_input_limit"]

Rule = Callable[[Node, Sequence[Interval], int], Interval]


def check_ranges(
    graph: Graph,
    weights: Mapping[str, Reals],
    inputs: int | Mapping[str, UnitRange],
    frac_bits: int,
    spectra: Spectra | None = None,
    found: dict[str, Interval] | None = None,
) -> dict[str, Interval]:
    """Check that no value leaves the range for inputs inside theirs.

    Args:
        graph: a checked one.
        weights: float64 by name, in the graph's shapes.
        inputs: a range for each; or a limit: every input lies strictly between -limit and limit.
        frac_bits: fractional bits of the fixed-point encoding.
        spectra: largest stretches of weights that are known already.
        found: filled with what is found, also where a node is then refused.

    Returns:
        Intervals of all tensors by name, in units of 2^-frac_bits.

    Raises:
        ModelRefused: a value may leave the range; the message names the node.
    """
    found = {} if found is None else found
    found.update(given(graph, weights, inputs, frac_bits, spectra))
    for node in graph.nodes:
        found[node.outputs[0]] = made(node, found, frac_bits)
    return found


def given(
    graph: Graph,
    weights: Mapping[str, Reals],
    inputs: int | Mapping[str, UnitRange],
    frac_bits: int,
    spectra: Spectra | None = None,
) -> dict[str, Interval]:
    """Intervals of weights and inputs, as `check_ranges` begins with them."""
    scale, known = float(2**frac_bits), spectra if spectra is not None else Spectra()
    found = {name: exactly(np.rint(values * scale), known.of(name)) for name, values in weights.items()}
    for spec in graph.inputs:
        found[spec.name] = _of_input(spec, below(inputs, frac_bits) if isinstance(inputs, int) else inputs[spec.name])
    return found


def made(node: Node, found: Mapping[str, Interval], frac_bits: int) -> Interval:
    """The interval of what a node makes of others.

    Raises:
        ModelRefused: a value may leave the range; the message names the node.
    """
    result = RULES[str(node.op)](node, [found[name] for name in node.inputs], frac_bits)
    check(node, result.magnitude, VALUE_BITS)
    return result


def _of_input(spec: TensorSpec, given: UnitRange) -> Interval:
    shape = spec.with_batch(1)
    low, high = (np.broadcast_to(end.astype(np.float64), shape) for end in given.bounds(shape[1:]))
    return between(low, high)


def widest_input_limit(
    graph: Graph, weights: Mapping[str, Reals], highest: int, frac_bits: int, spectra: Spectra | None = None
) -> int:
    """The largest power of two, at most `highest`, for which `check_ranges` passes. Takes up to six of these.

    Raises:
        ModelRefused: not even 1; the message names the node.
    """
    spectra = spectra if spectra is not None else Spectra()
    check_ranges(graph, weights, 1, frac_bits, spectra)
    # What passes with wider inputs passes with narrower ones: 2^passing does, 2^failing does not.
    passing, failing = 0, highest.bit_length()
    while failing - passing > 1:
        middle = (passing + failing) // 2
        try:
            check_ranges(graph, weights, 1 << middle, frac_bits, spectra)
        except ModelRefused:
            failing = middle
        else:
            passing = middle
    return 1 << passing


RULES: Mapping[str, Rule] = {**LINEAR, **FUNCTIONS, **VIEWS, "TreeEnsemble": tree_ensemble}
"""Operator: the interval of its result."""
