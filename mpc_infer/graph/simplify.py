"""Graphs made shorter: factors and terms go into the products before or after them, and nothing unused is left.

A product with a weight costs a round of the protocol; in a matrix that is multiplied anyway it costs nothing.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.graph.ir import Node, Op

Weights = dict[str, NDArray[np.float64]]
VIEWS = frozenset({Op.RESHAPE, Op.TRANSPOSE, Op.FLATTEN, Op.SLICE})
PRODUCTS = frozenset({Op.LINEAR, Op.CONV})


def simplify(
    nodes: list[Node], weights: Mapping[str, NDArray[np.float64]], outputs: frozenset[str]
) -> tuple[list[Node], Weights]:
    """The same computation in fewer nodes.

    Args:
        nodes: in an order in which they can be run.
        weights: by name.
        outputs: tensors that must stay.
    """
    graph = _Nodes(nodes, dict(weights), outputs)
    graph.drop_unread()
    graph.index()
    for name in list(graph.nodes):
        graph.into_the_product_before(name)
    graph.index()
    for name in reversed(list(graph.nodes)):
        graph.into_the_product_after(name)
    graph.drop_unread()
    read = {name for node in graph.nodes.values() for name in node.inputs}
    return list(graph.nodes.values()), {name: array for name, array in graph.weights.items() if name in read}


class _Nodes:
    """Nodes by the tensor that they make."""

    def __init__(self, nodes: list[Node], weights: Weights, outputs: frozenset[str]) -> None:
        self.nodes = {node.outputs[0]: node for node in nodes}
        self.weights = weights
        self._outputs = outputs
        self._reads: Counter[str] = Counter()
        self._readers: dict[str, list[str]] = {}

    def index(self) -> None:
        """Look up who reads what, for the steps that follow."""
        self._reads = Counter(name for node in self.nodes.values() for name in node.inputs)
        self._readers = {name: [] for name in self._reads}
        for made, node in self.nodes.items():
            for name in dict.fromkeys(node.inputs):
                self._readers[name].append(made)

    def drop_unread(self) -> None:
        """Leave out what nobody reads."""
        live = set(self._outputs)
        for name, node in reversed(self.nodes.items()):
            if name in live:
                live.update(node.inputs)
        self.nodes = {name: node for name, node in self.nodes.items() if name in live}

    def into_the_product_before(self, name: str) -> None:
        """Mul or Add of a weight, where a Linear or Conv that nothing else reads makes the other operand."""
        node = self.nodes[name]
        found = self._operands(node)
        if found is None:
            return
        data, weight = found
        source = self._sole(data)
        if node.op == Op.MUL and weight.size == 1:
            while source is not None and source.op in VIEWS:
                source = self._sole(source.inputs[0])
        if source is None or source.op not in PRODUCTS:
            return
        channel = _by_channel(source, weight, self.weights[source.inputs[1]])
        if channel is not None:
            made = self._scaled(source, channel, node) if node.op == Op.MUL else self._moved(source, channel, node)
            self.nodes[source.outputs[0]] = made
            self._skip(node, data)

    def into_the_product_after(self, name: str) -> None:
        """Mul by a weight, where only a Linear reads the result. (A sum costs nothing where it is.)"""
        node = self.nodes.get(name)
        found = self._operands(node) if node is not None else None
        if node is None or found is None or node.op != Op.MUL or name in self._outputs:
            return
        data, weight = found
        readers = [self.nodes[each] for each in self._readers.get(name, ())]
        flat = weight.reshape(-1)
        if len(readers) != 1 or readers[0].op != Op.LINEAR or readers[0].inputs[0] != name or weight.ndim != 1:
            return
        product = readers[0]
        matrix = self.weights[product.inputs[1]]
        flat = np.broadcast_to(flat, (matrix.shape[0],))
        inputs = (data, self._weight(product.inputs[1], matrix * flat[:, None], node), *product.inputs[2:])
        self.nodes[product.outputs[0]] = replace(product, inputs=inputs)
        self._readers[data] = [product.outputs[0] if each == name else each for each in self._readers[data]]
        del self.nodes[name]

    def _operands(self, node: Node) -> tuple[str, NDArray[np.float64]] | None:
        if node.op not in (Op.MUL, Op.ADD):
            return None
        weights = [name for name in node.inputs if name in self.weights]
        data = [name for name in node.inputs if name not in self.weights]
        return (data[0], self.weights[weights[0]]) if len(weights) == len(data) == 1 else None

    def _sole(self, name: str) -> Node | None:
        return self.nodes.get(name) if self._reads[name] == 1 and name not in self._outputs else None

    def _scaled(self, product: Node, channel: NDArray[np.float64], node: Node) -> Node:
        matrix = self.weights[product.inputs[1]]
        shaped = channel.reshape(-1, 1, 1, 1) if product.op == Op.CONV else channel
        names = [self._weight(product.inputs[1], matrix * shaped, node)]
        if len(product.inputs) > 2:
            names.append(self._weight(product.inputs[2], self.weights[product.inputs[2]] * channel, node))
        return replace(product, inputs=(product.inputs[0], *names))

    def _moved(self, product: Node, channel: NDArray[np.float64], node: Node) -> Node:
        matrix = self.weights[product.inputs[1]]
        width = matrix.shape[0] if product.op == Op.CONV else matrix.shape[1]
        old = self.weights[product.inputs[2]] if len(product.inputs) > 2 else np.zeros(width)
        added = next(name for name in node.inputs if name in self.weights)
        bias = old + np.broadcast_to(channel, (width,))
        return replace(product, inputs=(*product.inputs[:2], self._weight(added, bias, node)))

    def _weight(self, label: str, values: NDArray[np.float64], node: Node) -> str:
        known = self.weights.get(label)
        if known is not None and known.shape == values.shape and np.array_equal(known, values):
            return label
        name = label if known is None else f"{label}:{node.name}"
        while name in self.weights:
            name += "'"
        self.weights[name] = np.ascontiguousarray(values)
        return name

    def _skip(self, node: Node, data: str) -> None:
        """Let whoever makes the data make the node's own output instead."""
        result = node.outputs[0]
        kept = {}
        for name, each in self.nodes.items():
            if name == data:
                kept[result] = replace(each, outputs=(result,))
            elif name != result:
                kept[name] = each
        self.nodes = kept


def _by_channel(product: Node, weight: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A weight as one number, or one for each output channel; None where it is neither."""
    if weight.size == 1:
        return weight.reshape(1)
    if product.op == Op.LINEAR:
        return weight if weight.shape == (matrix.shape[1],) else None
    fits = weight.ndim == 3 and weight.shape == (matrix.shape[0], 1, 1)
    return weight.reshape(-1) if fits else None
