"""The oracle: a graph in fixed point on open values, without sharing. It says what every private engine must compute.

Products are exact integers, truncated by an exact floor: z >> f. A private engine may differ by one unit of 2^-f per
truncation. What would leave the range in which the engines' truncation is right (|z| < 2^62) is an error here, never a
wrap. Sigmoid is the real function of the decoded value, encoded again; engines approximate it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import OutOfRange, WrongShape
from mpc_infer.graph.ir import Graph, Node, infer_shapes
from mpc_infer.sharing.fixed import FRAC_BITS, Ring, decode, encode

RANGE_BITS = 62
_Signed = NDArray[np.int64]


def run_plain(
    graph: Graph, weights: Mapping[str, Ring], inputs: Mapping[str, Ring], frac_bits: int = FRAC_BITS
) -> dict[str, Ring]:
    """Evaluate a graph on encoded values.

    Args:
        weights: uint64 by name, in the graph's shapes, ``frac_bits`` fractional bits.
        inputs: uint64 by name, all with the same number of rows.

    Returns:
        The outputs by name, uint64, ``frac_bits`` fractional bits.

    Raises:
        WrongShape: a tensor is missing, unknown, or of another shape.
        OutOfRange: a value reaches 2^62 in absolute value; the message names the node or tensor.
    """
    values = {name: _signed(ring) for name, ring in {**weights, **inputs}.items()}
    _check_shapes(graph, values)
    for name, value in values.items():
        _check_range(f"tensor {name!r}", _largest(value))
    for node in graph.nodes:
        operands = [values[name] for name in node.inputs]
        result = _OPERATORS[node.op](node, operands, frac_bits)
        _check_range(f"node {node.name!r} ({node.op})", _largest(result))
        values[node.outputs[0]] = result
    return {spec.name: values[spec.name].view(np.uint64) for spec in graph.outputs}


def _signed(ring: Ring) -> _Signed:
    return np.ascontiguousarray(ring).view(np.int64).reshape(ring.shape)


def _check_shapes(graph: Graph, values: Mapping[str, _Signed]) -> None:
    first = values.get(graph.inputs[0].name)
    if first is None or first.ndim == 0:
        raise WrongShape(f"the input {graph.inputs[0].name!r} is missing, or has no rows")
    shapes = infer_shapes(graph, first.shape[0])
    expected = {spec.name: shapes[spec.name] for spec in (*graph.inputs, *graph.weights)}
    for name in expected.keys() | values.keys():
        found = values[name].shape if name in values else None
        if found != expected.get(name):
            raise WrongShape(f"tensor {name!r} has shape {found}, and should have {expected.get(name)}")


def _largest(value: _Signed) -> int:
    # In Python's integers, since -2^63 has no absolute value in 64 bits.
    return max(int(value.max(initial=0)), -int(value.min(initial=0)))


def _check_range(what: str, largest: float) -> None:
    if largest >= 2**RANGE_BITS:
        raise OutOfRange(f"{what} leaves the fixed-point range", remedy="rescale the model or its inputs")


def _product(node: Node, left: _Signed, right: _Signed, frac_bits: int) -> _Signed:
    # The sum of absolute values bounds every partial sum. Floats have room enough to judge it, and 1 % to spare.
    bound = np.abs(left.astype(np.float64)) @ np.abs(right.astype(np.float64))
    _check_range(f"node {node.name!r} ({node.op})", 1.01 * float(bound.max(initial=0.0)))
    return np.asarray((left @ right) >> frac_bits)


def _linear(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    product = _product(node, operands[0], operands[1], frac_bits)
    # Adding before or after the floor is the same: the bias is a whole number of units.
    return product + operands[2] if len(operands) == 3 else product


def _matmul(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    return _product(node, operands[0], operands[1], frac_bits)


def _add(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    return operands[0] + operands[1]


def _sub(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    return operands[0] - operands[1]


def _relu(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    return np.maximum(operands[0], 0)


def _sigmoid(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    reals = decode(operands[0].view(np.uint64), frac_bits=frac_bits)
    # tanh does not overflow where exp would.
    return _signed(encode(0.5 * (1.0 + np.tanh(0.5 * reals)), frac_bits=frac_bits))


def _conv(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    patches = windows(node, operands[0], operands[1].shape[2:], fill=0)
    groups, filters = int(str(node.attributes["group"])), operands[1].shape[0]
    batch, channels, rows, columns = (*patches.shape[:2], *patches.shape[-2:])
    flat = patches.reshape(batch, groups, channels // groups * patches.shape[2], rows * columns)
    weight = operands[1].reshape(groups, filters // groups, flat.shape[2])
    result = _product(node, weight, flat, frac_bits).reshape(batch, filters, rows, columns)
    return result + operands[2][:, None, None] if len(operands) == 3 else result


def _max_pool(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    lowest = int(np.iinfo(np.int64).min)
    return np.asarray(windows(node, operands[0], _pair(node), fill=lowest).max(axis=2))


def _average_pool(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    kernel = _pair(node)
    sums = windows(node, operands[0], kernel, fill=0).sum(axis=2)
    factor = round(2**frac_bits / (kernel[0] * kernel[1]))
    _check_range(node, factor * float(np.abs(sums).max(initial=0)))
    return np.asarray((sums * factor) >> frac_bits)


def _pair(node: Node) -> tuple[int, ...]:
    kernel = node.attributes["kernel"]
    return kernel if isinstance(kernel, tuple) else (kernel,)


def windows(node: Node, image: _Signed, kernel: tuple[int, ...], *, fill: int) -> _Signed:
    """The windows of a convolution or pool: (batch, channels, places in a window, rows, columns)."""
    (sh, sw), (dh, dw), pads = (node.attributes[key] for key in ("strides", "dilations", "pads"))  # type: ignore[misc]
    top, left, bottom, right = pads  # type: ignore[misc]
    padded = np.pad(image, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    reach = (dh * (kernel[0] - 1) + 1, dw * (kernel[1] - 1) + 1)
    views = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    picked = views[:, :, ::sh, ::sw, ::dh, ::dw]
    moved = picked.transpose(0, 1, 4, 5, 2, 3)
    return np.ascontiguousarray(moved).reshape(*image.shape[:2], -1, *picked.shape[2:4])


def _flatten(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    return operands[0].reshape(operands[0].shape[0], -1)


def _reshape(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    target = node.attributes["shape"]
    return operands[0].reshape(target)


_OPERATORS: Mapping[str, Callable[[Node, Sequence[_Signed], int], _Signed]] = {
    "Linear": _linear,
    "MatMul": _matmul,
    "Add": _add,
    "Sub": _sub,
    "Conv": _conv,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Relu": _relu,
    "Sigmoid": _sigmoid,
    "Flatten": _flatten,
    "Reshape": _reshape,
}
