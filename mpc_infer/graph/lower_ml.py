"""Lowering of ai.onnx.ml: what scikit-learn's pipelines are exported to.

Labels are left to the client, who has the scores; so are the names of classes (ZipMap) and the last division of
one-versus-rest scores by their sum (Normalizer).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_compare import inverted, step_of
from mpc_infer.graph.lower_functions import applied
from mpc_infer.graph.lower_linear import binary, scalar
from mpc_infer.graph.lower_matrices import linear
from mpc_infer.graph.lower_views import picked
from mpc_infer.graph.lowering import Constant, Lowering, Value
from mpc_infer.graph.raw import RawNode, floats, integer, integers, number, text
from mpc_infer.graph.shapes import ShapeError

Rule = Callable[[Lowering, RawNode], Value | None]
ML = "ai.onnx.ml."
EXTRACTOR = f"{ML}ArrayFeatureExtractor"
"""Picks scores; of a constant list of classes, a label."""
SCORES = frozenset({f"{ML}LinearClassifier", f"{ML}TreeEnsembleClassifier"})
"""Operators whose first result is a label, and whose second one is the scores."""
NAMING = frozenset({f"{ML}ZipMap", f"{ML}Normalizer", "Cast", "Identity", "Reshape"})
"""Operators that may stand between scores, or labels, and an output."""


def scaler(low: Lowering, node: RawNode) -> Value:
    """(x - offset) scale."""
    offset, scale = floats(node, "offset"), floats(node, "scale")
    value: Value = low.value(node.inputs[0])
    if offset.size and offset.any():
        value = binary(low, Op.ADD, value, Constant(f"{node.name}:offset", -offset))
    return binary(low, Op.MUL, value, Constant(f"{node.name}:scale", scale)) if scale.size else value


def binarizer(low: Lowering, node: RawNode) -> Value:
    """1 above a threshold, else 0."""
    value, threshold = low.value(node.inputs[0]), scalar(number(node, "threshold", 0.0))
    return inverted(low, step_of(low, threshold, value))


def linear_regressor(low: Lowering, node: RawNode) -> Value:
    """x W + b."""
    if text(node, "post_transform", "NONE") != "NONE":
        raise ShapeError("its post_transform has no protocol; leave it to the client")
    targets = integer(node, "targets", 1)
    return _scores(low, node, targets)


def linear_classifier(low: Lowering, node: RawNode) -> Value:
    """Scores of all classes, after the softmax or the sigmoid that the file asks for."""
    coefficients, classes = floats(node, "coefficients"), _classes(node)
    value = low.value(node.inputs[0])
    rows = max(coefficients.size // max(value.shape[-1], 1), 1)
    transform = text(node, "post_transform", "NONE")
    scores = _scores(low, node, rows, mirrored=rows == 1 and classes == 2)
    if transform == "LOGISTIC":
        return applied(low, Op.SIGMOID, scores)
    if transform == "SOFTMAX" and rows > 1:
        return applied(low, Op.SOFTMAX, scores)
    if transform != "NONE":
        raise ShapeError(f"its post_transform {transform!r} has no protocol; leave it to the client")
    return scores


def _classes(node: RawNode) -> int:
    ints = integers(node, "classlabels_ints")
    return len(ints) if ints is not None else 2


def _scores(low: Lowering, node: RawNode, count: int, *, mirrored: bool = False) -> Value:
    value, coefficients, intercepts = (
        low.value(node.inputs[0]),
        floats(node, "coefficients"),
        floats(node, "intercepts"),
    )
    if len(value.shape) != 2 or coefficients.size != count * value.shape[1] or intercepts.size not in (0, count):
        raise ShapeError(f"{coefficients.size} coefficients do not fit rows of {value.shape[1:]}")
    matrix = coefficients.reshape(count, -1).T
    if mirrored:
        # One score for two classes: the first class has its opposite.
        matrix, intercepts = np.hstack([-matrix, matrix]), np.concatenate([-intercepts, intercepts])
    product = linear(low, value, Constant(f"{node.name}:coefficients", matrix))
    return _with_intercepts(low, node, product, intercepts)


def _with_intercepts(low: Lowering, node: RawNode, product: Value, intercepts: NDArray[np.float64]) -> Value:
    if not intercepts.size:
        return product
    return binary(low, Op.ADD, product, Constant(f"{node.name}:intercepts", intercepts))


def scores_of(low: Lowering, node: RawNode) -> None:
    """The second output of a classifier: the first one, the label, is never read (see `without_labels`)."""
    value = linear_classifier(low, replace(node, outputs=node.outputs[1:]))
    low.bind(node.outputs[1], value)


def extracted(low: Lowering, node: RawNode) -> Value:
    """Scores at constant places."""
    value, places = low.value(node.inputs[0]), low.known(node.inputs[1], "places")
    indices = [int(place) for place in places.reshape(-1)]
    size = value.shape[-1]
    if not indices or any(not 0 <= index < size for index in indices):
        raise ShapeError(f"its places {indices} lie outside of {size} elements")
    return picked(low, value, len(value.shape) - 1, indices)


def passed_on(low: Lowering, node: RawNode) -> None:
    """What the client does."""
    low.rename(node.outputs[0], node.inputs[0])


def normalizer(low: Lowering, node: RawNode) -> None:
    """Scores divided by their sum: the client does it. As preparation of inputs it has no protocol."""
    maker = low.maker(low.value(node.inputs[0]))
    if low.reads[node.outputs[0]] != 1 or maker is None or maker.op not in (Op.SIGMOID, Op.SOFTMAX):
        raise ShapeError("it has no protocol but after a classifier", "normalise the rows at the client")
    low.rename(node.outputs[0], node.inputs[0])


LEARNED: Mapping[str, Rule] = {
    f"{ML}Scaler": scaler,
    f"{ML}Binarizer": binarizer,
    f"{ML}LinearRegressor": linear_regressor,
    f"{ML}LinearClassifier": scores_of,
    EXTRACTOR: extracted,
    f"{ML}ZipMap": passed_on,
    f"{ML}Normalizer": normalizer,
}
"""Operator with its domain: how it is lowered."""
