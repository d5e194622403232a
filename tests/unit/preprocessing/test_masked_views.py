"""Linear maps and products: against loops, and the same on a sum as on its parts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.preprocessing.masked_products import multiply_add, multiply_add_batch, multiply_add_groups
from mpc_infer.preprocessing.masked_requests import MaskedRequest
from mpc_infer.preprocessing.masked_views import VIEWS, apply_view, ring_word

SEARCH = settings(max_examples=80, deadline=None, derandomize=True)
RANDOM = np.random.default_rng(4)


def ring(*shape):
    return RANDOM.integers(0, 1 << 64, shape, dtype=np.uint64)


LINEAR = [
    (MaskedRequest("sum", (0, 1), (2, 3, 4), (0, 1, -1)), [(2, 3, 4), (3, 1)]),
    (MaskedRequest("scale", (0,), (2, 3), (0, -5)), [(2, 3)]),
    (MaskedRequest("reshape", (0,), (6, 1), (0,)), [(2, 3)]),
    (MaskedRequest("permute", (0,), (4, 2, 3), (0, 2, 0, 1)), [(2, 3, 4)]),
    (MaskedRequest("slice", (0,), (2, 2), (0, 1, 1, 5, 2)), [(2, 6)]),
    (MaskedRequest("concat", (0, 1), (2, 5), (0, 1)), [(2, 2), (2, 3)]),
    (MaskedRequest("reduce", (0,), (2, 4), (0, 1)), [(2, 3, 4)]),
    (MaskedRequest("patches", (0,), (1, 2, 4, 4), (0, 2, 2, 1, 1, 1, 1, 0, 0, 2, 2, 0)), [(1, 2, 3, 3)]),
    (MaskedRequest("patches", (0,), (1, 2, 9, 9), (0, 3, 3, 1, 1, 1, 1, 1, 1, 3, 3, 1)), [(1, 2, 3, 3)]),
]


def test_every_linear_map_is_here():
    assert {request.op for request, _ in LINEAR} | {"shift"} == VIEWS.keys()


@pytest.mark.parametrize(("request_", "shapes"), LINEAR, ids=[request.op for request, _ in LINEAR])
def test_a_map_of_a_sum_is_the_sum_of_the_maps(request_, shapes):
    left, right = [ring(*shape) for shape in shapes], [ring(*shape) for shape in shapes]
    whole = apply_view(request_, [one + other for one, other in zip(left, right, strict=True)])
    assert whole.shape == request_.shape
    assert (whole == apply_view(request_, left) + apply_view(request_, right)).all()
    out = np.zeros(request_.shape, np.uint64)
    assert (apply_view(request_, left, out) == apply_view(request_, left)).all()


def test_negative_numbers_in_the_ring():
    assert ring_word(-1) == np.uint64(2**64 - 1)
    assert ring_word(2**64 + 3) == 3


def window(image, y, x, params):
    """One window of one channel, pixel by pixel; None where nothing is."""
    kh, kw, sh, sw, dh, dw, top, left, _, _, _ = params
    rows, columns = (
        [first + i * step for i in range(n)] for first, n, step in ((y * sh - top, kh, dh), (x * sw - left, kw, dw))
    )
    inside = [[r for r in rows if 0 <= r < image.shape[0]], [c for c in columns if 0 <= c < image.shape[1]]]
    return rows, columns, inside


@SEARCH
@given(data=st.data())
def test_patches_against_loops(data):
    size = [data.draw(st.integers(1, 6)) for _ in range(2)]
    kernel, stride, dilation = ([data.draw(st.integers(1, most)) for _ in range(2)] for most in (4, 3, 3))
    before = [data.draw(st.integers(0, 4)) for _ in range(2)]
    counts = [data.draw(st.integers(1, 5)) for _ in range(2)]
    repeat = data.draw(st.integers(0, 1))
    params = (*kernel, *stride, *dilation, *before, *counts, repeat)
    request = MaskedRequest("patches", (0,), (1, 1, kernel[0] * kernel[1], counts[0] * counts[1]), (0, *params))
    image = ring(1, 1, *size) | np.uint64(1)
    # Whatever stands around the result stays as it is.
    room = np.full(request.size + 64, 7, np.uint64)
    out = room[32:-32].reshape(request.shape)
    out[:] = 0
    found = apply_view(request, [image], out).reshape(*kernel, *counts)
    assert (room[:32] == 7).all()
    assert (room[-32:] == 7).all()
    for y in range(counts[0]):
        for x in range(counts[1]):
            rows, columns, (lines, places) = window(image[0, 0], y, x, params)
            for i, row in enumerate(rows):
                for j, column in enumerate(columns):
                    pixel = found[i, j, y, x]
                    if row in lines and column in places:
                        assert pixel == image[0, 0, row, column]
                    elif repeat and lines and places:
                        # Some pixel of the same window.
                        assert pixel in image[0, 0][np.ix_(lines, places)]
                    else:
                        assert pixel == 0


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (1, 7, 3), (5, 4, 9), (3, 130, 2), (64, 9, 65)])
def test_products_add_up_modulo_2_64(rows, inner, columns):
    left, right, start = ring(rows, inner), ring(inner, columns), ring(rows, columns)
    out = start.copy()
    multiply_add(left, right, out)
    assert (out == start + left @ right).all()
    exact = (left.astype(object) @ right.astype(object) + start.astype(object)) % (1 << 64)
    assert (out.astype(object) == exact).all()


def test_products_of_many_matrices():
    left, right, out = ring(3, 4, 5), ring(3, 5, 6), ring(3, 4, 6)
    expected = out + left @ right
    multiply_add_batch(left, right, out)
    assert (out == expected).all()
    kernels, patches, out = ring(2, 4, 5), ring(3, 2, 5, 6), ring(3, 2, 4, 6)
    expected = out + kernels[None] @ patches
    multiply_add_groups(kernels, patches, out)
    assert (out == expected).all()
