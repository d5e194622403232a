"""Products on a device of torch are those of the compiled loops, bit by bit."""

import numpy as np
import pytest
import torch

from bench.graphs import MODELS
from mpc_infer.engine.masked.products import CompiledProducts, TorchProducts, products_on
from mpc_infer.errors import ConfigError
from mpc_infer.graph import Node
from tests.protocol.masked_parties import evaluate
from tests.protocol.test_masked_operators import graph_of, window

CUDA = pytest.param(
    "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="NO CUDA DEVICE HERE: cuda is not tested")
)
DEVICES = ["torch-cpu", CUDA]
SHAPES = [
    ((3, 5), (5, 4), (3, 4)),
    ((2, 1300), (1300, 3), (2, 3)),
    ((3, 70), (70, 1), (3, 1)),
    ((3, 70), (70, 8), (3, 8)),
    ((4, 2, 7), (4, 7, 3), (4, 2, 3)),
    ((2, 3, 9), (5, 2, 9, 4), (5, 2, 3, 4)),
]


def words(random, shape, most=2**64 - 1):
    return random.integers(0, most, shape, dtype=np.uint64, endpoint=True)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("left", "right", "out"), SHAPES)
def test_products_are_equal(device, left, right, out):
    random = np.random.default_rng(1)
    products = products_on(device)
    factors = [words(random, left), words(random, right)]
    largest = [np.full_like(factor, 2**64 - 1) for factor in factors]
    for one, other in (factors, largest):
        start = words(random, out)
        expected, found, kept = start.copy(), start.copy(), start.copy()
        CompiledProducts().add_product(one, other, expected)
        products.add_product(one, other, found)
        products.keep(other)
        products.add_product(one, other, kept)
        assert (found == expected).all()
        assert (kept == expected).all()


def test_what_is_kept_goes_with_its_words():
    products = TorchProducts("cpu")
    factor = np.ones((2, 2), dtype=np.uint64)
    products.keep(factor)
    assert len(products._placed) == 1
    del factor
    assert not products._placed


@pytest.mark.parametrize("device", DEVICES)
def test_a_network_with_every_product(device):
    random = np.random.default_rng(3)
    weights = {"w": random.normal(size=(4, 1, 3, 3)), "v": random.normal(size=(36, 8)) / 6}
    nodes = [
        Node("c", "Conv", ("x", "w"), ("c1",), window(group=1)),
        Node("r", "Relu", ("c1",), ("r1",)),
        Node("f", "Flatten", ("r1",), ("f1",), {"axis": 1}),
        Node("l", "Linear", ("f1", "v"), ("l1",)),
        Node("s", "Reshape", ("l1",), ("s1",), {"shape": (-1, 2, 4)}),
        Node("t", "Transpose", ("s1",), ("t1",), {"perm": (0, 2, 1)}),
        Node("m", "MatMul", ("s1", "t1"), ("y",)),
    ]
    graph = graph_of(nodes, {"x": (1, 5, 5)}, weights)
    run = evaluate(graph, weights, {"x": random.normal(size=(3, 1, 5, 5))}, 3, device=device)
    assert run.worst() <= 64


def test_lenet_on_cuda_is_lenet():
    if not torch.cuda.is_available():
        pytest.skip("NO CUDA DEVICE HERE: the engine on cuda is not tested")
    graph, weights = MODELS["lenet"]()
    x = np.random.default_rng(2).normal(size=(2, 1, 28, 28))
    assert evaluate(graph, weights, {"x": x}, device="cuda").worst() <= 64


def test_a_device_that_is_not_there():
    for device in ("abacus", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(ConfigError):
            products_on(device)
