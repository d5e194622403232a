"""The oracle's convolutions and pools."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mpc_infer.engine.plain_range import Signed, check_range, largest, product
from mpc_infer.graph.ir import Node
from mpc_infer.graph.spatial import output_size
from mpc_infer.graph.windows import grouped, numbers, windows


def _conv(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    flat, weight = grouped(node, operands[0], operands[1])
    rows, columns = output_size((None, *operands[0].shape[1:]), _kernel(operands[1]), node.attributes)
    result = product(node, weight, flat, frac_bits).reshape(operands[0].shape[0], -1, rows, columns)
    return result + operands[2][:, None, None] if len(operands) == 3 else result


def _kernel(weight: Signed) -> tuple[int, int]:
    return weight.shape[2], weight.shape[3]


def _max_pool(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    lowest = int(np.iinfo(np.int64).min)
    return np.asarray(windows(node, operands[0], numbers(node, "kernel"), fill=lowest).max(axis=2))


def _average_pool(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    kernel = numbers(node, "kernel")
    sums = windows(node, operands[0], kernel, fill=0).sum(axis=2)
    factor = round(2**frac_bits / (kernel[0] * kernel[1]))
    check_range(f"node {node.name!r} ({node.op})", float(factor) * largest(sums))
    return np.asarray((sums * factor) >> frac_bits)


SPATIAL: Mapping[str, Callable[[Node, Sequence[Signed], int], Signed]] = {
    "Conv": _conv,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
}
