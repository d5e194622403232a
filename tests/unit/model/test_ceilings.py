"""Ceilings for activations."""

import numpy as np
import pytest

from bench.models import dense
from mpc_infer.engine.real import run_real
from mpc_infer.errors import InvalidInput, ModelRefused
from mpc_infer.graph.ceilings import ended_at, heights
from mpc_infer.graph.numerics import choose
from mpc_infer.graph.onnx_import import ImportedModel
from mpc_infer.model.ceilings import with_ceilings

RANDOM = np.random.default_rng(0)
ROWS = RANDOM.normal(size=(50, 8))


def deep(layers: int = 12) -> ImportedModel:
    """What each layer makes is about 1; what it might make is eight times more with every one."""
    graph = dense([8] * layers)
    weights = {
        spec.name: RANDOM.normal(0, 0.5, spec.shape) if len(spec.shape) == 2 else np.zeros(spec.shape[0] or 1)
        for spec in graph.weights
    }
    return ImportedModel(graph, weights)


def test_a_deep_network_is_refused_until_it_has_ceilings() -> None:
    model, ranges = deep(40), 8
    with pytest.raises(ModelRefused):
        choose(model.graph, model.weights, ranges)
    changed = with_ceilings(model, {"x": ROWS}, ranges)
    assert choose(changed.graph, changed.weights, ranges).frac_bits == 16
    assert {node.op for node in changed.graph.nodes} == {"Linear", "Relu", "Clip"}


def test_rows_like_those_that_it_was_given_get_the_same_results() -> None:
    model = deep(40)
    changed = with_ceilings(model, {"x": ROWS}, 8)
    (before,), (after,) = (run_real(each.graph, each.weights, {"x": ROWS}).values() for each in (model, changed))
    assert (before == after).all()


def test_a_network_whose_intervals_stay_small_is_left_as_it_is() -> None:
    model = deep(2)
    assert with_ceilings(model, {"x": ROWS}).graph == model.graph


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match="times above"):
        with_ceilings(deep(2), {"x": ROWS}, times=0.5)
    with pytest.raises(InvalidInput, match="calibration rows"):
        with_ceilings(deep(2), {"y": ROWS})


def test_ceilings_that_were_told_give_the_same_graph() -> None:
    model = deep(40)
    changed = with_ceilings(model, {"x": ROWS}, 8)
    found = heights(model.graph, changed.graph)
    assert found
    assert ended_at(model.graph, found).digest == changed.graph.digest
    assert ended_at(model.graph, {}).digest == model.graph.digest
    with pytest.raises(InvalidInput, match="no Relu 'nobody'"):
        ended_at(model.graph, {"nobody": 4.0})
    with pytest.raises(InvalidInput, match="a ceiling lies"):
        ended_at(model.graph, dict.fromkeys(found, float("nan")))
