"""Error curves of the functions that the masked engine approximates, over their whole domains."""

import numpy as np
import pytest

from mpc_infer.graph.functions import constant
from tests.protocol.masked_parties import evaluate
from tests.protocol.test_masked_operators import FAT, LEAN, UNIT, single

CURVES = {"Sigmoid": 5, "Tanh": 7, "Erf": 2, "Gelu": 4, "Silu": 4, "Softplus": 5}
"""Largest errors in units of 2^-16, within the bounds of docs/engine.md."""

GRID = np.concatenate([np.linspace(-20, 20, 8_001), [UNIT, -UNIT, 7.75, -7.75, 8.0, -8.0, 15.5, -15.5, 15.75]])
FAR = np.concatenate([np.linspace(-32767.9, 32767.9, 501), [32767.99, -32767.99]])


@pytest.mark.parametrize("op", sorted(CURVES))
def test_curve(op):
    for points in (GRID, FAR):
        assert evaluate(single(op, {"x": points.shape}), {}, {"x": points[None]}).worst() <= CURVES[op]


@pytest.mark.parametrize("op", sorted(CURVES))
@pytest.mark.parametrize("parties", [3, 4])
def test_curve_among_more_parties(op, parties):
    points = GRID[::40]
    for lean_from in (FAT, LEAN):
        run = evaluate(single(op, {"x": points.shape}), {}, {"x": points[None]}, parties, lean_from=lean_from)
        assert run.worst() <= CURVES[op]


def test_exponential():
    points = np.linspace(-22, 10.3, 4_001)
    run = evaluate(single("Exp", {"x": points.shape}), {}, {"x": points[None]})
    assert (np.abs(run.errors()["y"][0]) <= 3 + 3e-5 * np.exp(points) / UNIT).all()


def test_reciprocal():
    points = np.concatenate([np.linspace(0.25, 4, 500), np.geomspace(2.0**-13, 32767, 800)])
    for sign in (1, -1):
        run = evaluate(single("Reciprocal", {"x": points.shape}), {}, {"x": sign * points[None]})
        assert (np.abs(run.errors()["y"][0]) <= 2 + 6e-5 / points / UNIT).all()


def test_rsqrt():
    points = np.concatenate([np.linspace(0.25, 4, 500), np.geomspace(2.0**-13, 32767, 800)])
    run = evaluate(single("Rsqrt", {"x": points.shape}), {}, {"x": points[None]})
    assert (np.abs(run.errors()["y"][0]) <= 2 + 6e-5 / np.sqrt(points) / UNIT).all()


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("width", [1, 2, 7, 32])
def test_softmax(parties, width):
    x = np.random.default_rng(width).normal(size=(3, 4, width)) * 4
    for lean_from in (FAT, LEAN):
        run = evaluate(single("Softmax", {"x": (4, width)}), {}, {"x": x}, parties, lean_from=lean_from)
        assert run.worst() <= 8


def test_softmax_of_extremes():
    x = np.array([[-30000.0, 30000.0, 0.0], [5.0, 5.0, 5.0], [-32767.9, -32767.9, -32767.9], [0.0, -16.0, -15.4]])
    assert evaluate(single("Softmax", {"x": (3,)}), {}, {"x": x}).worst() <= 4


@pytest.mark.parametrize("parties", [2, 3])
def test_layer_norm(parties):
    random = np.random.default_rng(parties)
    weights = {"g": random.normal(size=24), "b": random.normal(size=24)}
    graph = single("LayerNorm", {"x": (5, 24)}, weights=weights, attributes={"epsilon": constant(1e-5)})
    for scale in (0.5, 3.0, 40.0):
        x = random.normal(size=(4, 5, 24)) * scale + 1
        assert evaluate(graph, weights, {"x": x}, parties).worst() <= 32
