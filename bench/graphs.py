"""The models of the benchmark, with random weights that keep values near one; but for the last, which is real."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mpc_infer.graph import Graph, Node, TensorSpec, import_onnx
from mpc_infer.graph.functions import constant
from mpc_infer.graph.ir import infer_specs


@dataclass
class Writer:
    """A graph as far as it is written."""

    nodes: list[Node] = field(default_factory=list)
    weights: dict[str, Any] = field(default_factory=dict)
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(Node(f"n{len(self.nodes)}", op, inputs, (name,), attributes))
        return name

    def weight(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> str:
        name = f"w{len(self.weights)}"
        self.weights[name] = mean + self.random.normal(0, scale, shape)
        return name

    def linear(self, x: str, width: int, height: int, scale: float = 1.0) -> str:
        weight = self.weight(width, height, scale=scale / width**0.5)
        return self.add("Linear", x, weight, self.weight(height, scale=0.1))

    def conv(self, x: str, channels: int, filters: int, kernel: int, stride: int = 1, pad: int = 0) -> str:
        weight = self.weight(filters, channels, kernel, kernel, scale=1 / (channels * kernel * kernel) ** 0.5)
        attributes = {"strides": (stride, stride), "pads": (pad,) * 4, "dilations": (1, 1), "group": 1}
        return self.add("Conv", x, weight, self.weight(filters, scale=0.1), **attributes)

    def pool(self, op: str, x: str, kernel: int) -> str:
        attributes = {"kernel": (kernel, kernel), "strides": (kernel, kernel), "pads": (0,) * 4, "dilations": (1, 1)}
        return self.add(op, x, **attributes)

    def finish(self, last: str, *shape: int) -> tuple[Graph, dict[str, Any]]:
        inputs = (TensorSpec("x", (None, *shape)),)
        weights = tuple(TensorSpec(name, value.shape) for name, value in self.weights.items())
        draft = Graph(inputs, (TensorSpec(last, ()),), weights, tuple(self.nodes))
        graph = Graph(inputs, (TensorSpec(last, infer_specs(draft)[last]),), weights, tuple(self.nodes))
        graph.check()
        return graph, self.weights


Made = tuple[Graph, dict[str, Any]]


def logreg() -> Made:
    """Logistic regression on 100 features, up to the logit."""
    writer = Writer()
    return writer.finish(writer.linear("x", 100, 1), 100)


def mlp() -> Made:
    """784-128-128-10."""
    writer = Writer()
    x = writer.add("Relu", writer.linear("x", 784, 128))
    x = writer.add("Relu", writer.linear(x, 128, 128))
    return writer.finish(writer.linear(x, 128, 10), 784)


def lenet() -> Made:
    """LeNet-5: 20 and 50 filters, 500 neurons, 28 x 28 pixels."""
    writer = Writer()
    x = writer.pool("MaxPool", writer.add("Relu", writer.conv("x", 1, 20, 5)), 2)
    x = writer.pool("MaxPool", writer.add("Relu", writer.conv(x, 20, 50, 5)), 2)
    x = writer.add("Relu", writer.linear(writer.add("Flatten", x, axis=1), 800, 500))
    return writer.finish(writer.linear(x, 500, 10), 1, 28, 28)


def resnet20() -> Made:
    """ResNet-20 for 32 x 32 pixels, batch normalisation folded, projections as shortcuts."""
    writer = Writer()
    x, channels = writer.add("Relu", writer.conv("x", 3, 16, 3, pad=1)), 16
    for stage, filters in enumerate((16, 32, 64)):
        for block in range(3):
            stride = 2 if stage and not block else 1
            y = writer.add("Relu", writer.conv(x, channels, filters, 3, stride, 1))
            y = writer.conv(y, filters, filters, 3, pad=1)
            shortcut = x if channels == filters else writer.conv(x, channels, filters, 1, stride)
            x, channels = writer.add("Relu", writer.add("Add", y, shortcut)), filters
    x = writer.add("Flatten", writer.pool("AveragePool", x, 8), axis=1)
    return writer.finish(writer.linear(x, 64, 10), 3, 32, 32)


def transformer(width: int = 128, heads: int = 2, tokens: int = 32, hidden: int = 512) -> Made:
    """One encoder block, normalisation after."""
    writer = Writer()

    def head(x: str, perm: tuple[int, ...]) -> str:
        return writer.add("Transpose", writer.add("Reshape", x, shape=(-1, tokens, heads, width // heads)), perm=perm)

    def norm(x: str) -> str:
        gamma, beta = writer.weight(width, scale=0.1, mean=1.0), writer.weight(width, scale=0.1)
        return writer.add("LayerNorm", x, gamma, beta, epsilon=constant(1e-5))

    query = head(writer.linear("x", width, width, (heads / width) ** 0.5), (0, 2, 1, 3))
    key, value = writer.linear("x", width, width), writer.linear("x", width, width)
    weights = writer.add("Softmax", writer.add("MatMul", query, head(key, (0, 2, 3, 1))))
    mixed = writer.add("Transpose", writer.add("MatMul", weights, head(value, (0, 2, 1, 3))), perm=(0, 2, 1, 3))
    mixed = writer.add("Reshape", mixed, shape=(-1, tokens, width))
    x = norm(writer.add("Add", "x", writer.linear(mixed, width, width)))
    y = writer.linear(writer.add("Gelu", writer.linear(x, width, hidden)), hidden, width)
    return writer.finish(norm(writer.add("Add", x, y)), tokens, width)


def relu100k() -> Made:
    """ReLU on 100,000 numbers."""
    writer = Writer()
    return writer.finish(writer.add("Relu", "x"), 100_000)


def minilm() -> Made:
    """all-MiniLM-L6-v2 on 32 tokens, as torch exports it and `mpc_infer.graph` reads it."""
    from bench import sentence_encoder

    imported = import_onnx(sentence_encoder.exported(sentence_encoder.load()))
    # SPU's worker makes names of files of them.
    short = {name: f"w{number}" for number, name in enumerate(imported.weights)}
    nodes = [
        replace(each, inputs=tuple(short.get(name, name) for name in each.inputs)) for each in imported.graph.nodes
    ]
    specs = [TensorSpec(short[spec.name], spec.shape) for spec in imported.graph.weights]
    graph = replace(imported.graph, nodes=tuple(nodes), weights=tuple(specs))
    graph.check()
    return graph, {short[name]: values for name, values in imported.weights.items()}


def sentences(rows: int) -> dict[str, Any]:
    """A sentence of 32 tokens and more, so that nothing is padded: the same for every row."""
    from bench import sentence_encoder

    words = "of all the systems that are measured here each one reads this long sentence to its very last word, " * 2
    inputs = sentence_encoder.Embedder(sentence_encoder.load()).inputs([words] * rows)
    return {name: values.astype(np.float64) for name, values in inputs.items()}


MODELS: Mapping[str, Callable[[], Made]] = {
    "logreg": logreg,
    "mlp": mlp,
    "lenet": lenet,
    "resnet20": resnet20,
    "transformer": transformer,
    "relu100k": relu100k,
    "minilm": minilm,
}
BATCHES: Mapping[str, tuple[int, ...]] = {
    "logreg": (1, 64),
    "mlp": (1, 64),
    "lenet": (1,),
    "resnet20": (1,),
    "transformer": (1,),
    "relu100k": (1,),
    "minilm": (1,),
}
INPUTS: Mapping[str, Callable[[int], dict[str, Any]]] = {"minilm": sentences}
"""Real rows, by number, of models that random ones say little of."""
