"""Networks that torch exported, on the masked engine."""

import numpy as np
import pytest

from mpc_infer.graph import import_onnx
from tests.protocol.masked_parties import evaluate
from tests.unit.graph.exported import exported

UNITS = {"lenet": 8, "residual": 8, "encoder": 64, "encoder_layer": 64}
"""Largest differences to the oracle, in units of 2^-16."""


@pytest.mark.parametrize("name", UNITS)
def test_network(name: str) -> None:
    imported = import_onnx(exported(f"torch_{name}"))
    (spec,) = imported.graph.inputs
    x = np.random.default_rng(1).normal(size=(2, *spec.shape[1:]))
    assert evaluate(imported.graph, imported.weights, {spec.name: x}).worst() <= UNITS[name]
