"""Lowering of ai.onnx.ml's tree ensembles, both generations of them.

A missing value cannot be sent, so nothing asks which way one would go. Results are onnxruntime's.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_functions import applied
from mpc_infer.graph.lowering import Constant, Lowering, Value
from mpc_infer.graph.raw import RawNode, integer, integers, numbers, text, texts
from mpc_infer.graph.shapes import ShapeError
from mpc_infer.graph.tree_nodes import Votes, everywhere, forest_of_lists, forest_of_nodes, named, votes_of
from mpc_infer.graph.tree_scaling import unscaled
from mpc_infer.graph.trees import Forest, matrices

Reals = NDArray[np.float64]
Rule = Callable[[Lowering, RawNode], Value | None]
ML = "ai.onnx.ml."
CLASSIFIER = f"{ML}TreeEnsembleClassifier"
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
"""In the order of TreeEnsemble's numbers."""
VOTES = "give every leaf a weight for each result"
BEHIND = "export with NONE, and put Sigmoid or Softmax behind it, or leave that to the client"


def classifier(low: Lowering, node: RawNode) -> None:
    """Scores of all classes. The first output, the label, is never read (see `onnx_import`)."""
    made = replace(node, outputs=node.outputs[1:])
    low.bind(node.outputs[1], _classified(low, made))


def _classified(low: Lowering, node: RawNode) -> Value:
    classes = len(integers(node, "classlabels_int64s") or texts(node, "classlabels_strings"))
    votes, base, transform = votes_of(node, "class"), numbers(node, "base_values"), text(node, "post_transform", "NONE")
    if classes < 2:
        raise ShapeError("it has one class only")
    if classes == 2 and not any(votes.results):
        return _two_classes(low, node, votes, base, transform)
    if classes == 2 and (base.size or not everywhere(node, votes, 1)):
        raise ShapeError("its two classes have scores that runtimes read differently", VOTES)
    return _transformed(low, _summed(low, node, forest_of_nodes(node, votes, classes), base), transform)


def _two_classes(low: Lowering, node: RawNode, votes: Votes, base: Reals, transform: str) -> Value:
    """One score for two classes: the first class has its opposite, or what is left of 1 where no weight is negative."""
    if base.size > 1 or transform == "SOFTMAX":
        raise ShapeError("it has one score for two classes, and a softmax or base values for both", BEHIND)
    forest = forest_of_nodes(node, votes, 1)
    rest = 1.0 if transform == "NONE" and not (votes.weights < 0).any() else 0.0
    score = base[0] if base.size else 0.0
    mirrored = replace(forest, leaves=np.hstack([-forest.leaves, forest.leaves]))
    return _transformed(low, _summed(low, node, mirrored, np.array([rest - score, score])), transform)


def regressor(low: Lowering, node: RawNode) -> Value:
    """Sums or averages of all targets."""
    targets, votes, base = integer(node, "n_targets", 1), votes_of(node, "target"), numbers(node, "base_values")
    forest = forest_of_nodes(node, votes, targets)
    if base.any() and not all(everywhere(node, votes, target) for target in range(targets)):
        raise ShapeError(
            "it has base values of targets that rows may not reach, which runtimes read differently", VOTES
        )
    summed = _summed(low, node, _aggregated(forest, text(node, "aggregate_function", "SUM")), base)
    return _transformed(low, summed, _of_targets(text(node, "post_transform", "NONE"), alone=targets == 1))


def ensemble(low: Lowering, node: RawNode) -> Value:
    """The second generation: decisions and leaves in lists of their own."""
    targets, aggregate = integer(node, "n_targets", 1), integer(node, "aggregate_function", 1)
    forest = _aggregated(forest_of_lists(node, targets), named(node, "aggregate_function", AGGREGATES, aggregate))
    # onnxruntime 1.32 takes a sigmoid for a softmax here, and ONNX's own reference leaves both out.
    _of_targets(named(node, "post_transform", TRANSFORMS, integer(node, "post_transform", 0)), alone=True)
    return _summed(low, node, forest, np.zeros(0))


def _of_targets(transform: str, *, alone: bool) -> str:
    if alone and transform != "NONE":
        raise ShapeError(f"runtimes do not agree on its post_transform {transform!r}", BEHIND)
    return transform


def _aggregated(forest: Forest, how: str) -> Forest:
    if how not in ("SUM", "AVERAGE"):
        raise ShapeError(f"its aggregate_function {how!r} has no protocol", "aggregate by SUM or AVERAGE")
    return forest if how == "SUM" else replace(forest, leaves=forest.leaves / len(forest.roots))


def _summed(low: Lowering, node: RawNode, forest: Forest, base: Reals) -> Value:
    value, results = low.value(node.inputs[0]), forest.leaves.shape[1]
    if len(value.shape) != 2 or base.size not in (0, results):
        raise ShapeError(f"rows of {value.shape[1:]} and {base.size} base values do not fit {results} results")
    source, forest = unscaled(low, value, forest)
    made = matrices(forest, value.shape[1], node.name, base if base.any() else None)
    parts = ("features", "thresholds", "paths", "misses", "leaves")
    weights = [low.weight(Constant(f"{node.name}:{part}", getattr(made, part))) for part in parts]
    attributes = {"depth": made.depth, "extra": made.extra}
    name = low.emit(Op.TREE_ENSEMBLE, (source.name, *weights), attributes)
    return replace(value, name=name, shape=(1, results))


def _transformed(low: Lowering, scores: Value, transform: str) -> Value:
    if transform == "NONE":
        return scores
    operators = {"LOGISTIC": Op.SIGMOID, "SOFTMAX": Op.SOFTMAX}
    if transform not in operators:
        raise ShapeError(f"its post_transform {transform!r} has no protocol", BEHIND)
    return applied(low, operators[transform], scores)


TREES: Mapping[str, Rule] = {
    CLASSIFIER: classifier,
    f"{ML}TreeEnsembleRegressor": regressor,
    f"{ML}TreeEnsemble": ensemble,
}
"""Operator with its domain: how it is lowered."""
