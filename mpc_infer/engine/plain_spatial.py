"""The oracle's convolutions and pools."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mpc_infer.engine.plain_range import Signed, check_range, largest, product
from mpc_infer.graph.ir import Node


def _conv(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    patches = windows(node, operands[0], operands[1].shape[2:], fill=0)
    groups, filters = numbers(node, "group")[0], operands[1].shape[0]
    batch, channels, rows, columns = (*patches.shape[:2], *patches.shape[-2:])
    flat = patches.reshape(batch, groups, channels // groups * patches.shape[2], rows * columns)
    weight = operands[1].reshape(groups, filters // groups, flat.shape[2])
    result = product(node, weight, flat, frac_bits).reshape(batch, filters, rows, columns)
    return result + operands[2][:, None, None] if len(operands) == 3 else result


def _max_pool(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    lowest = int(np.iinfo(np.int64).min)
    return np.asarray(windows(node, operands[0], numbers(node, "kernel"), fill=lowest).max(axis=2))


def _average_pool(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    kernel = numbers(node, "kernel")
    sums = windows(node, operands[0], kernel, fill=0).sum(axis=2)
    factor = round(2**frac_bits / (kernel[0] * kernel[1]))
    check_range(f"node {node.name!r} ({node.op})", float(factor) * largest(sums))
    return np.asarray((sums * factor) >> frac_bits)


def numbers(node: Node, key: str) -> tuple[int, ...]:
    """An attribute as a list."""
    value = node.attributes[key]
    return value if isinstance(value, tuple) else (value,)


def windows(node: Node, image: Signed, kernel: tuple[int, ...], *, fill: int) -> Signed:
    """The windows of a convolution or pool: (batch, channels, places in a window, rows, columns)."""
    (sh, sw), (dh, dw) = numbers(node, "strides"), numbers(node, "dilations")
    top, left, bottom, right = numbers(node, "pads")
    padded = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    reach = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    picked = views[:, :, ::sh, ::sw, ::dh, ::dw]
    moved = picked.transpose(0, 1, 4, 5, 2, 3)
    return np.ascontiguousarray(moved).reshape(*image.shape[:2], -1, *picked.shape[2:4])


SPATIAL: Mapping[str, Callable[[Node, Sequence[Signed], int], Signed]] = {
    "Conv": _conv,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
}
