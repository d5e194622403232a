"""Shape rules of convolutions and pools: images are (batch, channels, height, width)."""

from collections.abc import Mapping, Sequence

Shape = tuple[int | None, ...]
Attributes = Mapping[str, int | tuple[int, ...]]

WINDOW = frozenset({"strides", "pads", "dilations"})
"""``strides`` and ``dilations``: (rows, columns). ``pads``: (top, left, bottom, right)."""

MAX_WINDOW = 2**16


class WindowError(ValueError):
    """A window does not fit."""


def conv(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``Conv(x, W[out, in / group, kh, kw], b[out]?)``."""
    image, weight = inputs[0], inputs[1]
    group = attributes["group"]
    if len(image) != 4 or len(weight) != 4 or weight[0] is None or not isinstance(group, int) or group < 1:
        raise WindowError(f"{image} cannot be convolved with a weight of {weight}: two-dimensional images only")
    channels, sizes = image[1], weight[1:]
    if None in sizes or channels != group * (sizes[0] or 0) or weight[0] % group:
        raise WindowError(f"a weight of {weight} in {group} groups does not fit {channels} channels")
    if len(inputs) == 3 and inputs[2] != weight[:1]:
        raise WindowError(f"a bias of {inputs[2]} does not fit a weight of {weight}")
    return (image[0], weight[0], *output_size(image, (weight[2] or 0, weight[3] or 0), attributes))


def pool(inputs: Sequence[Shape], attributes: Attributes) -> Shape:
    """``MaxPool(x)`` and ``AveragePool(x)``: attribute ``kernel`` = (rows, columns)."""
    image, kernel = inputs[0], attributes["kernel"]
    if len(image) != 4 or not isinstance(kernel, tuple) or len(kernel) != 2:
        raise WindowError(f"{image} is not a two-dimensional image")
    return (*image[:2], *output_size(image, (kernel[0], kernel[1]), attributes))


def output_size(image: Shape, kernel: tuple[int, int], attributes: Attributes) -> tuple[int, int]:
    """Rows and columns of the result. Every window has a pixel of the image in it."""
    strides, pads, dilations = (attributes[key] for key in ("strides", "pads", "dilations"))
    if not (isinstance(strides, tuple) and isinstance(pads, tuple) and isinstance(dilations, tuple)):
        raise WindowError("strides, pads and dilations are lists")
    if (len(strides), len(pads), len(dilations)) != (2, 4, 2):
        raise WindowError("strides, pads and dilations are for two axes")
    rows, columns = (
        _axis(image[2 + axis] or 0, kernel[axis], strides[axis], dilations[axis], pads[axis], pads[2 + axis])
        for axis in (0, 1)
    )
    return rows, columns


def _axis(size: int, kernel: int, stride: int, dilation: int, before: int, after: int) -> int:
    if not 0 < kernel <= MAX_WINDOW or not 0 < stride <= MAX_WINDOW or not 0 < dilation <= MAX_WINDOW:
        raise WindowError("a window, stride or dilation is not positive, or too large")
    reach = (kernel - 1) * dilation + 1
    if not (0 <= before < reach and 0 <= after < reach) or size + before + after < reach:
        raise WindowError(f"a window of {reach} with pads {before} and {after} does not fit {size} pixels")
    return (size + before + after - reach) // stride + 1
