"""Shape rule of tree ensembles, and how their weights are written.

``TreeEnsemble(x, features, thresholds, paths, misses, leaves)`` of T trees, each with room for N decisions and L
leaves, on x of F features, with K results::

    bit[t, n] = [x . features[:, t N + n] + thresholds[t N + n] >= 0]
    wrong[t, l] = misses[t, l] + sum over n of paths[t, l, n] bit[t, n]       on the way to l
    result[k] = 2^-extra sum over t and l of leaves[t L + l, k] [wrong[t, l] = 0]

``features`` has at most one 1 or -1 in a column, ``paths`` consists of 0, 1 and -1, ``misses`` of whole numbers; the
weights hold them in multiples of 2^-8, which every engine's fractional bits can say exactly. No ``wrong`` exceeds the
attribute ``depth``. What is public is T, L, N, F, K, depth and extra, nothing of a tree's shape.
"""

from collections.abc import Mapping, Sequence

from mpc_infer.graph.functions import FunctionError

SMALL_BITS = 8
"""1 in features, paths and misses is 2^-8: the least of the fractional bits with which a graph can be compiled."""
MAX_DEPTH = 63
MAX_PATHS = 1 << 23
"""Most elements of paths: 64 MiB at each party."""
MAX_WEIGHTS = 1 << 24
"""Most elements of features, and of leaves."""


def tree_ensemble(
    inputs: Sequence[tuple[int | None, ...]], attributes: Mapping[str, int | tuple[int, ...]]
) -> tuple[int | None, ...]:
    """``TreeEnsemble``: see above."""
    data, features, _, paths, _, leaves = inputs
    depth, extra = attributes["depth"], attributes["extra"]
    if not (isinstance(depth, int) and isinstance(extra, int)) or not 1 <= depth <= MAX_DEPTH or not 0 <= extra < 16:
        raise FunctionError(f"depth is 1 to {MAX_DEPTH}, extra 0 to 15")
    if any(None in shape for shape in inputs[1:]) or len(paths) != 3 or len(leaves) != 2:
        raise FunctionError("paths have three axes, leaves two")
    trees, room, decisions = (size or 0 for size in paths)
    columns = trees * decisions
    expected = (
        (data[0], features[0]),
        (features[0], columns),
        (columns,),
        paths,
        (trees, room),
        (trees * room, leaves[1]),
    )
    if tuple(inputs) != expected:
        raise FunctionError(f"{list(inputs)} do not belong together")
    if (
        trees * room * decisions > MAX_PATHS
        or max((features[0] or 0) * columns, trees * room * (leaves[1] or 0)) > MAX_WEIGHTS
    ):
        raise FunctionError(
            f"its trees take more than {MAX_PATHS} elements of paths, or {MAX_WEIGHTS} of something else"
        )
    return (data[0], leaves[1])
