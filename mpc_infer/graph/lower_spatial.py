"""Lowering of convolutions and pools."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_linear import binary, reals
from mpc_infer.graph.lowering import Constant, Lowering, Sizes, Value, elements
from mpc_infer.graph.raw import RawNode, integer, integers, text
from mpc_infer.graph.shapes import ShapeError

MAX_PLACES = 2**24
"""Places of all windows along one axis."""
Rule = Callable[[Lowering, RawNode], Value | None]


@dataclass(frozen=True, slots=True)
class Window:
    """A window that moves over one axis.

    Attributes:
        size: of the axis.
        kernel, stride, dilation: of the window.
        before, after: pads as the file has them.
        extra: pads after these, so that the last window of a ``ceil_mode`` fits.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int
    extra: int

    @property
    def count(self) -> int:
        """Windows."""
        reach = (self.kernel - 1) * self.dilation + 1
        return (self.size + self.before + self.after + self.extra - reach) // self.stride + 1

    def inside(self, *, pads: bool) -> NDArray[np.float64]:
        """How many places of each window lie in the image, or in the image and its pads."""
        if self.count * self.kernel > MAX_PLACES:
            raise ShapeError("its windows have too many places")
        starts = np.arange(self.count)[:, None] * self.stride + np.arange(self.kernel) * self.dilation
        low, high = (0, self.before + self.size + self.after) if pads else (self.before, self.before + self.size)
        return np.asarray(((starts >= low) & (starts < high)).sum(axis=1), dtype=np.float64)


def windows(node: RawNode, sizes: Sizes, kernel: Sizes) -> list[Window]:
    """The windows of all axes.

    Raises:
        ShapeError: they do not fit.
    """
    count = len(sizes)
    strides, dilations = (integers(node, key) or (1,) * count for key in ("strides", "dilations"))
    pads, mode = integers(node, "pads") or (0,) * 2 * count, text(node, "auto_pad", "NOTSET")
    if (len(kernel), len(strides), len(dilations), len(pads)) != (count, count, count, 2 * count):
        raise ShapeError("its kernel, strides, dilations or pads do not fit its axes")
    if min((*kernel, *strides, *dilations), default=1) < 1 or min(pads, default=0) < 0:
        raise ShapeError("a window, stride or dilation is not positive, or a pad is negative")
    found = []
    for axis, size in enumerate(sizes):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        before, after = _pads(mode, size, reach, strides[axis], (pads[axis], pads[axis + count]))
        extra = _extra(node, size + before + after - reach, strides[axis], size + before)
        found.append(Window(size, kernel[axis], strides[axis], dilations[axis], before, after, extra))
    return found


def _pads(mode: str, size: int, reach: int, stride: int, given: tuple[int, int]) -> tuple[int, int]:
    if mode in ("NOTSET", ""):
        return given
    if mode == "VALID":
        return 0, 0
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        raise ShapeError(f"its auto_pad {mode!r} is unknown")
    needed = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return (needed // 2, needed - needed // 2) if mode == "SAME_UPPER" else (needed - needed // 2, needed // 2)


def _extra(node: RawNode, room: int, stride: int, end: int) -> int:
    if room < 0:
        raise ShapeError("its window is larger than the image")
    if not integer(node, "ceil_mode", 0) or room % stride == 0:
        return 0
    # A window that would begin after the image and the pads before it is left out.
    starts = (room // stride + 1) * stride
    return starts - room if starts < end else 0


def _attributes(found: list[Window]) -> dict[str, tuple[int, ...]]:
    pads = (*(each.before for each in found), *(each.after + each.extra for each in found))
    return {
        "strides": tuple(each.stride for each in found),
        "pads": pads,
        "dilations": tuple(each.dilation for each in found),
    }


def _image(low: Lowering, name: str) -> tuple[Value, str, Sizes]:
    """A value as (rows, channels, height, width); one-dimensional ones get a height of 1."""
    value = low.value(name)
    if len(value.shape) not in (3, 4) or value.shape[0] != 1 or value.rows not in (0, None):
        raise ShapeError(f"{value.shape} is not one image of (channels, height, width) for each row")
    channels, *sizes = value.shape[1:]
    height, width = sizes if len(sizes) == 2 else (1, sizes[0])
    return value, low.reshape(value.name, (None, channels, height, width)), (height, width)


def flat_node(node: RawNode, rank: int) -> RawNode:
    """The node as one on two axes."""
    if rank == 4:
        return node
    more = {"kernel_shape": (1,), "strides": (1,), "dilations": (1,), "output_padding": (0,), "output_shape": (1,)}
    attributes = dict(node.attributes)
    for key, first in more.items():
        values = integers(node, key)
        if values is not None:
            attributes[key] = (*first, *values)
    pads = integers(node, "pads")
    if pads is not None:
        attributes["pads"] = (0, *pads[:1], 0, *pads[1:])
    return RawNode(node.name, node.op, node.inputs, node.outputs, attributes)


def conv(low: Lowering, node: RawNode) -> Value:
    """Convolution of one or two axes."""
    value, image, sizes = _image(low, node.inputs[0])
    kernels = reals(low.known(node.inputs[1], "weight"), node.inputs[1])
    if kernels.ndim != len(value.shape):
        raise ShapeError(f"a weight of {kernels.shape} does not fit {value.shape}")
    flat = kernels if kernels.ndim == 4 else kernels[:, :, None, :]
    found = windows(flat_node(node, len(value.shape)), sizes, flat.shape[2:])
    inputs = [image, low.weight(Constant(node.inputs[1], flat))]
    if len(node.inputs) > 2 and node.inputs[2]:
        inputs.append(low.weight(Constant(node.inputs[2], reals(low.known(node.inputs[2], "bias"), node.inputs[2]))))
    name = low.emit(Op.CONV, tuple(inputs), {**_attributes(found), "group": integer(node, "group", 1)})
    return _framed(low, value, name, flat.shape[0], found)


def _framed(low: Lowering, value: Value, name: str, channels: int, found: list[Window]) -> Value:
    counts = tuple(each.count for each in found)
    return low.settle(name, (1, channels, *counts[4 - len(value.shape) :]), value.rows)


def conv_by(low: Lowering, image: Value, kernels: Constant, bias: str, dilations: tuple[int, ...], group: int) -> Value:
    """A convolution of an image (1, channels, height, width) without pads or strides."""
    inputs = [low.reshape(image.name, (None, *image.shape[1:])), low.weight(kernels)]
    if bias:
        inputs.append(low.weight(Constant(bias, reals(low.known(bias, "bias"), bias))))
    attributes: dict[str, int | tuple[int, ...]] = {
        "strides": (1, 1),
        "pads": (0, 0, 0, 0),
        "dilations": tuple(dilations),
        "group": group,
    }
    name = low.emit(Op.CONV, tuple(inputs), attributes)
    sizes = zip(image.shape[2:], kernels.array.shape[2:], dilations, strict=True)
    places = tuple(size - (kernel - 1) * dilation for size, kernel, dilation in sizes)
    return low.settle(name, (1, kernels.array.shape[0], *places), image.rows)


def max_pool(low: Lowering, node: RawNode) -> Value:
    """The largest of every window."""
    value, image, sizes = _image(low, node.inputs[0])
    flat = flat_node(node, len(value.shape))
    kernel = integers(flat, "kernel_shape") or ()
    found = windows(flat, sizes, kernel)
    name = low.emit(Op.MAX_POOL, (image,), {**_attributes(found), "kernel": kernel})
    return _framed(low, value, name, value.shape[1], found)


def average_pool(low: Lowering, node: RawNode) -> Value:
    """The mean of every window; where pads do not count, windows at the edge are weighed."""
    value, image, sizes = _image(low, node.inputs[0])
    flat = flat_node(node, len(value.shape))
    kernel = integers(flat, "kernel_shape") or ()
    found = windows(flat, sizes, kernel)
    name = low.emit(Op.AVERAGE_POOL, (image,), {**_attributes(found), "kernel": kernel})
    pads = bool(integer(node, "count_include_pad", 0))
    rows, columns = (each.inside(pads=pads) for each in found)
    result = _framed(low, value, name, value.shape[1], found)
    counted = rows[:, None] * columns
    if (counted == elements(kernel)).all():
        return result
    factor = elements(kernel) / counted
    weights = factor if len(value.shape) == 4 else factor[0]
    return binary(low, Op.MUL, result, Constant(f"{node.name}:edges", weights))


def _global(op: Op) -> Rule:
    def rule(low: Lowering, node: RawNode) -> Value:
        value, image, sizes = _image(low, node.inputs[0])
        name = low.emit(op, (image,), {**whole(), "kernel": sizes})
        return low.settle(name, (*value.shape[:2], *([1] * (len(value.shape) - 2))), value.rows)

    return rule


def whole() -> dict[str, tuple[int, ...]]:
    """Attributes of a window that does not move."""
    return {"strides": (1, 1), "pads": (0, 0, 0, 0), "dilations": (1, 1)}


SPATIAL: Mapping[str, Rule] = {
    "Conv": conv,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": _global(Op.AVERAGE_POOL),
    "GlobalMaxPool": _global(Op.MAX_POOL),
}
"""ONNX operator: how it is lowered."""
