"""How far results in fixed point may be from the real function of the real input, whatever the rows are.

For every element of every tensor a bound on |what an engine computes - what the graph means|, in units of 2^-f: the
encodings of inputs (half a unit) and weights (known exactly), one unit for each truncation, what docs/engine.md says
that functions are off, and what each operator makes of its operands' errors. As in :mod:`mpc_infer.graph.interval`
vectors have a largest length too, which grows less than the elements do. A bound is an :class:`Interval` around 0.

Every bound holds for the worst row, with all errors against us; on real rows results are far better
(`mpc-infer model check --data` measures them).
"""

from collections.abc import Mapping

import numpy as np

from mpc_infer.errors import InternalError
from mpc_infer.graph.error_functions import FUNCTIONS
from mpc_infer.graph.error_linear import LINEAR
from mpc_infer.graph.error_step import Rule, Step, around_zero, moved
from mpc_infer.graph.interval import Interval, Reals
from mpc_infer.graph.ir import Graph
from mpc_infer.graph.range_trees import tree_ensemble_error
from mpc_infer.graph.range_views import VIEWS


def error_bounds(
    graph: Graph, weights: Mapping[str, Reals], ranges: Mapping[str, Interval], frac_bits: int
) -> dict[str, Interval]:
    """Bounds of all tensors by name, in units of 2^-frac_bits.

    Args:
        graph: a checked one.
        weights: float64 by name.
        ranges: what :func:`mpc_infer.graph.ranges.check_ranges` found.

    Raises:
        InternalError: an operator has no rule here.
    """
    scale = 2.0**frac_bits
    found = {name: around_zero(np.abs(np.rint(value * scale) - value * scale)) for name, value in weights.items()}
    for spec in graph.inputs:
        found[spec.name] = around_zero(np.full(spec.with_batch(1), 0.5))
    for node in graph.nodes:
        rule = RULES.get(str(node.op))
        if rule is None:
            raise InternalError(f"no bound on the error of {node.op!r} is known: add a rule beside its interval's")
        values, errors = ([known[name] for name in node.inputs] for known in (ranges, found))
        with np.errstate(over="ignore", invalid="ignore"):
            found[node.outputs[0]] = _never_nan(rule(Step(node, values, errors, ranges[node.outputs[0]], frac_bits)))
    return found


def _never_nan(error: Interval) -> Interval:
    """Infinity times zero is no number, and no bound."""
    if not np.isnan(error.radius).any():
        return error
    return around_zero(np.where(np.isnan(error.radius), np.inf, error.radius))


def largest(error: Interval, value: Interval) -> int | None:
    """The bound of a whole tensor in whole units; None where it says nothing: no less than the values themselves."""
    units = float(np.ceil(error.radius.max(initial=0.0)))
    return int(units) if units < value.magnitude.max(initial=0.0) else None


RULES: Mapping[str, Rule] = {
    **LINEAR,
    **FUNCTIONS,
    **{op: moved(rule) for op, rule in VIEWS.items()},
    "TreeEnsemble": tree_ensemble_error,
}
"""Operator: the bound of its result. Every operator has one."""
