"""Lowering of products, sums and changes of shape."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Builder, Shape, Tensor
from mpc_infer.engine.masked.lower_weights import bias_share, factor, times
from mpc_infer.graph.ir import Node

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering


def linear(lowering: "Lowering", node: Node) -> Tensor:
    """x W + b on the last axis."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    shape, weight = lowering.shapes[node.outputs[0]], node.inputs[1]
    product = times(lowering, "linear", factor(lowering, data, weight), weight, shape)
    if len(node.inputs) == 3:
        bias = bias_share(lowering, node.inputs[2], shape[-1:], wide=True)
        product = builder.total((product, bias), (1, 1), shape)
    return Tensor(shape, shares={builder.frac_bits: product})


def conv(lowering: "Lowering", node: Node) -> Tensor:
    """Convolution: patches of the image, times the kernels."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    shape, kernel = lowering.shapes[node.outputs[0]], lowering.shapes[node.inputs[1]]
    groups = numbers(node, "group")[0]
    pixels, inner = math.prod(shape[2:]), math.prod(kernel[1:])
    image = factor(lowering, data, node.inputs[1])
    patches = windows(builder, image, node, kernel[2:], shape[2:], repeat=False)
    columns = builder.reshape(patches, (shape[0], groups, inner, pixels))
    grouped, result = (groups, kernel[0] // groups, inner), (shape[0], groups, kernel[0] // groups, pixels)
    product = builder.reshape(times(lowering, "apply", columns, node.inputs[1], result, grouped), shape)
    if len(node.inputs) == 3:
        bias = bias_share(lowering, node.inputs[2], (kernel[0], 1, 1), wide=True)
        product = builder.total((product, bias), (1, 1), shape)
    return Tensor(shape, shares={builder.frac_bits: product})


def windows(builder: Builder, image: int, node: Node, kernel: Shape, output: Shape, *, repeat: bool) -> int:
    """The windows of a convolution or a pool: [b, c, kh kw, oh ow]."""
    strides, dilations, pads = (numbers(node, key) for key in ("strides", "dilations", "pads"))
    batch, channels = builder.shape(image)[:2]
    shape = (batch, channels, math.prod(kernel), math.prod(output))
    if kernel == (1, 1) and strides == (1, 1) and not any(pads):
        return builder.reshape(image, shape)
    params = (*kernel, *strides, *dilations, *pads[:2], *output, int(repeat))
    return builder.view("patches", (image,), shape, params)


def numbers(node: Node, key: str) -> Shape:
    """An attribute as a list."""
    value = node.attributes[key]
    return value if isinstance(value, tuple) else (value,)


def add(lowering: "Lowering", node: Node) -> Tensor:
    """Sum with broadcasting."""
    return _total(lowering, node, 1)


def sub(lowering: "Lowering", node: Node) -> Tensor:
    """Difference with broadcasting."""
    return _total(lowering, node, -1)


def _total(lowering: "Lowering", node: Node, sign: int) -> Tensor:
    builder, shape = lowering.builder, lowering.shapes[node.outputs[0]]
    tensors = [lowering.tensor(name) for name in node.inputs if not lowering.is_weight(name)]
    if len(tensors) == 2 and all(0 in tensor.opened for tensor in tensors):
        opened = [builder.masked(tensor) for tensor in tensors]
        return Tensor(shape, opened={0: builder.total(opened, (1, sign), shape)})
    # Where one side waits to be truncated, the other joins it.
    wide = any(builder.waits(tensor) for tensor in tensors)
    shares = [operand(lowering, name, wide=wide) for name in node.inputs]
    return Tensor(shape, shares={builder.frac_bits if wide else 0: builder.total(shares, (1, sign), shape)})


def operand(lowering: "Lowering", name: str, *, wide: bool) -> int:
    """A computed tensor or a weight as a share with f or 2 f fractional bits."""
    builder = lowering.builder
    if lowering.is_weight(name):
        return bias_share(lowering, name, lowering.shapes[name], wide=wide)
    tensor = lowering.tensor(name)
    return builder.wide(tensor) if wide else builder.share(tensor)


def matmul(lowering: "Lowering", node: Node) -> Tensor:
    """Product of two computed tensors, or of a computed one and a weight."""
    left, right = node.inputs
    if lowering.is_weight(left) or lowering.is_weight(right):
        return _matmul_weight(lowering, node)
    builder, shape = lowering.builder, lowering.shapes[node.outputs[0]]
    a, b = (builder.masked(lowering.tensor(name)) for name in (left, right))
    return Tensor(shape, shares={builder.frac_bits: builder.add("matmul", (a, b), shape, (builder.shape(a)[-1],))})


def _matmul_weight(lowering: "Lowering", node: Node) -> Tensor:
    builder, shape = lowering.builder, lowering.shapes[node.outputs[0]]
    left, right = node.inputs
    if lowering.is_weight(right):
        data = factor(lowering, lowering.tensor(left), right)
        return Tensor(shape, shares={builder.frac_bits: times(lowering, "linear", data, right, shape)})
    inner = lowering.shapes[left]
    data = factor(lowering, lowering.tensor(right), left)
    batch, rows, columns = math.prod(shape[:-2]), builder.shape(data)[-2], shape[-1]
    flat = builder.reshape(data, (batch, 1, rows, columns))
    product = times(lowering, "apply", flat, left, (batch, 1, inner[-2], columns), (1, *inner[-2:]))
    return Tensor(shape, shares={builder.frac_bits: builder.reshape(product, shape)})


def reshape(lowering: "Lowering", node: Node) -> Tensor:
    """The same elements in another shape, in the form in which they are known."""
    builder, tensor = lowering.builder, lowering.tensor(node.inputs[0])
    shape = lowering.shapes[node.outputs[0]]
    return _viewed(tensor, shape, lambda number: builder.reshape(number, shape))


def transpose(lowering: "Lowering", node: Node) -> Tensor:
    """The axes in another order."""
    builder, tensor = lowering.builder, lowering.tensor(node.inputs[0])
    shape = lowering.shapes[node.outputs[0]]
    axes = numbers(node, "perm")
    return _viewed(tensor, shape, lambda number: builder.view("permute", (number,), shape, axes))


def part(lowering: "Lowering", node: Node) -> Tensor:
    """Part of an axis."""
    builder, tensor = lowering.builder, lowering.tensor(node.inputs[0])
    axis, start, stop, step = (numbers(node, key)[0] for key in ("axis", "start", "stop", "step"))
    shape = lowering.shapes[node.outputs[0]]
    return _viewed(tensor, shape, lambda number: builder.part(number, axis, start, stop, step))


def concat(lowering: "Lowering", node: Node) -> Tensor:
    """One after the other on an axis: opened values if all are, else shares."""
    builder, shape = lowering.builder, lowering.shapes[node.outputs[0]]
    tensors, axis = [lowering.tensor(name) for name in node.inputs], numbers(node, "axis")[0]
    if all(0 in tensor.opened for tensor in tensors):
        return Tensor(shape, opened={0: builder.join([tensor.opened[0] for tensor in tensors], axis)})
    return Tensor(shape, shares={0: builder.join([builder.share(tensor) for tensor in tensors], axis)})


def _viewed(tensor: Tensor, shape: Shape, view: Callable[[int], int]) -> Tensor:
    # An opened value, if there is one, takes the fewest words with it.
    if tensor.opened:
        bits = min(tensor.opened)
        return Tensor(shape, opened={bits: view(tensor.opened[bits])})
    bits = min(tensor.shares)
    return Tensor(shape, shares={bits: view(tensor.shares[bits])})


def multiply(lowering: "Lowering", node: Node) -> Tensor:
    """Product, element by element."""
    builder, shape = lowering.builder, lowering.shapes[node.outputs[0]]
    weights = [name for name in node.inputs if lowering.is_weight(name)]
    tensors = [lowering.tensor(name) for name in node.inputs if name not in weights]
    if weights:
        data = factor(lowering, tensors[0], weights[0])
        return Tensor(shape, shares={builder.frac_bits: times(lowering, "weigh", data, weights[0], shape)})
    factors = [builder.masked(tensor) for tensor in tensors]
    return Tensor(shape, shares={builder.frac_bits: builder.add("multiply", factors, shape)})


LINEAR: Mapping[str, Callable[["Lowering", Node], Tensor]] = {
    "Linear": linear,
    "Conv": conv,
    "Add": add,
    "Sub": sub,
    "MatMul": matmul,
    "Mul": multiply,
    "Transpose": transpose,
    "Slice": part,
    "Concat": concat,
    "Flatten": reshape,
    "Reshape": reshape,
}
"""Operator: how it is lowered."""
