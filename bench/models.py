"""Graphs for measurements and tests."""

from itertools import pairwise
from typing import Any

import numpy as np

from mpc_infer.graph import Graph, Node, TensorSpec


def dense(sizes: list[int], *, last: str | None = None) -> Graph:
    """Linear layers of these sizes with Relu between them, and an operator after the last one."""
    nodes, weights, value = [], [], "x"
    for index, (width, height) in enumerate(pairwise(sizes)):
        weights += [TensorSpec(f"W{index}", (width, height)), TensorSpec(f"b{index}", (height,))]
        nodes.append(Node(f"linear{index}", "Linear", (value, f"W{index}", f"b{index}"), (f"z{index}",)))
        value = f"z{index}"
        if index < len(sizes) - 2:
            nodes.append(Node(f"relu{index}", "Relu", (value,), (f"a{index}",)))
            value = f"a{index}"
    if last is not None:
        nodes.append(Node("last", last, (value,), ("y",)))
        value = "y"
    shape = (None, sizes[-1])
    return Graph((TensorSpec("x", (None, sizes[0])),), (TensorSpec(value, shape),), tuple(weights), tuple(nodes))


def random_weights(graph: Graph, seed: int = 0) -> dict[str, Any]:
    """Weights of a size that keeps values near one."""
    random = np.random.default_rng(seed)
    return {
        spec.name: random.normal(0, 1 / np.sqrt(spec.shape[0] or 1), [size or 1 for size in spec.shape])
        for spec in graph.weights
    }


def float_inference(graph: Graph, weights: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """The same computation in float64."""
    values = {**weights, **inputs}
    for node in graph.nodes:
        values[node.outputs[0]] = _apply(node, [values[name] for name in node.inputs])
    return {spec.name: values[spec.name] for spec in graph.outputs}


def _apply(node: Node, inputs: list[Any]) -> Any:
    x = inputs[0]
    if node.op == "Linear":
        return x @ inputs[1] + (inputs[2] if len(inputs) > 2 else 0)
    if node.op == "MatMul":
        return x @ inputs[1]
    if node.op == "Add":
        return x + inputs[1]
    if node.op == "Relu":
        return np.maximum(x, 0)
    if node.op == "Sigmoid":
        return 1 / (1 + np.exp(-x))
    if node.op == "Flatten":
        return x.reshape(x.shape[0], -1)
    if node.op == "Reshape":
        return x.reshape(x.shape[0], *node.attributes["shape"][1:])
    raise ValueError(node.op)
