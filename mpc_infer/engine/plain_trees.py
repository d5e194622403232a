"""The oracle's tree ensembles."""

from collections.abc import Sequence

import numpy as np

from mpc_infer.engine.plain_range import Signed, check_range
from mpc_infer.graph.forest import SMALL_BITS
from mpc_infer.graph.ir import Node
from mpc_infer.graph.windows import numbers


def tree_ensemble(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    """Exact: decisions of whole numbers, and a sum of leaves; its extra bits are truncated.

    Raises:
        OutOfRange: a sum of leaves may reach 2^62.
    """
    x, features, thresholds, paths, misses, leaves = operands
    small = frac_bits - SMALL_BITS
    bits = (x @ (features >> small) + thresholds >= 0).astype(np.float64)
    trees, _, decisions = paths.shape
    # Of whole numbers below 2^53: exact.
    by_tree = bits.reshape(len(x), trees, decisions).transpose(1, 2, 0)
    wrong = paths.astype(np.float64) @ by_tree + misses[:, :, None]
    reached = (wrong == 0).transpose(2, 0, 1).reshape(len(x), -1)
    check_range(f"node {node.name!r} ({node.op})", trees * float(np.abs(leaves.astype(np.float64)).max(initial=0.0)))
    return np.asarray((reached.astype(np.int64) @ leaves) >> numbers(node, "extra")[0])
