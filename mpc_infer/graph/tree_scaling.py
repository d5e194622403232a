"""Factors and terms before trees go into the thresholds: a x + b <= t is x <= (t - b) / a.

So a scaler costs no rounds, cannot leave the range of fixed point, and decisions stay exact.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.ir import Op
from mpc_infer.graph.lowering import Lowering, Value
from mpc_infer.graph.trees import Decision, Forest

Reals = NDArray[np.float64]
MIRRORED = {"BRANCH_LEQ": "BRANCH_GTE", "BRANCH_GTE": "BRANCH_LEQ", "BRANCH_LT": "BRANCH_GT", "BRANCH_GT": "BRANCH_LT"}
UPWARD = ("BRANCH_LEQ", "BRANCH_LT")
"""Decisions that hold below their threshold."""


def unscaled(low: Lowering, value: Value, forest: Forest) -> tuple[Value, Forest]:
    """What stands before products with and sums of weights, and trees that say the same of it.

    Args:
        value: (1, features).
    """
    width = value.shape[1]
    factor, term = np.ones(width), np.zeros(width)
    while (found := _step(low, value)) is not None:
        op, name, weight = found
        factor, term = (factor * weight, term) if op == Op.MUL else (factor, term + factor * weight)
        value = replace(value, name=name)
    if (factor == 1).all() and not term.any():
        return value, forest
    moved = [
        _moved(each, float(factor[each.feature]), float(term[each.feature])) if 0 <= each.feature < width else each
        for each in forest.decisions
    ]
    return value, replace(forest, decisions=moved)


def _step(low: Lowering, value: Value) -> tuple[str, str, Reals] | None:
    """The operator that makes a value of another one of its shape and a weight, and both of these."""
    node, width = low.maker(value), value.shape[1]
    if node is None or node.op not in (Op.MUL, Op.ADD):
        return None
    weights = [name for name in node.inputs if name in low.weights]
    others = [name for name in node.inputs if name not in low.weights]
    if len(weights) != 1 or len(others) != 1 or low.shape_of(others[0]) != (None, width):
        return None
    weight = low.weights[weights[0]]
    if weight.size not in (1, width):
        return None
    return node.op, others[0], np.broadcast_to(weight.reshape(-1), (width,))


def _moved(decision: Decision, factor: float, term: float) -> Decision:
    if factor == 0:
        # The feature is a constant: so is the decision.
        above = bool(_holds(decision, term)) == (decision.mode in UPWARD)
        return replace(decision, threshold=np.inf if above else -np.inf)
    mode = MIRRORED[decision.mode] if factor < 0 else decision.mode
    return replace(decision, mode=mode, threshold=(decision.threshold - term) / factor)


def _holds(decision: Decision, value: float) -> bool:
    threshold = decision.threshold
    return {
        "BRANCH_LEQ": value <= threshold,
        "BRANCH_LT": value < threshold,
        "BRANCH_GTE": value >= threshold,
        "BRANCH_GT": value > threshold,
    }[decision.mode]
