"""The oracle's functions. What engines approximate is here the real function of the decoded value, encoded again."""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mpc_infer.engine.plain_range import Signed, check_range, largest
from mpc_infer.errors import NotFinite
from mpc_infer.graph.functions import constant_units
from mpc_infer.graph.ir import Node
from mpc_infer.graph.windows import numbers
from mpc_infer.sharing.fixed import decode

Reals = NDArray[np.float64]
LARGEST = 2.0**30
_erf = np.vectorize(math.erf, otypes=[np.float64])


def _real(function: Callable[[Node, Sequence[Reals]], Reals]) -> Callable[[Node, Sequence[Signed], int], Signed]:
    def evaluate(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
        reals = [decode(operand.view(np.uint64), frac_bits=frac_bits) for operand in operands]
        # Gelu and others pass on what they read, which may be larger than an input.
        values = np.clip(function(node, reals), -LARGEST, LARGEST)
        if np.isnan(values).any():
            raise NotFinite(f"node {node.name!r} ({node.op}) has no value for a row")
        return np.rint(values * 2.0**frac_bits).astype(np.int64)

    return evaluate


def _softmax(node: Node, operands: Sequence[Reals]) -> Reals:
    exps = np.exp(operands[0] - operands[0].max(axis=-1, keepdims=True))
    return np.asarray(exps / exps.sum(axis=-1, keepdims=True))


def _layer_norm(node: Node, operands: Sequence[Reals]) -> Reals:
    x = operands[0] - operands[0].mean(axis=-1, keepdims=True)
    variance = (x * x).mean(axis=-1, keepdims=True) + numbers(node, "epsilon")[0] / 2**32
    return np.asarray(x / np.sqrt(variance) * operands[1] + operands[2])


def _relu(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    return np.maximum(operands[0], 0)


def _leaky_relu(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    alpha, x = constant_units(node.attributes["alpha"], frac_bits), operands[0]
    return np.where(x >= 0, x, (x * alpha) >> frac_bits)


def _clip(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    low, high = (constant_units(node.attributes[key], frac_bits) for key in ("low", "high"))
    return np.clip(operands[0], low, high)


def _multiply(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    check_range(f"node {node.name!r} ({node.op})", float(largest(operands[0])) * largest(operands[1]))
    return (operands[0] * operands[1]) >> frac_bits


def _arg_max(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    return np.asarray(operands[0].argmax(axis=-1), dtype=np.int64) << frac_bits


def _transpose(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    return np.ascontiguousarray(operands[0].transpose(numbers(node, "perm")))


def _slice(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    axis, start, stop, step = (numbers(node, key)[0] for key in ("axis", "start", "stop", "step"))
    return np.ascontiguousarray(operands[0][(slice(None),) * axis + (slice(start, stop, step),)])


def _concat(node: Node, operands: Sequence[Signed], frac_bits: int) -> Signed:
    return np.concatenate(operands, axis=numbers(node, "axis")[0])


FUNCTIONS: Mapping[str, Callable[[Node, Sequence[Signed], int], Signed]] = {
    "Relu": _relu,
    "LeakyRelu": _leaky_relu,
    "Clip": _clip,
    "Abs": lambda node, operands, frac_bits: np.abs(operands[0]),
    "Step": lambda node, operands, frac_bits: (operands[0] >= 0).astype(np.int64) << frac_bits,
    "Max": lambda node, operands, frac_bits: np.maximum(operands[0], operands[1]),
    "Min": lambda node, operands, frac_bits: np.minimum(operands[0], operands[1]),
    "Mul": _multiply,
    "ArgMax": _arg_max,
    "Transpose": _transpose,
    "Slice": _slice,
    "Concat": _concat,
    # tanh does not overflow where exp would.
    "Sigmoid": _real(lambda node, x: 0.5 * (1.0 + np.tanh(0.5 * x[0]))),
    "Tanh": _real(lambda node, x: np.tanh(x[0])),
    "Erf": _real(lambda node, x: _erf(x[0])),
    "Gelu": _real(lambda node, x: 0.5 * x[0] * (1.0 + _erf(x[0] / math.sqrt(2.0)))),
    "Silu": _real(lambda node, x: 0.5 * x[0] * (1.0 + np.tanh(0.5 * x[0]))),
    "Softplus": _real(lambda node, x: np.logaddexp(0.0, x[0])),
    "Exp": _real(lambda node, x: np.exp(np.minimum(x[0], 11.0))),
    "Reciprocal": _real(lambda node, x: 1.0 / np.where(x[0] == 0.0, 2.0**-16, x[0])),
    "Rsqrt": _real(lambda node, x: 1.0 / np.sqrt(np.maximum(x[0], 2.0**-16))),
    "Softmax": _real(_softmax),
    "LayerNorm": _real(_layer_norm),
}
