"""Shape rules agree with numpy, and keep the batch on axis 0."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer.graph.shapes import Shape, ShapeError, output_shape

SHAPES = st.lists(st.integers(1, 3), min_size=0, max_size=3)


def concrete(shape: Shape, batch: int) -> tuple[int, ...]:
    return tuple(batch if size is None else size for size in shape)


@given(SHAPES, SHAPES, st.booleans(), st.booleans(), st.sampled_from(["Add", "MatMul"]))
def test_binary_operators_are_numpy_for_two_batches(
    left: list[int], right: list[int], left_computed: bool, right_computed: bool, op: str
) -> None:
    shapes: list[Shape] = [
        (None, *left) if left_computed else tuple(left),
        (None, *right) if right_computed else tuple(right),
    ]
    try:
        result = output_shape(op, shapes, {})
    except ShapeError:
        return
    assert result[0] is None
    # Sizes above 3 cannot be mistaken for a fixed axis, nor for one that broadcasts.
    for batch in (7, 11):
        arrays = [np.zeros(concrete(shape, batch)) for shape in shapes]
        found = arrays[0] + arrays[1] if op == "Add" else arrays[0] @ arrays[1]
        assert found.shape == concrete(result, batch)


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        ("Add", [(None, 3), (2, None)]),
        ("Add", [(4,), (4,)]),
        ("Add", [(None, 3), (None, 4)]),
        ("Add", [(None, 3), (5, 3)]),
        ("Add", [(None, 3), (1, 1, 3)]),
        ("Add", [(None, 3), (None, 1, 3)]),
        ("MatMul", [(None, 3), (None, 3)]),
        ("MatMul", [(2, 3), (None, 3)]),
        ("MatMul", [(None, 3), (2, 3, 4)]),
        ("MatMul", [(None, 2, 3), (4, 5)]),
        ("MatMul", [(None,), (3, 3)]),
        ("MatMul", [(2, 3), (3, 2)]),
        ("Linear", [(None, 3), (3, 4), (3,)]),
        ("Linear", [(None, 3), (4, 3)]),
        ("Linear", [(None,), (1, 4)]),
        ("Linear", [(None, 3), (2, 3, 4)]),
        ("Linear", [(2, 3), (3, 4)]),
        ("Relu", [(2, 3)]),
        ("Relu", []),
        ("Relu", [(None, 2), (None, 2)]),
    ],
)
def test_refused(op: str, shapes: list[Shape]) -> None:
    with pytest.raises(ShapeError):
        output_shape(op, shapes, {})


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_flatten_keeps_the_rows_apart(axis: int) -> None:
    with pytest.raises(ShapeError):
        output_shape("Flatten", [(None, 2, 3)], {"axis": axis})
    assert output_shape("Flatten", [(None, 2, 3)], {"axis": 1}) == (None, 6)
