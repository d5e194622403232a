"""A graph of the benchmark on stock CrypTen's tensors. Imports nothing of ours."""

from typing import Any


def evaluate(graph: dict[str, Any], values: dict[str, Any]) -> Any:
    """Run a graph as its JSON says; the first output, still encrypted."""
    values = dict(values)
    for node in graph["nodes"]:
        operands = [values[name] for name in node["inputs"]]
        values[node["outputs"][0]] = OPERATORS[node["op"]](node["attributes"], *operands)
    return values[graph["outputs"][0]["name"]]


def _conv(a: dict[str, Any], x: Any, w: Any, b: Any = None) -> Any:
    out = x.conv2d(w, stride=a["strides"], padding=a["pads"][:2], dilation=a["dilations"], groups=a["group"])
    return out if b is None else out + b.reshape(1, -1, 1, 1)


def _gelu(a: dict[str, Any], x: Any) -> Any:
    return x * (x * 0.7071067811865476).erf().add(1).mul(0.5)


def _layer_norm(a: dict[str, Any], x: Any, gamma: Any, beta: Any) -> Any:
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True) + a["epsilon"] / 2**32
    return centred * variance.inv_sqrt() * gamma + beta


OPERATORS: dict[str, Any] = {
    "Linear": lambda a, x, w, b: x.matmul(w) + b,
    "Conv": _conv,
    "MatMul": lambda a, x, y: x.matmul(y),
    "Add": lambda a, x, y: x + y,
    "Mul": lambda a, x, y: x * y,
    "Relu": lambda a, x: x.relu(),
    "Gelu": _gelu,
    "Softmax": lambda a, x: x.softmax(-1),
    "LayerNorm": _layer_norm,
    "MaxPool": lambda a, x: x.max_pool2d(tuple(a["kernel"]), stride=tuple(a["strides"])),
    "AveragePool": lambda a, x: x.avg_pool2d(tuple(a["kernel"]), stride=tuple(a["strides"])),
    "Flatten": lambda a, x: x.flatten(start_dim=1),
    "Reshape": lambda a, x: x.reshape(x.size(0), *a["shape"][1:]),
    "Transpose": lambda a, x: x.permute(*a["perm"]),
}
