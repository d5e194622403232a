"""Real models on real rows that they have not seen: `plain` and `masked` beside onnxruntime."""

import numpy as np
import pytest

from mpc_infer.errors import ModelRefused
from mpc_infer.graph import import_onnx
from mpc_infer.graph.input_ranges import calibrated
from mpc_infer.graph.numerics import choose
from mpc_infer.model.ceilings import with_ceilings
from tests.models.held_out import CLASSIFIERS, REGRESSORS, Judged, Reals, judged, residual

LARGEST = {
    "cancer_logistic": 3e-3, "cancer_svc": 0.03, "cancer_mlp": 3e-3,
    "wine_logistic": 4e-4, "wine_svc": 0.01, "wine_mlp": 2e-3,
    "digits_mlp": 1e-3, "digits_cnn": 5e-4,
    "diabetes_ridge": 0.05, "diabetes_mlp": 0.05,
}  # fmt: skip
"""Deviations that are allowed: of probabilities; of an SVC's scores up to 17, logits up to 27, targets up to 346. What
is standardised here has columns up to 4254: the unit of a weight of such a column, 2^-16, is most of the deviation."""

MARGIN_PERCENT = 100
"""Of what the rows of the training span, to either side."""


def deviation(model: Judged, found: dict[str, Reals]) -> float:
    """The largest one of all engines."""
    assert found.keys() == {"plain", "masked"}
    reference = model.reference()
    return max(float(np.abs(scores - reference).max()) for scores in found.values())


def check_right(model: Judged, found: dict[str, Reals]) -> None:
    """A classifier is good, and privately right as often, give or take a row."""
    right = model.right(model.reference())
    assert right > 0.9 * len(model.rows)
    assert all(abs(model.right(scores) - right) <= 1 for scores in found.values())


@pytest.mark.parametrize("name", [*CLASSIFIERS, *REGRESSORS])
def test_rows_that_training_has_not_seen(name: str) -> None:
    found = judged(name).private()
    assert deviation(judged(name), found) < LARGEST[name]
    if name in CLASSIFIERS:
        check_right(judged(name), found)


@pytest.mark.parametrize("name", [*CLASSIFIERS, *REGRESSORS])
def test_the_rows_of_its_training_say_what_it_can_be_published_for(name: str) -> None:
    """With a range for every feature; rows that the training has not seen lie inside."""
    model = judged(name)
    imported = import_onnx(model.file)
    ranges = calibrated(imported.graph, {imported.graph.inputs[0].name: model.seen}, MARGIN_PERCENT)
    (own,) = ranges.values()
    assert (model.rows >= own.low).all()
    assert (model.rows <= own.high).all()
    numerics = choose(imported.graph, imported.weights, ranges)
    assert numerics.frac_bits == 16
    assert numerics.outputs != (None,)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_residual_network_of_twenty_layers() -> None:
    """ResNet-20 with batch normalisation, trained on digits of 32 x 32 pixels and three colours."""
    model = residual()
    imported = import_onnx(model.file)
    assert {node.op for node in imported.graph.nodes} <= {"Conv", "Relu", "Add", "AveragePool", "Reshape", "Linear"}
    rows = {imported.graph.inputs[0].name: model.seen[:64]}
    ranges = calibrated(imported.graph, rows, MARGIN_PERCENT)
    with pytest.raises(ModelRefused, match="Relu"):
        choose(imported.graph, imported.weights, ranges)
    changed = with_ceilings(imported, rows)
    assert choose(changed.graph, changed.weights, ranges).frac_bits == 16
    for each in (imported, changed):
        found = model.private(each)
        check_right(model, found)
        assert deviation(model, found) < 3e-3
