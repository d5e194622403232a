"""Linear maps, as `OPERATIONS` lists them: they work alike on public values, on masks and on shares of either."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpc_infer.preprocessing.compiled import kernel
from mpc_infer.preprocessing.masked_requests import MaskedRequest

Words = NDArray[np.uint64]


def apply_view(request: MaskedRequest, arrays: Sequence[Words], out: Words | None = None) -> Words:
    """The result of a linear map.

    Args:
        request: checked, with an operation of `VIEWS`.
        arrays: the inputs' values, masks or shares.
        out: where to put it; zero where no pixel is. Without it the result may share memory with an input.
    """
    if out is not None and request.op == "patches":
        return _patches_into(request, arrays[0], out)
    found = VIEWS[request.op](request, arrays)
    if out is not None:
        np.copyto(out, found)
    return found


def ring_word(number: int) -> np.uint64:
    """A public integer as an element of the ring."""
    return np.uint64(number % (1 << 64))


def _sum(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    total = np.zeros(request.shape, dtype=np.uint64)
    for sign, array in zip(request.params[1:], arrays, strict=True):
        (np.add if sign > 0 else np.subtract)(total, array, out=total)
    return total


def _scale(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    return arrays[0] * ring_word(request.params[1])


def _shift(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    return arrays[0]


def _reshape(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    return arrays[0].reshape(request.shape)


def _permute(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    return np.ascontiguousarray(arrays[0].transpose(request.params[1:]))


def _slice(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    _, axis, start, stop, step = request.params
    index = (slice(None),) * axis + (slice(start, stop, step),)
    return np.ascontiguousarray(arrays[0][index])


def _concat(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    return np.concatenate(arrays, axis=request.params[1])


def _reduce(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    total: Words = np.add.reduce(arrays[0], axis=request.params[1])
    return total


def _patches(request: MaskedRequest, arrays: Sequence[Words]) -> Words:
    return _patches_into(request, arrays[0], np.zeros(request.shape, dtype=np.uint64))


def _patches_into(request: MaskedRequest, image: Words, out: Words) -> Words:
    kh, kw, sh, sw, dh, dw, top, left, height, width, repeat = request.params[1:]
    image = np.ascontiguousarray(image)
    _cut_patches(image, out.reshape(*image.shape[:2], kh, kw, height, width), sh, sw, dh, dw, top, left, repeat != 0)
    return out


@kernel()
def _inside(first: int, index: int, count: int, dilation: int, size: int, repeat: bool) -> int:
    # A position of a window on one axis, or -1 outside. When pixels repeat: the nearest position of the window inside.
    position = first + index * dilation
    if repeat:
        # As many steps as lead inside, but no further than to the window's last or first position.
        if position < 0:
            steps = min(count - 1 - index, (dilation - 1 - position) // dilation)
            index += steps
            position += steps * dilation
        if position >= size:
            position -= min(index, (position - size) // dilation + 1) * dilation
    return position if 0 <= position < size else -1


@kernel()
def _cut_row(pixels: Words, out: Words, first: int, last: int, sw: int, offset: int) -> None:
    if sw == 1:
        for x in range(first, last):
            out[x] = pixels[x + offset]
    else:
        for x in range(first, last):
            out[x] = pixels[x * sw + offset]


@kernel()
def _cut_edge(pixels: Words, out: Words, first: int, last: int, sw: int, left: int, j: int, kw: int, dw: int) -> None:
    for x in range(max(first, 0), last):
        column = _inside(x * sw - left, j, kw, dw, pixels.size, True)
        if column >= 0:
            out[x] = pixels[column]


@kernel("u8[:, :, :, ::1], u8[:, :, :, :, :, ::1], i8, i8, i8, i8, i8, i8, b1")
def _cut_patches(
    image: Words, out: Words, sh: int, sw: int, dh: int, dw: int, top: int, left: int, repeat: bool
) -> None:
    batch, channels, kh, kw, height, width = out.shape
    columns = image.shape[3]
    for b in range(batch):
        for c in range(channels):
            for i in range(kh):
                for j in range(kw):
                    # Window x has its pixel j inside the image for first <= x < last.
                    first = min(max(0, -((j * dw - left) // sw)), width)
                    last = min(width, (columns - 1 + left - j * dw) // sw + 1)
                    for y in range(height):
                        row = _inside(y * sh - top, i, kh, dh, image.shape[2], repeat)
                        if row >= 0:
                            _cut_row(image[b, c, row], out[b, c, i, j, y], first, last, sw, j * dw - left)
                            if repeat:
                                _cut_edge(image[b, c, row], out[b, c, i, j, y], 0, first, sw, left, j, kw, dw)
                                _cut_edge(image[b, c, row], out[b, c, i, j, y], last, width, sw, left, j, kw, dw)


VIEWS: Mapping[str, Callable[[MaskedRequest, Sequence[Words]], Words]] = {
    "sum": _sum,
    "scale": _scale,
    "shift": _shift,
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "concat": _concat,
    "reduce": _reduce,
    "patches": _patches,
}
"""How each linear map is computed. ``shift`` changes the public side only, which its callers do."""
