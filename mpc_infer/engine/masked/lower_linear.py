"""Lowering of products, sums and changes of shape."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Builder, Form, Shape, Tensor
from mpc_infer.engine.masked.program import Role, Slot
from mpc_infer.graph.ir import Node

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering


def bias_share(builder: Builder, name: str, shape: Shape, *, wide: bool) -> int:
    """A weight that is added: as a share with f or 2 f fractional bits."""
    return builder.slot(Slot(Role.BIAS, name, shape, shift=builder.frac_bits if wide else 0))


def linear(lowering: "Lowering", node: Node) -> Tensor:
    """x W + b on the last axis."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    shape = lowering.shapes[node.outputs[0]]
    weight = builder.slot(Slot(Role.WEIGHT, node.inputs[1], lowering.shapes[node.inputs[1]]))
    product = builder.add("linear", (builder.masked(data), weight), shape, (data.shape[-1],))
    if len(node.inputs) == 3:
        bias = bias_share(builder, node.inputs[2], shape[-1:], wide=True)
        product = builder.total((product, bias), (1, 1), shape)
    return Tensor(shape, {Form.WIDE_SHARE: product})


def conv(lowering: "Lowering", node: Node) -> Tensor:
    """Convolution: patches of the image, times the kernels."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    shape, kernel = lowering.shapes[node.outputs[0]], lowering.shapes[node.inputs[1]]
    groups = int(node.attributes["group"])  # type: ignore[arg-type]
    pixels, inner = math.prod(shape[2:]), math.prod(kernel[1:])
    patches = windows(builder, builder.masked(data), node, kernel[2:], shape[2:], repeat=False)
    columns = builder.reshape(patches, (shape[0], groups, inner, pixels))
    weight = builder.slot(Slot(Role.WEIGHT, node.inputs[1], (groups, kernel[0] // groups, inner)))
    product = builder.add("apply", (columns, weight), (shape[0], groups, kernel[0] // groups, pixels), (inner,))
    product = builder.reshape(product, shape)
    if len(node.inputs) == 3:
        bias = bias_share(builder, node.inputs[2], (kernel[0], 1, 1), wide=True)
        product = builder.total((product, bias), (1, 1), shape)
    return Tensor(shape, {Form.WIDE_SHARE: product})


def windows(builder: Builder, image: int, node: Node, kernel: Shape, output: Shape, *, repeat: bool) -> int:
    """The windows of a convolution or a pool: [b, c, kh kw, oh ow]."""
    strides, dilations, pads = (_numbers(node, key) for key in ("strides", "dilations", "pads"))
    batch, channels = builder.shape(image)[:2]
    shape = (batch, channels, math.prod(kernel), math.prod(output))
    if kernel == (1, 1) and strides == (1, 1) and not any(pads):
        return builder.reshape(image, shape)
    params = (*kernel, *strides, *dilations, *pads[:2], *output, int(repeat))
    return builder.view("patches", (image,), shape, params)


def _numbers(node: Node, key: str) -> Shape:
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
    form, numbers = _common_form(lowering, node)
    return Tensor(shape, {form: builder.total(numbers, (1, sign), shape)})


def _common_form(lowering: "Lowering", node: Node) -> tuple[Form, list[int]]:
    # Where one side waits to be truncated, the other joins it. Two opened tensors are added in the open.
    builder = lowering.builder
    tensors = [lowering.tensor(name) for name in node.inputs if not lowering.is_weight(name)]
    wide = any({Form.WIDE_MASKED, Form.WIDE_SHARE} >= set(tensor.forms) for tensor in tensors)
    if len(tensors) == 2 and all(Form.MASKED in tensor.forms for tensor in tensors):
        return Form.MASKED, [builder.masked(tensor) for tensor in tensors]
    numbers = []
    for name in node.inputs:
        if lowering.is_weight(name):
            numbers.append(bias_share(builder, name, lowering.shapes[name], wide=wide))
        else:
            tensor = lowering.tensor(name)
            numbers.append(builder.wide_share(tensor) if wide else builder.share(tensor))
    return (Form.WIDE_SHARE if wide else Form.SHARE), numbers


def matmul(lowering: "Lowering", node: Node) -> Tensor:
    """Product of two computed tensors, or of a computed one and a weight."""
    left, right = node.inputs
    if lowering.is_weight(left) or lowering.is_weight(right):
        return _matmul_weight(lowering, node)
    builder, shape = lowering.builder, lowering.shapes[node.outputs[0]]
    a, b = (builder.masked(lowering.tensor(name)) for name in (left, right))
    return Tensor(shape, {Form.WIDE_SHARE: builder.add("matmul", (a, b), shape, (builder.shape(a)[-1],))})


def _matmul_weight(lowering: "Lowering", node: Node) -> Tensor:
    builder, shape = lowering.builder, lowering.shapes[node.outputs[0]]
    left, right = node.inputs
    if lowering.is_weight(right):
        inner = lowering.shapes[right]
        data = builder.masked(lowering.tensor(left))
        weight = builder.slot(Slot(Role.WEIGHT, right, inner))
        return Tensor(shape, {Form.WIDE_SHARE: builder.add("linear", (data, weight), shape, (inner[0],))})
    inner = lowering.shapes[left]
    data = builder.masked(lowering.tensor(right))
    batch, rows, columns = math.prod(shape[:-2]), builder.shape(data)[-2], shape[-1]
    weight = builder.slot(Slot(Role.WEIGHT, left, (1, *inner[-2:])))
    flat = builder.reshape(data, (batch, 1, rows, columns))
    product = builder.add("apply", (flat, weight), (batch, 1, inner[-2], columns), (rows,))
    return Tensor(shape, {Form.WIDE_SHARE: builder.reshape(product, shape)})


def reshape(lowering: "Lowering", node: Node) -> Tensor:
    """The same elements in another shape, in the form in which they are known."""
    builder, tensor = lowering.builder, lowering.tensor(node.inputs[0])
    shape = lowering.shapes[node.outputs[0]]
    form = next(form for form in Form if form in tensor.forms)
    return Tensor(shape, {form: builder.reshape(tensor.forms[form], shape)})


LINEAR: Mapping[str, Callable[["Lowering", Node], Tensor]] = {
    "Linear": linear,
    "Conv": conv,
    "Add": add,
    "Sub": sub,
    "MatMul": matmul,
    "Flatten": reshape,
    "Reshape": reshape,
}
"""Operator: how it is lowered."""
