"""The oracle: a graph in fixed point on open values, without sharing. It says what every private engine must compute.

Products are exact integers, truncated by an exact floor: z >> f. A private engine may differ by one unit of 2^-f per
truncation. What would leave the range in which the engines' truncation is right (|z| < 2^62) is an error here, never a
wrap. Sigmoid is the real function of the decoded value, encoded again; engines approximate it.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from mpc_infer.engine.plain_functions import FUNCTIONS
from mpc_infer.engine.plain_range import Signed as _Signed
from mpc_infer.engine.plain_range import check_range, largest, product
from mpc_infer.engine.plain_spatial import SPATIAL
from mpc_infer.engine.plain_trees import tree_ensemble
from mpc_infer.errors import WrongShape
from mpc_infer.graph.ir import Graph, Node, infer_shapes
from mpc_infer.sharing.fixed import FRAC_BITS, Ring


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
        check_range(f"tensor {name!r}", largest(value))
    for node in graph.nodes:
        operands = [values[name] for name in node.inputs]
        result = _OPERATORS[node.op](node, operands, frac_bits)
        check_range(f"node {node.name!r} ({node.op})", largest(result))
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


def _linear(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    result = product(node, operands[0], operands[1], frac_bits)
    # Adding before or after the floor is the same: the bias is a whole number of units.
    return result + operands[2] if len(operands) == 3 else result


def _matmul(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    return product(node, operands[0], operands[1], frac_bits)


def _add(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    return operands[0] + operands[1]


def _sub(node: Node, operands: Sequence[_Signed], frac_bits: int) -> _Signed:
    return operands[0] - operands[1]


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
    **SPATIAL,
    **FUNCTIONS,
    "TreeEnsemble": tree_ensemble,
    "Flatten": _flatten,
    "Reshape": _reshape,
}
