"""Windows of images, for whoever computes on open values."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.ir import Node


def numbers(node: Node, key: str) -> tuple[int, ...]:
    """An attribute as a list."""
    value = node.attributes[key]
    return value if isinstance(value, tuple) else (value,)


def windows(node: Node, image: NDArray[Any], kernel: tuple[int, ...], *, fill: float) -> NDArray[Any]:
    """The windows of a convolution or pool: (batch, channels, places in a window, rows, columns)."""
    (sh, sw), (dh, dw) = numbers(node, "strides"), numbers(node, "dilations")
    top, left, bottom, right = numbers(node, "pads")
    padded = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    reach = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    picked = views[:, :, ::sh, ::sw, ::dh, ::dw]
    moved = picked.transpose(0, 1, 4, 5, 2, 3)
    return np.ascontiguousarray(moved).reshape(*image.shape[:2], -1, *picked.shape[2:4])


def grouped(node: Node, image: NDArray[Any], kernels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Patches (batch, groups, inner, places) and kernels (groups, filters, inner) whose product a convolution is."""
    patches = windows(node, image, kernels.shape[2:], fill=0)
    groups = numbers(node, "group")[0]
    batch, channels, places = *patches.shape[:2], patches.shape[-2] * patches.shape[-1]
    flat = patches.reshape(batch, groups, channels // groups * patches.shape[2], places)
    return flat, kernels.reshape(groups, kernels.shape[0] // groups, flat.shape[2])
