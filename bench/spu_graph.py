"""A graph of the benchmark in jax, which SPU compiles. Runs in SPU's own environment; imports nothing of ours."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def evaluate(graph: dict[str, Any], values: dict[str, Any]) -> Any:
    """Run a graph as its JSON says; the first output."""
    values = dict(values)
    for node in graph["nodes"]:
        operands = [values[name] for name in node["inputs"]]
        values[node["outputs"][0]] = OPERATORS[node["op"]](node["attributes"], *operands)
    return values[graph["outputs"][0]["name"]]


def _conv(a: dict[str, Any], x: Any, w: Any, b: Any = None) -> Any:
    (top, left, bottom, right), axes = a["pads"], ("NCHW", "OIHW", "NCHW")
    out = lax.conv_general_dilated(
        x,
        w,
        a["strides"],
        [(top, bottom), (left, right)],
        rhs_dilation=a["dilations"],
        dimension_numbers=axes,
        feature_group_count=a["group"],
    )
    return out if b is None else out + b.reshape(1, -1, 1, 1)


def _layer_norm(a: dict[str, Any], x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    return centred * lax.rsqrt(variance + a["epsilon"] / 2**32) * gamma + beta


def _max_pool(a: dict[str, Any], x: Any) -> Any:
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, *a["kernel"]), (1, 1, *a["strides"]), "VALID")


def _average_pool(a: dict[str, Any], x: Any) -> Any:
    total = lax.reduce_window(x, 0.0, lax.add, (1, 1, *a["kernel"]), (1, 1, *a["strides"]), "VALID")
    return total / (a["kernel"][0] * a["kernel"][1])


OPERATORS: dict[str, Any] = {
    "Linear": lambda a, x, w, b: x @ w + b,
    "Conv": _conv,
    "MatMul": lambda a, x, y: x @ y,
    "Add": lambda a, x, y: x + y,
    "Mul": lambda a, x, y: x * y,
    "Relu": lambda a, x: jnp.maximum(x, 0),
    "Gelu": lambda a, x: jax.nn.gelu(x),
    "Softmax": lambda a, x: jax.nn.softmax(x, -1),
    "LayerNorm": _layer_norm,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "Flatten": lambda a, x: x.reshape(x.shape[0], -1),
    "Reshape": lambda a, x: x.reshape(x.shape[0], *a["shape"][1:]),
    "Transpose": lambda a, x: x.transpose(a["perm"]),
}
