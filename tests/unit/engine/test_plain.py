"""The oracle is exact: integers against Python's own, floor truncation, and no silent wrap."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer.engine.plain import run_plain
from mpc_infer.errors import OutOfRange, WrongShape
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.sharing import Ring, decode, encode

UNITS = st.integers(-(2**31) + 1, 2**31 - 1)


def ring(values: Sequence[int] | Sequence[Sequence[int]]) -> Ring:
    return np.array(values, dtype=np.int64).view(np.uint64)


def signed(values: Ring) -> list[int]:
    return [int(value) for value in values.view(np.int64).reshape(-1)]


def graph(nodes: Sequence[Node], shapes: Mapping[str, tuple[int | None, ...]], output: tuple[int | None, ...]) -> Graph:
    made = Graph(
        inputs=tuple(TensorSpec(name, shape) for name, shape in shapes.items() if shape[0] is None),
        outputs=(TensorSpec("y", output),),
        weights=tuple(TensorSpec(name, shape) for name, shape in shapes.items() if shape[0] is not None),
        nodes=tuple(nodes),
    )
    made.check()
    return made


LINEAR = graph([Node("l", "Linear", ("x", "w", "b"), ("y",))], {"x": (None, 3), "w": (3, 1), "b": (1,)}, (None, 1))
ADD = graph([Node("a", "Add", ("x", "z"), ("y",))], {"x": (None, 1), "z": (None, 1)}, (None, 1))


@given(st.lists(UNITS, min_size=3, max_size=3), st.lists(st.integers(-(2**28), 2**28), min_size=3, max_size=3), UNITS)
def test_linear_is_an_exact_floor(x: list[int], w: list[int], b: int) -> None:
    found = run_plain(LINEAR, {"w": ring([[v] for v in w]), "b": ring([b])}, {"x": ring([x])})
    exact = sum(left * right for left, right in zip(x, w, strict=True))
    assert signed(found["y"]) == [(exact >> 16) + b]


@pytest.mark.parametrize(("product", "expected"), [(-1, -1), (-65536, -1), (-65537, -2), (65535, 0), (65536, 1)])
def test_truncation_rounds_down(product: int, expected: int) -> None:
    weights = {"w": ring([[1], [0], [0]]), "b": ring([0])}
    assert signed(run_plain(LINEAR, weights, {"x": ring([[product, 5, 5]])})["y"]) == [expected]


@given(st.lists(st.integers(-(2**61), 2**61), min_size=1, max_size=5))
def test_relu_is_exact(x: list[int]) -> None:
    made = graph([Node("r", "Relu", ("x",), ("y",))], {"x": (None, 1)}, (None, 1))
    assert signed(run_plain(made, {}, {"x": ring([[v] for v in x])})["y"]) == [max(v, 0) for v in x]


@given(st.lists(st.floats(-32767, 32767), min_size=1, max_size=5))
def test_sigmoid_is_the_real_function(x: list[float]) -> None:
    made = graph([Node("s", "Sigmoid", ("x",), ("y",))], {"x": (None, 1)}, (None, 1))
    encoded = encode(np.array(x).reshape(-1, 1))
    found = decode(run_plain(made, {}, {"x": encoded})["y"])
    expected = np.array([1 / (1 + math.exp(-v)) if v > -700 else 0.0 for v in decode(encoded).reshape(-1)])
    assert np.abs(found.reshape(-1) - expected).max() <= 2**-17 + 1e-12


@pytest.mark.parametrize("frac_bits", [8, 12, 20])
def test_other_fractional_bits(frac_bits: int) -> None:
    values = {"w": np.array([[0.5], [2.0], [-1.0]]), "b": np.array([3.0]), "x": np.array([[4.0, 8.0, 1.0]])}
    rings = {name: encode(value, frac_bits=frac_bits) for name, value in values.items()}
    found = run_plain(LINEAR, {name: rings[name] for name in "wb"}, {"x": rings["x"]}, frac_bits)
    assert decode(found["y"], frac_bits=frac_bits).tolist() == [[20.0]]


def test_batched_matmul_broadcasts_like_numpy() -> None:
    made = graph([Node("m", "MatMul", ("w", "x"), ("y",))], {"x": (None, 2, 3, 2), "w": (2, 4, 3)}, (None, 2, 4, 2))
    x, w = np.random.default_rng(1).normal(size=(5, 2, 3, 2)), np.random.default_rng(2).normal(size=(2, 4, 3))
    found = run_plain(made, {"w": encode(w)}, {"x": encode(x)})["y"]
    assert np.abs(decode(found) - w @ x).max() < 1e-3


def test_reshape_and_flatten() -> None:
    nodes = [
        Node("r", "Reshape", ("x",), ("h",), {"shape": (-1, 3, 2)}),
        Node("f", "Flatten", ("h",), ("y",), {"axis": 1}),
    ]
    made = graph(nodes, {"x": (None, 2, 3)}, (None, 6))
    x = encode(np.arange(24.0).reshape(4, 2, 3))
    assert np.array_equal(run_plain(made, {}, {"x": x})["y"], x.reshape(4, 6))


def test_a_product_out_of_range_names_its_node() -> None:
    weights = {"w": ring([[2**31], [0], [0]]), "b": ring([0])}
    assert signed(run_plain(LINEAR, weights, {"x": ring([[2**30, 0, 0]])})["y"]) == [2**45]
    with pytest.raises(OutOfRange, match="node 'l'"):
        run_plain(LINEAR, weights, {"x": ring([[2**31, 0, 0]])})


def test_a_product_that_would_wrap_to_something_small() -> None:
    weights = {"w": ring([[2**40], [0], [0]]), "b": ring([0])}
    with pytest.raises(OutOfRange):
        run_plain(LINEAR, weights, {"x": ring([[2**40, 0, 0]])})


def test_a_sum_out_of_range() -> None:
    half = ring([[2**61]])
    with pytest.raises(OutOfRange, match="node 'a'"):
        run_plain(ADD, {}, {"x": half, "z": half})


@pytest.mark.parametrize("value", [2**62, -(2**62), -(2**63), 2**63 - 1])
def test_an_input_out_of_range(value: int) -> None:
    with pytest.raises(OutOfRange, match="'x'"):
        run_plain(ADD, {}, {"x": ring([[value]]), "z": ring([[0]])})


@pytest.mark.parametrize(
    "inputs",
    [
        {},
        {"x": ring([[1]])},
        {"x": ring([[1]]), "z": ring([[1], [2]])},
        {"x": ring([1]), "z": ring([1])},
        {"x": ring([[1]]), "z": ring([[1]]), "more": ring([[1]])},
        {"x": np.zeros((0, 1), np.uint64), "z": np.zeros((0, 1), np.uint64)},
        {"x": np.zeros((), np.uint64), "z": ring([[1]])},
    ],
)
def test_wrong_shapes(inputs: dict[str, Ring]) -> None:
    with pytest.raises(WrongShape):
        run_plain(ADD, {}, inputs)
