"""Reading ai.onnx.ml's tree ensembles: their nodes stand in lists, in two ways."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import CorruptModel
from mpc_infer.graph.forest import MAX_WEIGHTS
from mpc_infer.graph.raw import RawNode, integers, numbers, texts
from mpc_infer.graph.shapes import ShapeError
from mpc_infer.graph.trees import FEWER, MODES, Decision, Forest

Reals = NDArray[np.float64]
Key = tuple[int, int]
"""Number of a tree, and of a node in it."""
MAX_TREE_NODES = 1 << 20
MAX_RESULTS = 1 << 12
LEAF = "LEAF"
NUMBERED_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""As TreeEnsemble numbers them."""


@dataclass(frozen=True, repr=False)
class Votes:
    """Which leaf adds how much to which result."""

    leaves: Sequence[Key]
    results: Sequence[int]
    weights: Reals


def votes_of(node: RawNode, kind: str) -> Votes:
    """The lists that begin with ``class`` or ``target``.

    Raises:
        CorruptModel: they are of different lengths.
    """
    trees, nodes, results = (_list(node, f"{kind}_{key}") for key in ("treeids", "nodeids", "ids"))
    weights = numbers(node, f"{kind}_weights")
    _check_lengths(node, trees, nodes, results, weights)
    return Votes(list(zip(trees, nodes, strict=True)), results, weights)


def everywhere(node: RawNode, votes: Votes, result: int) -> bool:
    """Whether some tree says something of a result whichever leaf is reached."""
    said = {leaf for leaf, each in zip(votes.leaves, votes.results, strict=True) if each == result}
    silent = {
        key[0]
        for key, mode in zip(_keys(node), texts(node, "nodes_modes"), strict=True)
        if mode == LEAF and key not in said
    }
    return not silent >= {key[0] for key in said}


def forest_of_nodes(node: RawNode, votes: Votes, results: int) -> Forest:
    """Trees of the first generation: nodes by their tree and number, leaves among them.

    Raises:
        CorruptModel: the lists do not make trees.
        ShapeError: a decision is of a kind without a protocol, or there are too many nodes.
    """
    keys, modes = _keys(node), texts(node, "nodes_modes")
    _check_lengths(node, keys, modes)
    places = _places(node, keys, modes)
    values = _no_values(node, sum(mode == LEAF for mode in modes), results)
    for leaf, result, weight in zip(votes.leaves, votes.results, votes.weights, strict=True):
        place = places.get(leaf, 0)
        if place >= 0 or not 0 <= result < results:
            raise CorruptModel(f"node {node.name!r} gives result {result} to a leaf {leaf} that it does not have")
        values[~place, result] += weight
    made = _decisions(node, keys, modes, places)
    return Forest(made, _roots(node, made, places), values)


def _places(node: RawNode, keys: Sequence[Key], modes: Sequence[str]) -> dict[Key, int]:
    """Branches to all nodes."""
    places: dict[Key, int] = {}
    leaves = 0
    for key, mode in zip(keys, modes, strict=True):
        if key in places:
            raise CorruptModel(f"node {node.name!r} has two nodes {key}")
        places[key] = ~leaves if mode == LEAF else len(places) - leaves
        leaves += mode == LEAF
    return places


def _decisions(node: RawNode, keys: Sequence[Key], modes: Sequence[str], places: Mapping[Key, int]) -> list[Decision]:
    features, yes, no = (_list(node, f"nodes_{key}") for key in ("featureids", "truenodeids", "falsenodeids"))
    thresholds = numbers(node, "nodes_values")
    _check_lengths(node, keys, features, yes, no, thresholds)
    made = []
    for index, ((tree, _), mode) in enumerate(zip(keys, modes, strict=True)):
        if mode == LEAF:
            continue
        children = (tree, yes[index]), (tree, no[index])
        if not all(child in places for child in children):
            raise CorruptModel(f"node {node.name!r} has a branch to a node that it does not have")
        branches = (places[child] for child in children)
        made.append(Decision(features[index], float(thresholds[index]), _mode(mode), *branches))
    return made


def _roots(node: RawNode, made: Sequence[Decision], places: Mapping[Key, int]) -> list[int]:
    """Of every tree the node that no branch leads to."""
    children = {branch for decision in made for branch in (decision.when_true, decision.when_false)}
    roots = [(tree, place) for (tree, _), place in places.items() if place not in children]
    trees = {tree for tree, _ in places}
    if len(roots) != len(trees) or {tree for tree, _ in roots} != trees:
        raise CorruptModel(f"node {node.name!r} has a tree without a root, or with two")
    return [place for _, place in roots]


def forest_of_lists(node: RawNode, results: int) -> Forest:
    """Trees of the second generation: decisions and leaves in lists of their own.

    Raises:
        CorruptModel: the lists do not make trees.
        ShapeError: a decision is of a kind without a protocol, or there are too many nodes.
    """
    targets, weights = _list(node, "leaf_targetids"), numbers(node, "leaf_weights")
    _check_lengths(node, targets, weights)
    if any(not 0 <= target < results for target in targets):
        raise CorruptModel(f"node {node.name!r} has a leaf of a target that it does not have")
    values = _no_values(node, len(targets), results)
    values[np.arange(len(targets)), list(targets)] = weights
    return Forest(_listed(node), _list(node, "tree_roots"), values)


def _listed(node: RawNode) -> list[Decision]:
    features, splits, modes = (
        _list(node, "nodes_featureids"),
        numbers(node, "nodes_splits"),
        numbers(node, "nodes_modes"),
    )
    yes, no = _branches(node, "true"), _branches(node, "false")
    _check_lengths(node, features, splits, modes, yes, no)
    kinds = [_mode(named(node, "nodes_modes", NUMBERED_MODES, int(mode))) for mode in modes]
    return [Decision(*fields) for fields in zip(features, map(float, splits), kinds, yes, no, strict=True)]


def _branches(node: RawNode, side: str) -> list[int]:
    places, leaves = _list(node, f"nodes_{side}nodeids"), _list(node, f"nodes_{side}leafs")
    _check_lengths(node, places, leaves)
    if any(place < 0 for place in places):
        raise CorruptModel(f"node {node.name!r} has a branch to a node that it does not have")
    return [~place if leaf else place for place, leaf in zip(places, leaves, strict=True)]


def named(node: RawNode, key: str, names: Sequence[str], number: int) -> str:
    """What a number of an attribute stands for.

    Raises:
        CorruptModel: nothing.
    """
    if not 0 <= number < len(names):
        raise CorruptModel(f"attribute {key!r} of node {node.name!r} cannot be {number}")
    return names[number]


def _mode(mode: str) -> str:
    if mode not in MODES:
        raise ShapeError(f"its decisions of the kind {mode!r} have no protocol", f"{', '.join(MODES)} have one")
    return mode


def _keys(node: RawNode) -> list[Key]:
    trees, nodes = _list(node, "nodes_treeids"), _list(node, "nodes_nodeids")
    _check_lengths(node, trees, nodes)
    return list(zip(trees, nodes, strict=True))


def _list(node: RawNode, key: str) -> tuple[int, ...]:
    found = integers(node, key) or ()
    if len(found) > MAX_TREE_NODES:
        raise ShapeError(f"it has {len(found)} {key}, {MAX_TREE_NODES} are allowed", FEWER)
    return found


def _check_lengths(node: RawNode, *lists: Sequence[object] | Reals) -> None:
    if len({len(each) for each in lists}) > 1:
        raise CorruptModel(f"node {node.name!r} has lists of its nodes of different lengths")


def _no_values(node: RawNode, leaves: int, results: int) -> Reals:
    if not 1 <= results <= MAX_RESULTS:
        raise CorruptModel(f"node {node.name!r} has {results} results, 1 to {MAX_RESULTS} are allowed")
    if leaves * results > MAX_WEIGHTS:
        raise ShapeError(f"its leaves hold {leaves * results} values, {MAX_WEIGHTS} are allowed", FEWER)
    return np.zeros((leaves, results))
