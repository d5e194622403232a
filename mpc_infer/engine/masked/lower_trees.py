"""Lowering of tree ensembles: all comparisons of all trees at once, and no more rounds for deeper trees.

1. Open x. Every decision's x or -x against its threshold: a product with a secret selection; open it.
2. Compare with zero, all decisions at once: bits as shares.
3. Open the bits modulo a little more than the depth. For each leaf the number of wrong decisions on the way to it: a
   product with secret paths; open it.
4. Where that is zero: one table for each leaf gives 1 or 0 as a share. Open it.
5. The leaves' values: a product with secret weights. A leaf is reached or not, so that only the leaves' extra bits have
   to be truncated, where somebody needs the result without them.

Everything up to the leaves consists of whole numbers (in multiples of 2^(f - 8)), so no comparison is off.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Tensor
from mpc_infer.engine.masked.lower_linear import numbers
from mpc_infer.engine.masked.lower_weights import added, factor, factor_of_share, times
from mpc_infer.graph.forest import SMALL_BITS
from mpc_infer.graph.ir import Node

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering


def tree_ensemble(lowering: "Lowering", node: Node) -> Tensor:
    """A sum of leaves, as a share, with as many fractional bits beyond f as the leaves have."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    trees, room, _ = lowering.shapes[node.inputs[3]]
    bits = decisions(lowering, node, factor(lowering, data, node.inputs[1]))
    found = _reached(lowering, node, bits)
    rows, results = lowering.shapes[node.outputs[0]]
    flat = builder.reshape(found, (trees * room, rows))
    leaves, by_row = node.inputs[5], builder.view("permute", (flat,), (rows, trees * room), (1, 0))
    places = factor_of_share(lowering, by_row, leaves)
    total = times(lowering, "linear", places, leaves, (rows, results), (trees * room, results))
    return Tensor((rows, results), shares={numbers(node, "extra")[0]: total})


def decisions(lowering: "Lowering", node: Node, data: int) -> int:
    """Bits of all decisions: (1, trees, decisions, rows) shares of whole numbers."""
    builder, small = lowering.builder, lowering.builder.frac_bits - SMALL_BITS
    columns = lowering.shapes[node.inputs[1]][1]
    trees, _, places = lowering.shapes[node.inputs[3]]
    rows = builder.shape(data)[0]
    product = times(lowering, "linear", data, node.inputs[1], (rows, columns))
    against = added(lowering, node.inputs[2], (columns,), small)
    # All bits are sent: the lowest are zero, so that what a comparison ignores cannot borrow.
    opened = builder.open(builder.total((product, against), (1, 1), (rows, columns)))
    bits = builder.bit(builder.compare(opened, small), 0)
    by_row = builder.reshape(bits, (1, rows, trees, places))
    return builder.view("permute", (by_row,), (1, trees, places, rows), (0, 2, 3, 1))


def _reached(lowering: "Lowering", node: Node, bits: int) -> int:
    """1 for the leaf that each tree reaches, else 0: (1, trees, leaves, rows) shares of whole numbers."""
    builder, small = lowering.builder, lowering.builder.frac_bits - SMALL_BITS
    trees, room, _ = lowering.shapes[node.inputs[3]]
    shape = (1, trees, room, builder.shape(bits)[-1])
    wrong = times(lowering, "apply", factor_of_share(lowering, bits, node.inputs[3]), node.inputs[3], shape)
    misses = added(lowering, node.inputs[4], (trees, room, 1))
    opened = builder.open(builder.total((wrong, misses), (1, 1), shape))
    return builder.add("match", (opened,), shape, (small, numbers(node, "depth")[0].bit_length()))


TREES: Mapping[str, Callable[["Lowering", Node], Tensor]] = {"TreeEnsemble": tree_ensemble}
"""Operator: how it is lowered."""
