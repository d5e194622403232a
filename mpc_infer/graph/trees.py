"""Decision trees as matrices: what :mod:`mpc_infer.graph.forest` computes with.

Every tree is padded to the largest number of leaves, so that only that number is public: a decision too many reads
nothing, a leaf too many is never reached.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import CorruptModel
from mpc_infer.graph.forest import MAX_DEPTH, MAX_PATHS, MAX_WEIGHTS, SMALL_BITS
from mpc_infer.graph.shapes import ShapeError

Reals = NDArray[np.float64]
GRID = 2.0**16
"""Inputs have at most 16 fractional bits."""
FARTHEST = 2.0**15
"""No input lies beyond."""
SMALL = 2.0**-SMALL_BITS
MAX_LEAVES = 1 << 12
"""Of one tree: their square must fit into the elements of paths."""
FEWER = "train with fewer or smaller trees (max_leaf_nodes, max_depth)"

MODES = {
    # sign of x in what is compared with zero, and the bit that the true branch takes.
    "BRANCH_LEQ": (-1, 1),
    "BRANCH_GT": (-1, 0),
    "BRANCH_GTE": (1, 1),
    "BRANCH_LT": (1, 0),
}


@dataclass(frozen=True, slots=True)
class Decision:
    """A node with two branches. A branch is the number of a decision, or ~ the number of a leaf."""

    feature: int
    threshold: float
    mode: str
    when_true: int
    when_false: int


@dataclass(frozen=True)
class Forest:
    """Trees that share lists.

    Attributes:
        decisions: of all trees.
        roots: a branch for each tree.
        leaves: (leaves, results) values.
    """

    decisions: Sequence[Decision]
    roots: Sequence[int]
    leaves: Reals = field(repr=False)


@dataclass(frozen=True, repr=False)
class Matrices:
    """The weights of a ``TreeEnsemble``, the depth of its deepest tree, and by how many bits leaves are shifted."""

    features: Reals
    thresholds: Reals
    paths: Reals
    misses: Reals
    leaves: Reals
    depth: int
    extra: int


@dataclass(frozen=True)
class _Tree:
    """Its decisions by their place, and for each leaf the decisions on the way to it: place and bit."""

    decisions: list[int]
    ways: list[tuple[int, tuple[tuple[int, int], ...]]]


def matrices(forest: Forest, features: int, node: str, base: Reals | None = None) -> Matrices:
    """Write trees as matrices.

    Args:
        features: how many a row has.
        node: name, for messages.
        base: (results,), added to whatever the trees say: it goes into the leaves of the first tree.

    Raises:
        ShapeError: the trees are too deep, too large or too many.
        CorruptModel: a branch leads nowhere, or to what was there before; a feature or threshold does not exist.
    """
    trees = _walked(forest, features, node)
    made = _empty(trees, features, forest.leaves.shape[1])
    _, room, places = made.paths.shape
    for number, tree in enumerate(trees):
        for place, index in enumerate(tree.decisions):
            _write_decision(made, number * places + place, forest.decisions[index], node)
        for place, (leaf, way) in enumerate(tree.ways):
            _write_leaf(made, number, place, way)
            made.leaves[number * room + place] = forest.leaves[leaf]
    if base is not None:
        made.leaves[: len(trees[0].ways)] += base
    extra = _extra_bits(len(trees), made.leaves)
    return replace(made, extra=extra, leaves=made.leaves * 2.0**extra)


def _walked(forest: Forest, features: int, node: str) -> list[_Tree]:
    """All trees, given up as soon as they are too large."""
    if not forest.roots or not forest.leaves.size:
        raise CorruptModel(f"node {node!r} has no trees, or no results")
    trees, room = [], 1
    for root in forest.roots:
        trees.append(_walk(forest, root, node))
        room = max(room, len(trees[-1].ways))
        _check_size(len(forest.roots), room, features, forest.leaves.shape[1])
    if sum(len(tree.decisions) for tree in trees) != len(forest.decisions):
        raise CorruptModel(f"node {node!r} has decisions that no tree reaches, or two trees")
    return trees


def _check_size(trees: int, room: int, features: int, results: int) -> None:
    for what, elements, most in (
        ("paths", trees * room * (room - 1), MAX_PATHS),
        ("features", features * trees * room, MAX_WEIGHTS),
        ("leaves", results * trees * room, MAX_WEIGHTS),
    ):
        if elements > most:
            raise ShapeError(
                f"{trees} trees with up to {room} leaves take {elements} elements of {what}, {most} are allowed", FEWER
            )


def _empty(trees: Sequence[_Tree], features: int, results: int) -> Matrices:
    room = max(len(tree.ways) for tree in trees)
    places = max(room - 1, 1)
    return Matrices(
        features=np.zeros((features, len(trees) * places)),
        thresholds=np.zeros(len(trees) * places),
        paths=np.zeros((len(trees), room, places)),
        misses=np.full((len(trees), room), SMALL),
        leaves=np.zeros((len(trees) * room, results)),
        depth=max(1, max(len(way) for tree in trees for _, way in tree.ways)),
        extra=0,
    )


def _extra_bits(trees: int, leaves: Reals) -> int:
    """Fractional bits more for the leaves, so that what their encodings are off adds up to an eighth of a unit.

    As many as still leave the largest one below the limit of weights.
    """
    largest = float(np.abs(leaves).max())
    if trees == 1 or not math.isfinite(largest):
        return 0
    room = math.floor(math.log2(FARTHEST / max(largest, 1.0)) - 2.0**-16)
    return max(0, min((trees - 1).bit_length() + 2, room))


def _walk(forest: Forest, root: int, node: str) -> _Tree:
    tree = _Tree([], [])
    seen: set[int] = set()
    pending: list[tuple[int, tuple[tuple[int, int], ...]]] = [(root, ())]
    while pending:
        branch, way = pending.pop()
        if branch < 0:
            if ~branch >= len(forest.leaves):
                raise CorruptModel(f"node {node!r} has a branch to a leaf that it does not have")
            tree.ways.append((~branch, way))
            if len(tree.ways) > MAX_LEAVES:
                raise ShapeError(f"a tree has more than {MAX_LEAVES} leaves", FEWER)
            continue
        if branch in seen or branch >= len(forest.decisions):
            raise CorruptModel(f"node {node!r} has branches that meet again, or lead nowhere: these are not trees")
        if len(way) == MAX_DEPTH:
            raise ShapeError(f"a tree is deeper than {MAX_DEPTH}", FEWER)
        seen.add(branch)
        place, decision = len(tree.decisions), forest.decisions[branch]
        tree.decisions.append(branch)
        bit = MODES[decision.mode][1]
        pending.append((decision.when_false, (*way, (place, 1 - bit))))
        pending.append((decision.when_true, (*way, (place, bit))))
    return tree


def _write_decision(made: Matrices, column: int, decision: Decision, node: str) -> None:
    if not 0 <= decision.feature < len(made.features) or math.isnan(decision.threshold):
        raise CorruptModel(
            f"node {node!r} compares feature {decision.feature} of {len(made.features)} with {decision.threshold}"
        )
    sign, _ = MODES[decision.mode]
    threshold = nearest(decision.threshold, sign)
    if abs(threshold) >= FARTHEST:
        # Always so, whatever the input is.
        made.thresholds[column] = math.copysign(1.0, -sign * threshold)
        return
    made.features[decision.feature, column] = sign * SMALL
    made.thresholds[column] = -sign * threshold


def nearest(threshold: float, sign: int) -> float:
    """A threshold on the grid of the inputs, so that a tie stays one.

    What lies in the middle goes where neighbours on the grid stay apart: x <= 1/2 is x <= 0, and x < 1/2 is x < 1.
    """
    if abs(threshold) >= FARTHEST:
        return math.copysign(FARTHEST, threshold)
    scaled = threshold * GRID
    return (math.ceil(scaled - 0.5) if sign < 0 else math.floor(scaled + 0.5)) / GRID


def _write_leaf(made: Matrices, tree: int, place: int, way: Sequence[tuple[int, int]]) -> None:
    made.misses[tree, place] = SMALL * sum(bit for _, bit in way)
    for decision, bit in way:
        made.paths[tree, place, decision] = -SMALL if bit else SMALL
