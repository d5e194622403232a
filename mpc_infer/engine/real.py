"""What a graph means: every operator as the real function, in float64, on weights and inputs as they were given.

The truth that fixed point is measured against; nothing here is rounded to units.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.forest import SMALL_BITS
from mpc_infer.graph.functions import CONSTANT_BITS
from mpc_infer.graph.ir import Graph, Node
from mpc_infer.graph.windows import grouped, numbers, windows

Reals = NDArray[np.float64]
Operator = Callable[[Node, Sequence[Reals]], Reals]
_erf = np.vectorize(math.erf, otypes=[np.float64])


def run_real(graph: Graph, weights: Mapping[str, Reals], inputs: Mapping[str, Reals]) -> dict[str, Reals]:
    """Evaluate a graph in float64.

    Args:
        weights, inputs: by name, in the graph's shapes, rows on axis 0 of inputs.

    Returns:
        The outputs by name.
    """
    values = {name: np.asarray(value, dtype=np.float64) for name, value in {**weights, **inputs}.items()}
    for node in graph.nodes:
        values[node.outputs[0]] = OPERATORS[str(node.op)](node, [values[name] for name in node.inputs])
    return {spec.name: values[spec.name] for spec in graph.outputs}


def _constant(node: Node, key: str) -> float:
    return numbers(node, key)[0] / 2.0**CONSTANT_BITS


def _linear(node: Node, x: Sequence[Reals]) -> Reals:
    return x[0] @ x[1] + (x[2] if len(x) == 3 else 0.0)


def _conv(node: Node, x: Sequence[Reals]) -> Reals:
    flat, kernels = grouped(node, x[0], x[1])
    size = windows(node, x[0][:1, :1], x[1].shape[2:], fill=0).shape[-2:]
    bias = x[2][:, None, None] if len(x) == 3 else 0.0
    return np.asarray((kernels @ flat).reshape(x[0].shape[0], x[1].shape[0], *size) + bias)


def _max_pool(node: Node, x: Sequence[Reals]) -> Reals:
    return np.asarray(windows(node, x[0], numbers(node, "kernel"), fill=-np.inf).max(axis=2))


def _average_pool(node: Node, x: Sequence[Reals]) -> Reals:
    return np.asarray(windows(node, x[0], numbers(node, "kernel"), fill=0.0).mean(axis=2))


def _softmax(node: Node, x: Sequence[Reals]) -> Reals:
    powers = np.exp(x[0] - x[0].max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _layer_norm(node: Node, x: Sequence[Reals]) -> Reals:
    centred = x[0] - x[0].mean(axis=-1, keepdims=True)
    variance = (centred**2).mean(axis=-1, keepdims=True) + _constant(node, "epsilon")
    # A constant row without an epsilon is normalised to zero.
    root = np.sqrt(np.where(variance > 0, variance, 1.0))
    return np.asarray(centred / root * x[1] + x[2])


def _slice(node: Node, x: Sequence[Reals]) -> Reals:
    axis, start, stop, step = (numbers(node, key)[0] for key in ("axis", "start", "stop", "step"))
    return x[0][(slice(None),) * axis + (slice(start, stop, step),)]


def _tree_ensemble(node: Node, x: Sequence[Reals]) -> Reals:
    data, features, thresholds, paths, misses, leaves = x
    bits = (data @ features * 2.0**SMALL_BITS + thresholds >= 0).astype(np.float64)
    trees, _, decisions = paths.shape
    wrong = paths @ bits.reshape(len(data), trees, decisions).transpose(1, 2, 0) + misses[:, :, None]
    return np.asarray(
        (wrong == 0).transpose(2, 0, 1).reshape(len(data), -1) @ leaves / 2.0 ** numbers(node, "extra")[0]
    )


OPERATORS: Mapping[str, Operator] = {
    "Linear": _linear,
    "MatMul": lambda node, x: x[0] @ x[1],
    "Add": lambda node, x: x[0] + x[1],
    "Sub": lambda node, x: x[0] - x[1],
    "Mul": lambda node, x: x[0] * x[1],
    "Conv": _conv,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Relu": lambda node, x: np.maximum(x[0], 0.0),
    "Abs": lambda node, x: np.abs(x[0]),
    "Step": lambda node, x: (x[0] >= 0).astype(np.float64),
    "LeakyRelu": lambda node, x: np.where(x[0] >= 0, x[0], x[0] * _constant(node, "alpha")),
    "Clip": lambda node, x: np.clip(x[0], _constant(node, "low"), _constant(node, "high")),
    "Max": lambda node, x: np.maximum(x[0], x[1]),
    "Min": lambda node, x: np.minimum(x[0], x[1]),
    # tanh does not overflow where exp would.
    "Sigmoid": lambda node, x: 0.5 + 0.5 * np.tanh(0.5 * x[0]),
    "Tanh": lambda node, x: np.tanh(x[0]),
    "Erf": lambda node, x: _erf(x[0]),
    "Gelu": lambda node, x: 0.5 * x[0] * (1.0 + _erf(x[0] / math.sqrt(2.0))),
    "Silu": lambda node, x: 0.5 * x[0] * (1.0 + np.tanh(0.5 * x[0])),
    "Softplus": lambda node, x: np.logaddexp(0.0, x[0]),
    "Exp": lambda node, x: np.exp(x[0]),
    "Reciprocal": lambda node, x: 1.0 / x[0],
    "Rsqrt": lambda node, x: 1.0 / np.sqrt(x[0]),
    "Softmax": _softmax,
    "LayerNorm": _layer_norm,
    "ArgMax": lambda node, x: x[0].argmax(axis=-1).astype(np.float64),
    "TreeEnsemble": _tree_ensemble,
    "Transpose": lambda node, x: x[0].transpose(numbers(node, "perm")),
    "Slice": _slice,
    "Concat": lambda node, x: np.concatenate(x, axis=numbers(node, "axis")[0]),
    "Flatten": lambda node, x: x[0].reshape(len(x[0]), -1),
    "Reshape": lambda node, x: x[0].reshape(len(x[0]), *numbers(node, "shape")[1:]),
}
"""Operator: what it means."""
