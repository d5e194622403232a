"""Intervals and errors of tree ensembles."""

from collections.abc import Sequence

import numpy as np

from mpc_infer.graph.error_step import Step, around_zero
from mpc_infer.graph.forest import SMALL_BITS
from mpc_infer.graph.interval import COMPARE_BITS, PRODUCT_BITS, TRUNCATION, Interval, Reals, between, check
from mpc_infer.graph.ir import Node
from mpc_infer.graph.windows import numbers


def tree_ensemble(node: Node, operands: Sequence[Interval], frac_bits: int) -> Interval:
    """One leaf of every tree; every decision must be in reach of a comparison."""
    data, features, thresholds, paths, misses, leaves = operands
    read = np.abs(features.centre) / 2.0 ** (frac_bits - SMALL_BITS)
    check(node, data.magnitude @ read + thresholds.magnitude, COMPARE_BITS, "what it compares")
    low, high = (ends.sum(axis=0, keepdims=True) for ends in _ends(paths.centre, misses.centre, leaves.centre))
    check(node, np.maximum(np.abs(low), np.abs(high)), PRODUCT_BITS, "a sum of leaves")
    extra = numbers(node, "extra")[0]
    return between(np.floor(low / 2.0**extra) - (extra > 0), np.ceil(high / 2.0**extra) + (extra > 0))


def _ends(paths: Reals, misses: Reals, leaves: Reals) -> tuple[Reals, Reals]:
    """The smallest and the largest leaf of each tree, by results: (trees, results)."""
    trees, room = misses.shape
    by_tree = leaves.reshape(trees, room, -1)
    real = ((misses == 0) | (paths != 0).any(axis=2))[:, :, None]
    return np.where(real, by_tree, np.inf).min(axis=1), np.where(real, by_tree, -np.inf).max(axis=1)


def tree_ensemble_error(step: Step) -> Interval:
    """An input so near to a threshold that its encoding crosses it takes another leaf, in every tree at worst."""
    paths, misses, leaves = (value.centre for value in step.values[3:])
    low, high = _ends(paths, misses, leaves)
    off = step.errors[5].radius.reshape(*misses.shape, -1).max(axis=1)
    extra = numbers(step.node, "extra")[0]
    radius = (high - low + off).sum(axis=0, keepdims=True) / 2.0**extra
    return around_zero(radius + TRUNCATION * (extra > 0))
