"""Which weights are public is part of the graph, and so of its digest."""

import json
from dataclasses import replace

import pytest

from bench.models import dense
from mpc_infer.encoding import canonical_json
from mpc_infer.errors import CorruptModel, InvalidInput
from mpc_infer.graph import Graph
from mpc_infer.graph.public import ALL, with_public

GRAPH = dense([4, 3, 2])


def test_a_graph_says_which_weights_are_public():
    graph = with_public(GRAPH, ["W0", "b*"])
    graph.check()
    assert graph.public_weights == ("W0", "b0", "b1")
    assert Graph.from_bytes(graph.to_bytes()) == graph
    assert graph.digest != GRAPH.digest
    assert with_public(graph, []) == GRAPH


def test_a_graph_without_public_weights_has_the_bytes_that_it_had():
    assert b"public" not in GRAPH.to_bytes()
    assert with_public(GRAPH, [ALL]).public_weights == ("W0", "b0", "W1", "b1")


def test_a_weight_that_a_pattern_could_mean_is_a_name_first():
    odd = replace(GRAPH, weights=(replace(GRAPH.weights[0], name="b?"), *GRAPH.weights[1:]))
    assert with_public(odd, ["b?"]).public_weights == ("b?",)


def test_names_of_nothing_are_refused():
    with pytest.raises(InvalidInput, match="no weight 'W2'"):
        with_public(GRAPH, ["W0", "W2"])
    with pytest.raises(InvalidInput):
        with_public(GRAPH, ["x"])


def test_only_weights_are_public():
    for field in ("inputs", "outputs"):
        (spec,) = getattr(GRAPH, field)
        with pytest.raises(CorruptModel, match="no weight"):
            replace(GRAPH, **{field: (replace(spec, public=True),)}).check()


@pytest.mark.parametrize(("field", "mark"), [("weights", False), ("weights", 1), ("inputs", True), ("outputs", True)])
def test_other_marks_are_refused(field, mark):
    value = json.loads(GRAPH.to_bytes())
    value[field][0]["public"] = mark
    with pytest.raises(CorruptModel):
        Graph.from_bytes(canonical_json(value))
