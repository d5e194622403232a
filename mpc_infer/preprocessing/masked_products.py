"""Products of matrices over Z_2^64. Neither torch nor a BLAS has fast ones: torch reaches 0.5 G multiply-adds a second
on a core where these loops, compiled for vectors of four words, reach 4 to 5.
"""

import numpy as np
from numpy.typing import NDArray

from mpc_infer.preprocessing.compiled import kernel

Words = NDArray[np.uint64]
_ZERO = np.uint64(0)
FEW = 8
"""Columns from which vectors along them are better."""


@kernel("u8[:, ::1], u8[:, ::1], u8[:, ::1]")
def multiply_add(left: Words, right: Words, out: Words) -> None:
    """``out += left @ right`` for (m, k), (k, n), (m, n), all in C order.

    Four rows of the right factor stay in the nearest cache while every row of the result takes them in. A right factor
    of a few columns would leave vectors nearly empty: it is turned, so that they run along the inner axis.
    """
    rows, inner = left.shape
    columns = right.shape[1]
    if columns < FEW:
        turned = np.empty((columns, inner), dtype=np.uint64)
        for k in range(inner):
            for j in range(columns):
                turned[j, k] = right[k, j]
        for i in range(rows):
            for j in range(columns):
                total = _ZERO
                for k in range(inner):
                    total += left[i, k] * turned[j, k]
                out[i, j] += total
        return
    whole = inner - inner % 4
    for k in range(0, whole, 4):
        for i in range(rows):
            a0, a1, a2, a3 = left[i, k], left[i, k + 1], left[i, k + 2], left[i, k + 3]
            for j in range(columns):
                out[i, j] += a0 * right[k, j] + a1 * right[k + 1, j] + a2 * right[k + 2, j] + a3 * right[k + 3, j]
    for k in range(whole, inner):
        for i in range(rows):
            a0 = left[i, k]
            for j in range(columns):
                out[i, j] += a0 * right[k, j]


@kernel("u8[:, :, ::1], u8[:, :, :, ::1], u8[:, :, :, ::1]")
def multiply_add_groups(left: Words, right: Words, out: Words) -> None:
    """``out[b, g] += left[g] @ right[b, g]`` for (g, m, k), (b, g, k, n), (b, g, m, n): convolution by patches."""
    for b in range(right.shape[0]):
        for g in range(right.shape[1]):
            multiply_add(left[g], right[b, g], out[b, g])


@kernel("u8[:, :, ::1], u8[:, :, ::1], u8[:, :, ::1]")
def multiply_add_batch(left: Words, right: Words, out: Words) -> None:
    """``out[b] += left[b] @ right[b]``."""
    for b in range(left.shape[0]):
        multiply_add(left[b], right[b], out[b])
