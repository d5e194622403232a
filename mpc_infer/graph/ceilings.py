"""Relus that end at a ceiling, as nodes of a graph. Where ceilings belong: `mpc_infer.model.ceilings`."""

from collections.abc import Mapping
from dataclasses import replace

from mpc_infer.errors import InvalidInput
from mpc_infer.graph.functions import CONSTANT_BITS, constant
from mpc_infer.graph.ir import Graph, Node, Op
from mpc_infer.sharing.fixed import LIMIT


def ended(relu: Node, height: float) -> Node:
    """A Relu that ends at this height."""
    bounds = {"low": 0, "high": constant(height)}
    return Node(relu.name, Op.CLIP.value, relu.inputs, relu.outputs, bounds)


def heights(before: Graph, after: Graph) -> dict[str, float]:
    """How high the ceilings lie that the second graph has and the first has not, by the node's name."""
    relus = {node.name for node in before.nodes if node.op == Op.RELU}
    highs = {node.name: node.attributes["high"] for node in after.nodes if node.op == Op.CLIP and node.name in relus}
    return {name: high / 2.0**CONSTANT_BITS for name, high in highs.items() if isinstance(high, int)}


def ended_at(graph: Graph, ceilings: Mapping[str, float]) -> Graph:
    """The graph with these ceilings: what `mpc_infer.model.ceilings.with_ceilings` made of it once.

    Args:
        graph: as it was read from the file.
        ceilings: as `heights` returns them.

    Raises:
        InvalidInput: there is no such Relu, or a ceiling is no size that can be encoded.
    """
    relus = {node.name for node in graph.nodes if node.op == Op.RELU}
    for name, height in ceilings.items():
        if name not in relus:
            raise InvalidInput(f"the graph has no Relu {name!r} that could have a ceiling")
        if not 0 < height < LIMIT:
            raise InvalidInput(f"a ceiling lies between 0 and {LIMIT}, not at {height:g}")
    changed = (ended(node, ceilings[node.name]) if node.name in ceilings else node for node in graph.nodes)
    return replace(graph, nodes=tuple(changed))
