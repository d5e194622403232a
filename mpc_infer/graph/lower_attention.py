"""Lowering of attention, as torch.onnx writes it from operator set 23 on."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.folding import check_size
from mpc_infer.graph.ir import Op
from mpc_infer.graph.lower_functions import applied
from mpc_infer.graph.lower_linear import LOWEST_MASK, binary, expanded, scalar
from mpc_infer.graph.lower_matrices import matrices
from mpc_infer.graph.lower_norm import softmax_last
from mpc_infer.graph.lower_views import permuted, viewed
from mpc_infer.graph.lowering import Constant, Lowering, Value
from mpc_infer.graph.raw import RawNode, integer, number
from mpc_infer.graph.shapes import ShapeError

Rule = Callable[[Lowering, RawNode], Value | None]
CACHE = "export the model without a cache of keys and values"


def attention(low: Lowering, node: RawNode) -> Value:
    """softmax(Q Kᵀ scale + mask) V, for all heads."""
    if any(node.inputs[4:]):
        raise ShapeError("it has a cache", CACHE)
    heads, groups = integer(node, "q_num_heads", 0), integer(node, "kv_num_heads", 0)
    given = low.value(node.inputs[0])
    query, key, value = (
        _by_heads(low, low.value(name), count)
        for name, count in zip(node.inputs[:3], (heads, groups, groups), strict=True)
    )
    key, value = (_repeated(low, each, query.shape[1]) for each in (key, value))
    scale = number(node, "scale", 1.0 / np.sqrt(query.shape[-1]))
    query = query if scale == 1.0 else binary(low, Op.MUL, query, scalar(scale))
    scores = _capped(low, node, matrices(low, query, permuted(low, key, (0, 1, 3, 2))))
    result = matrices(low, softmax_last(low, _masked(low, node, scores)), value)
    if len(given.shape) == 4:
        return result
    rows, count, places, width = result.shape
    return viewed(low, permuted(low, result, (0, 2, 1, 3)), (rows, places, count * width))


def _by_heads(low: Lowering, value: Value, heads: int) -> Value:
    """[rows, heads, places, width]."""
    if len(value.shape) == 4:
        return value
    if len(value.shape) != 3 or heads < 1 or value.shape[2] % heads:
        raise ShapeError(f"{heads} heads do not fit {value.shape}")
    rows, places, width = value.shape
    return permuted(low, viewed(low, value, (rows, places, heads, width // heads)), (0, 2, 1, 3))


def _repeated(low: Lowering, value: Value, heads: int) -> Value:
    """Keys or values of fewer heads, each for several queries."""
    rows, count, places, width = value.shape
    if count == heads:
        return value
    if heads % count:
        raise ShapeError(f"{count} heads of keys do not fit {heads} of queries")
    apart = viewed(low, value, (rows, count, 1, places, width))
    return viewed(low, expanded(low, apart, (rows, count, heads // count, places, width)), (rows, heads, places, width))


def _capped(low: Lowering, node: RawNode, scores: Value) -> Value:
    cap = number(node, "softcap", 0.0)
    if cap <= 0.0:
        return scores
    inner = applied(low, Op.TANH, binary(low, Op.MUL, scores, scalar(1.0 / cap)))
    return binary(low, Op.MUL, inner, scalar(cap))


def _masked(low: Lowering, node: RawNode, scores: Value) -> Value:
    """Scores and masks; what is masked gets what makes a zero."""
    name, size = node.inputs[3] if len(node.inputs) > 3 else "", scores.shape[-2:]
    bias = _windows(node, size)
    if name and name not in low.constants:
        if low.is_whole(low.value(name), truth=True):
            raise ShapeError("its mask of truth values must be a constant", "add a mask of numbers")
        scores = binary(low, Op.ADD, scores, low.value(name))
    elif name:
        bias = bias + _constant_mask(low.constants[name], size[1])
    if not bias.any():
        return scores
    if np.isneginf(bias).all(axis=-1).any():
        raise ShapeError("its mask leaves nothing to a place", "leave the place out")
    return binary(low, Op.ADD, scores, Constant(f"{node.name}:mask", np.maximum(bias, LOWEST_MASK)))


def _windows(node: RawNode, size: tuple[int, ...]) -> NDArray[np.float64]:
    """-infinity where a place may not look."""
    check_size(size)
    behind = np.arange(size[0])[:, None] - np.arange(size[1])
    left, right = (integer(node, key, -1) for key in ("left_window_size", "right_window_size"))
    seen = np.ones(behind.shape, bool) if not integer(node, "is_causal", 0) else behind >= 0
    seen &= (behind <= left) | (left < 0)
    seen &= (-behind <= right) | (right < 0)
    return np.where(seen, 0.0, -np.inf)


def _constant_mask(mask: NDArray[np.generic], width: int) -> NDArray[np.float64]:
    """Numbers, or whether a place is seen; what is missing at the end is not."""
    numbers = np.asarray(mask, np.float64)
    if not np.issubdtype(mask.dtype, np.floating):
        numbers = np.where(numbers != 0, 0.0, -np.inf)
    missing = [(0, 0)] * (numbers.ndim - 1) + [(0, width - numbers.shape[-1])]
    return np.pad(numbers, missing, constant_values=-np.inf)


ATTENTION: Mapping[str, Rule] = {"Attention": attention}
"""ONNX operator: how it is lowered."""
