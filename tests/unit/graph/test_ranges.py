"""Intervals: never too narrow, tight where it counts, and a refusal that names the node."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.engine.plain import run_plain
from mpc_infer.errors import ModelRefused
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.ranges import check_ranges, widest_input_limit
from mpc_infer.sharing import encode

BITS = 16
UNIT = 2.0**-BITS


def graph(*nodes: Node, weights: dict[str, tuple[int, ...]], inputs: int = 3, outputs: tuple[int, ...] = (2,)) -> Graph:
    made = Graph(
        inputs=(TensorSpec("x", (None, inputs)),),
        outputs=(TensorSpec("y", (None, *outputs)),),
        weights=tuple(TensorSpec(name, shape) for name, shape in weights.items()),
        nodes=nodes,
    )
    made.check()
    return made


LINEAR = graph(Node("dense", "Linear", ("x", "w", "b"), ("y",)), weights={"w": (3, 2), "b": (2,)})
W = np.array([[1.0, -1.0], [2.0, 0.0], [-3.0, 0.5]])
B = np.array([10.0, -4.0])

PERCEPTRON = graph(
    Node("first", "Linear", ("x", "w", "b"), ("h",)),
    Node("relu", "Relu", ("h",), ("r",)),
    Node("second", "Linear", ("r", "v"), ("s",)),
    Node("sigmoid", "Sigmoid", ("s",), ("g",)),
    Node("residual", "Add", ("g", "s"), ("y",)),
    weights={"w": (3, 4), "b": (4,), "v": (4, 2)},
)
# (x W)^T (x W), so to say: rows of matrices, both factors computed.
MATRICES = graph(
    Node("fold", "Reshape", ("x",), ("m",), {"shape": (-1, 2, 3)}),
    Node("left", "MatMul", ("w", "m"), ("l",)),
    Node("square", "MatMul", ("l", "n"), ("q",)),
    Node("flat", "Flatten", ("q",), ("y",), {"axis": 1}),
    inputs=6,
    outputs=(12,),
    weights={"w": (4, 2), "n": (3, 3)},
)
SQUARED = graph(
    Node("fold", "Reshape", ("x",), ("m",), {"shape": (-1, 2, 2)}),
    Node("square", "MatMul", ("m", "m"), ("q",)),
    Node("flat", "Flatten", ("q",), ("y",), {"axis": 1}),
    inputs=4,
    outputs=(4,),
    weights={},
)


def test_a_linear_layer_is_bounded_by_its_columns() -> None:
    found = check_ranges(LINEAR, {"w": W, "b": B}, 8, BITS)["y"]
    np.testing.assert_allclose(found.centre * UNIT, [B], atol=1e-9)
    # 8 * (1 + 2 + 3) and 8 * (1 + 0.5), and the unit of the truncation.
    np.testing.assert_allclose(found.radius * UNIT, [[48.0, 12.0]], rtol=1e-4, atol=2 * UNIT)


def test_relu_and_sigmoid_cut_the_range_off() -> None:
    found = check_ranges(PERCEPTRON, weights_of(PERCEPTRON, 7, 1.0), 8, BITS)
    relu, sigmoid = found["r"], found["g"]
    assert (relu.centre - relu.radius >= 0).all()
    assert (sigmoid.low * UNIT >= -0.001).all()
    assert (sigmoid.high * UNIT <= 1.001).all()


def weights_of(made: Graph, seed: int, scale: float) -> dict[str, np.ndarray]:
    values = np.random.default_rng(seed)
    return {spec.name: values.normal(size=spec.shape) * scale for spec in made.weights}


@pytest.mark.parametrize("made", [LINEAR, PERCEPTRON, MATRICES, SQUARED], ids=["linear", "mlp", "matrices", "squared"])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), limit=st.integers(1, 50), scale=st.floats(0.001, 8.0), corner=st.booleans())
def test_no_row_leaves_its_interval(made: Graph, seed: int, limit: int, scale: float, corner: bool) -> None:
    """Against the oracle, in exact integers, with rows inside and at the corners of the allowed cube."""
    weights, values = weights_of(made, seed, scale), np.random.default_rng(seed)
    rows = values.uniform(-limit, limit, size=(20, made.inputs[0].shape[1]))
    rows = np.sign(rows) * (limit - UNIT) if corner else np.clip(rows, UNIT - limit, limit - UNIT)
    found = check_ranges(made, weights, limit, BITS)["y"]
    ring = run_plain(made, {name: encode(value) for name, value in weights.items()}, {"x": encode(rows)})["y"]
    outside = np.abs(ring.view(np.int64) - found.centre) - found.radius
    assert outside.max() <= 0


def scaled(weight: float) -> dict[str, np.ndarray]:
    return {"w": np.full((3, 2), weight), "b": np.zeros(2)}


def test_a_product_that_may_reach_2_62_is_refused_with_its_node() -> None:
    """3 * limit * weight * 2^32 against 2^62: at limit 2^15 the weights must stay below 10922.67."""
    check_ranges(LINEAR, scaled(10900.0), 2**15, BITS)
    with pytest.raises(ModelRefused, match=r"'dense' \(Linear\).*below 2\^62") as caught:
        check_ranges(LINEAR, scaled(-10930.0), 2**15, BITS)
    assert "narrower ranges" in caught.value.remedy
    check_ranges(LINEAR, scaled(-10930.0), 2**14, BITS)


def test_partial_sums_count_even_where_they_cancel() -> None:
    made = graph(
        Node("one", "Linear", ("x", "w"), ("h",)),
        Node("relu", "Abs", ("h",), ("r",)),
        Node("two", "Linear", ("r", "v"), ("y",)),
        weights={"w": (3, 2), "v": (2, 2)},
    )
    weights = {"w": np.full((3, 2), 0.6), "v": np.array([[20_000.0, 0.0], [-20_000.0, 0.0]])}
    with pytest.raises(ModelRefused, match="'two'"):
        check_ranges(made, weights, 2**15, BITS)


def test_the_bias_counts_at_double_scale() -> None:
    weights = {"w": np.full((3, 2), 10900.0), "b": np.array([0.0, 32767.0])}
    check_ranges(LINEAR, weights, 2**15 - 100, BITS)
    with pytest.raises(ModelRefused, match="'dense'"):
        check_ranges(LINEAR, {**weights, "b": np.array([0.0, 2.0**22])}, 2**15, BITS)


def test_sums_that_may_reach_2_46_are_refused() -> None:
    doublings = [Node(f"add{step}", "Add", (f"h{step}", f"h{step}"), (f"h{step + 1}",)) for step in range(17)]
    made = graph(
        Node("dense", "Linear", ("x", "w", "b"), ("h0",)),
        *doublings,
        Node("last", "Reshape", ("h17",), ("y",), {"shape": (-1, 2)}),
        weights={"w": (3, 2), "b": (2,)},
    )
    # 3 * 2^11 * 2^17 is below 2^30, three halves of it are not.
    check_ranges(made, scaled(1.0), 2**11, BITS)
    with pytest.raises(ModelRefused, match=r"'add16' \(Add\).*below 2\^46"):
        check_ranges(made, scaled(1.5), 2**11, BITS)


def test_comparisons_reach_2_32() -> None:
    made = graph(
        Node("dense", "Linear", ("x", "w", "b"), ("h",)),
        Node("relu", "Relu", ("h",), ("y",)),
        weights={"w": (3, 2), "b": (2,)},
    )
    check_ranges(made, scaled(1.0), 21_000, BITS)
    with pytest.raises(ModelRefused, match=r"'relu' \(Relu\): what it compares .*below 2\^32"):
        check_ranges(made, scaled(1.0), 22_000, BITS)


@pytest.mark.parametrize(("weight", "limit"), [(1.0, 2**15), (30_000.0, 2**13), (0.0, 2**15)])
def test_the_widest_limit_is_the_last_that_passes(weight: float, limit: int) -> None:
    assert widest_input_limit(LINEAR, scaled(weight), 2**15, BITS) == limit


def test_a_model_that_fits_no_limit_is_refused() -> None:
    layers = [Node(f"dense{step}", "Linear", (f"h{step}", "v"), (f"h{step + 1}",)) for step in range(4)]
    made = graph(
        Node("first", "Linear", ("x", "w", "b"), ("h0",)),
        *layers,
        Node("last", "Reshape", ("h4",), ("y",), {"shape": (-1, 2)}),
        weights={"w": (3, 2), "b": (2,), "v": (2, 2)},
    )
    with pytest.raises(ModelRefused, match="'dense1'"):
        widest_input_limit(made, {**scaled(1000.0), "v": np.full((2, 2), 1000.0)}, 2**15, BITS)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ModelRefused), np.errstate(invalid="ignore"):
        check_ranges(LINEAR, scaled(value), 1, BITS)
