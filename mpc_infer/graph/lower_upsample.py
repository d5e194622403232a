"""Lowering of what makes images larger, or of another size."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.folding import check_size
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_linear import reals
from mpc_infer.graph.lower_pads import block_padded
from mpc_infer.graph.lower_spatial import conv_by, flat_node
from mpc_infer.graph.lower_views import last, part, permuted, picked, viewed
from mpc_infer.graph.lowering import Constant, Lowering, Sizes, Value, elements
from mpc_infer.graph.raw import RawNode, integer, integers, text
from mpc_infer.graph.shapes import ShapeError, across_rows

Rule = Callable[[Lowering, RawNode], Value | None]
Reals = NDArray[np.float64]
MAX_AXIS = 2**16
"""Elements of a new axis."""


def conv_transpose(low: Lowering, node: RawNode) -> Value:
    """A convolution, with the kernel turned round, of the image with zeros between its pixels and around it."""
    value, kernels = low.value(node.inputs[0]), reals(low.known(node.inputs[1], "weight"), node.inputs[1])
    rank = len(value.shape)
    if rank not in (3, 4) or kernels.ndim != rank or value.shape[0] != 1 or value.rows not in (0, None):
        raise ShapeError(f"{value.shape} is not one image of (channels, height, width) for each row")
    flat, group = flat_node(node, rank), integer(node, "group", 1)
    channels, sizes = value.shape[1], (1, *value.shape[2:])[-2:]
    image = viewed(low, value, (1, channels, *sizes))
    kernels = kernels if rank == 4 else kernels[:, :, None, :]
    strides, dilations = (integers(flat, key) or (1, 1) for key in ("strides", "dilations"))
    for axis, (before, after) in enumerate(_borders(flat, sizes, kernels.shape[2:], strides, dilations)):
        image = _with_zeros(low, image, axis + 2, strides[axis], before, after)
    turned = _turned(kernels, channels, group)
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    result = conv_by(low, image, Constant(f"{node.inputs[1]}:turned", turned), bias, dilations, group)
    return viewed(low, result, (1, turned.shape[0], *result.shape[6 - rank :]))


def _turned(kernels: Reals, channels: int, group: int) -> Reals:
    if kernels.shape[0] != channels or group < 1 or channels % group:
        raise ShapeError(f"a weight of {kernels.shape} in {group} groups does not fit {channels} channels")
    apart = kernels.reshape(group, channels // group, *kernels.shape[1:]).swapaxes(1, 2)
    return np.ascontiguousarray(apart.reshape(-1, *apart.shape[2:])[:, :, ::-1, ::-1])


def _borders(node: RawNode, sizes: Sizes, kernel: Sizes, strides: Sizes, dilations: Sizes) -> list[tuple[int, int]]:
    """Zeros before and after every axis."""
    more, pads = integers(node, "output_padding") or (0, 0), integers(node, "pads") or (0,) * 4
    wanted, mode = integers(node, "output_shape"), text(node, "auto_pad", "NOTSET")
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        wanted = wanted or tuple(size * stride for size, stride in zip(sizes, strides, strict=True))
    if min((*strides, *dilations)) < 1 or (len(more), len(pads), len(strides), len(dilations)) != (2, 4, 2, 2):
        raise ShapeError("its strides, dilations or pads do not fit its axes")
    found = []
    for axis, size in enumerate(sizes):
        reach = (kernel[axis] - 1) * dilations[axis]
        before, after = pads[axis], pads[axis + 2]
        if wanted is not None:
            total = strides[axis] * (size - 1) + more[axis] + reach + 1 - wanted[-2:][axis]
            half = total // 2
            before, after = (half, total - half) if mode == "SAME_UPPER" else (total - half, half)
        found.append((reach - before, reach - after + more[axis]))
    return found


def _with_zeros(low: Lowering, image: Value, axis: int, stride: int, before: int, after: int) -> Value:
    """Zeros between the elements of an axis, before and after them; where there are fewer than none, elements go."""
    size = image.shape[axis]
    if stride > 1 and size > 1:
        apart = viewed(low, image, (*image.shape[: axis + 1], 1, *image.shape[axis + 1 :]))
        wide = block_padded(low, apart, axis + 1, 0, stride - 1)
        image = viewed(low, wide, (*image.shape[:axis], size * stride, *image.shape[axis + 1 :]))
        image = part(low, image, axis, 0, (size - 1) * stride + 1)
    size = image.shape[axis]
    image = part(low, image, axis, max(-before, 0), size - max(-after, 0))
    return block_padded(low, image, axis, max(before, 0), max(after, 0))


def resize(low: Lowering, node: RawNode) -> Value:
    """Other sizes of axes: the nearest elements, or a product with what interpolates between two."""
    value, mode = low.value(node.inputs[0]), text(node, "mode", "nearest")
    if mode not in ("nearest", "linear") or integer(node, "antialias", 0) or integer(node, "exclude_outside", 0):
        raise ShapeError(f"mode {mode!r}, or one of its options, has no protocol; 'nearest' and 'linear' have")
    if text(node, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ShapeError("only the policy 'stretch' can be computed")
    for axis, size, scale in _targets(low, node, value.shape):
        if axis == value.rows:
            raise across_rows()
        places = _places(node, value.shape[axis], size, scale)
        if mode == "nearest":
            value = picked(low, value, axis, _nearest(node, places, value.shape[axis]))
        else:
            value = _interpolated(low, value, axis, places)
    return value


def _targets(low: Lowering, node: RawNode, shape: Sizes) -> list[tuple[int, int, float]]:
    """Axis, its new size, and the scale."""
    names = (*node.inputs, "", "", "", "")
    given = low.known(names[3] or names[2] or names[1], "sizes or scales").reshape(-1)
    axes = [axis % len(shape) for axis in integers(node, "axes") or range(len(shape))]
    if len(axes) != given.size or not np.isfinite(given.astype(np.float64)).all():
        raise ShapeError(f"{given.size} sizes or scales do not fit {len(axes)} axes")
    found = []
    for axis, number in zip(axes, given.tolist(), strict=True):
        size = int(number) if names[3] else int(np.floor(shape[axis] * number))
        check_size((max(size, 0), shape[axis]))
        if not 0 < size <= MAX_AXIS:
            raise ShapeError(f"it makes an axis of {size} elements; 1 to {MAX_AXIS} can be")
        if size != shape[axis]:
            found.append((axis, size, size / shape[axis] if names[3] else float(number)))
    return found


def _places(node: RawNode, old: int, new: int, scale: float) -> Reals:
    """Where each new element lies among the old ones."""
    mode, index = text(node, "coordinate_transformation_mode", "half_pixel"), np.arange(new, dtype=np.float64)
    if mode == "asymmetric":
        return index / scale
    if mode == "align_corners":
        # By the size that the scale gives, which need not be a whole number.
        return index * (old - 1) / (scale * old - 1) if new > 1 else index
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and new > 1):
        return (index + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(new)
    if mode == "half_pixel_symmetric":
        adjusted = new / (scale * old)
        return old / 2 * (1 - adjusted) + (index + 0.5) / scale - 0.5
    raise ShapeError(f"its coordinates {mode!r} have no protocol")


def _nearest(node: RawNode, places: Reals, old: int) -> list[int]:
    mode = text(node, "nearest_mode", "round_prefer_floor")
    rounding: Mapping[str, Callable[[Reals], Reals]] = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    if mode not in rounding:
        raise ShapeError(f"its nearest_mode {mode!r} is unknown")
    return [int(each) for each in np.clip(rounding[mode](places), 0, old - 1)]


def _interpolated(low: Lowering, value: Value, axis: int, places: Reals) -> Value:
    old, new = value.shape[axis], places.size
    inside = np.clip(places, 0, old - 1)
    left = np.minimum(np.floor(inside).astype(np.int64), max(old - 2, 0))
    matrix = np.zeros((old, new))
    matrix[left, np.arange(new)] = 1 - (inside - left)
    matrix[np.minimum(left + 1, old - 1), np.arange(new)] += inside - left
    moved, lead = last(low, value, (axis,))
    flat = low.reshape(moved.name, (None, elements(lead), old))
    made = low.emit(Op.LINEAR, (flat, low.weight(Constant(f"interpolation{matrix.shape}", matrix))))
    order = [place for place in range(len(value.shape)) if place != axis] + [axis]
    found = low.settle(made, (*lead, new), moved.rows)
    return permuted(low, found, tuple(order.index(place) for place in range(len(order))))


UPSAMPLES: Mapping[str, Rule] = {"ConvTranspose": conv_transpose, "Resize": resize}
"""ONNX operator: how it is lowered."""
