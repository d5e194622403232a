"""Random forests for tests, and their graphs."""

from typing import Any

import numpy as np

from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.trees import MODES, Decision, Forest, matrices

NAMES = ("features", "thresholds", "paths", "misses", "leaves")


def random_forest(
    trees: int, depth: int, features: int, *, results: int = 1, full: bool = False, seed: int = 0
) -> Forest:
    """Trees of all kinds of decisions; where they are not full, branches end early."""
    random = np.random.default_rng(seed)
    decisions: list[Decision | None] = []
    leaves: list[np.ndarray] = []

    def grow(level: int) -> int:
        if level == depth or (not full and level and random.random() < 0.3):
            leaves.append(random.normal(0, 10, results))
            return ~(len(leaves) - 1)
        place = len(decisions)
        decisions.append(None)
        threshold, mode = random.normal(0, 1), random.choice(list(MODES))
        branches = grow(level + 1), grow(level + 1)
        decisions[place] = Decision(int(random.integers(features)), float(threshold), str(mode), *branches)
        return place

    roots = [grow(0) for _ in range(trees)]
    return Forest([each for each in decisions if each is not None], roots, np.array(leaves))


def follow(forest: Forest, rows: np.ndarray) -> np.ndarray:
    """What the trees say, decision by decision."""
    compare = {
        "BRANCH_LEQ": np.less_equal,
        "BRANCH_LT": np.less,
        "BRANCH_GTE": np.greater_equal,
        "BRANCH_GT": np.greater,
    }
    result = np.zeros((len(rows), forest.leaves.shape[1]))
    for number, row in enumerate(rows):
        for root in forest.roots:
            branch = root
            while branch >= 0:
                decision = forest.decisions[branch]
                holds = compare[decision.mode](row[decision.feature], decision.threshold)
                branch = decision.when_true if holds else decision.when_false
            result[number] += forest.leaves[~branch]
    return result


def graph_of_forest(forest: Forest, features: int) -> tuple[Graph, dict[str, Any]]:
    """One node, and its weights."""
    made = matrices(forest, features, "trees")
    weights = {name: getattr(made, name) for name in NAMES}
    node = Node("trees", "TreeEnsemble", ("x", *NAMES), ("y",), {"depth": made.depth, "extra": made.extra})
    graph = Graph(
        (TensorSpec("x", (None, features)),),
        (TensorSpec("y", (None, made.leaves.shape[1])),),
        tuple(TensorSpec(name, value.shape) for name, value in weights.items()),
        (node,),
    )
    return graph, weights
