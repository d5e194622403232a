"""The benchmark's graphs in plaintext, with torch: for errors and as a peer. Imports nothing of ours."""

from typing import Any

import torch
from torch.nn import functional


def evaluate(graph: dict[str, Any], values: dict[str, torch.Tensor]) -> torch.Tensor:
    """Run a graph as its JSON says; the first output."""
    values = dict(values)
    for node in graph["nodes"]:
        operands = [values[name] for name in node["inputs"]]
        values[node["outputs"][0]] = OPERATORS[node["op"]](node["attributes"], *operands)
    return values[graph["outputs"][0]["name"]]


def _conv(a: dict[str, Any], x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    return functional.conv2d(
        x, w, b, stride=a["strides"], padding=a["pads"][:2], dilation=a["dilations"], groups=a["group"]
    )


def _layer_norm(a: dict[str, Any], x: torch.Tensor, gamma: torch.Tensor, beta: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[-1:], gamma, beta, a["epsilon"] / 2**32)


OPERATORS: dict[str, Any] = {
    "Linear": lambda a, x, w, b: x @ w + b,
    "Conv": _conv,
    "MatMul": lambda a, x, y: x @ y,
    "Add": lambda a, x, y: x + y,
    "Mul": lambda a, x, y: x * y,
    "Relu": lambda a, x: torch.relu(x),
    "Gelu": lambda a, x: functional.gelu(x),
    "Softmax": lambda a, x: torch.softmax(x, -1),
    "LayerNorm": _layer_norm,
    "MaxPool": lambda a, x: functional.max_pool2d(x, a["kernel"], a["strides"]),
    "AveragePool": lambda a, x: functional.avg_pool2d(x, a["kernel"], a["strides"]),
    "Flatten": lambda a, x: x.reshape(x.shape[0], -1),
    "Reshape": lambda a, x: x.reshape(x.shape[0], *a["shape"][1:]),
    "Transpose": lambda a, x: x.permute(*a["perm"]),
}
