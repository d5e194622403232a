"""What each node of a graph costs on the masked engine."""

from collections.abc import Sequence
from itertools import pairwise

from mpc_infer.engine.costs import NodeCost
from mpc_infer.engine.frames import HEADER_BYTES
from mpc_infer.engine.masked.builder import Builder, Tensor
from mpc_infer.engine.masked.compiler import LEAN_FROM, Lowering
from mpc_infer.engine.masked.program import COMMUNICATING, levels, message_words
from mpc_infer.graph import Graph
from mpc_infer.preprocessing.masked_requests import MaskedRequest
from mpc_infer.preprocessing.requests import words
from mpc_infer.sharing.fixed import FixedPoint

OUTPUTS = "(outputs)"


class _Marking(Lowering):
    """Notes after which request each input and node ends."""

    def __init__(self, graph: Graph, batch: int, builder: Builder, value_bits: Sequence[int]) -> None:
        self.ends: list[int] = []
        super().__init__(graph, batch, builder, value_bits)

    def _define(self, name: str, tensor: Tensor) -> None:
        super()._define(name, tensor)
        self.ends.append(len(self.builder.requests))


def node_costs(
    graph: Graph, batch: int, parties: int, fixed: FixedPoint, *, lean_from: int = LEAN_FROM
) -> tuple[NodeCost, ...]:
    """The cost of every node, in the order in which they are run; they add up to the plan's.

    A value is opened, or truncated, where it is first needed so: that is in the cost of the node that reads it. Of
    nodes that run side by side the first has the rounds. The last entry is what the outputs take.

    Raises:
        UnsupportedOperator, WrongShape: as :func:`mpc_infer.engine.masked.compiler.compile_graph`.
    """
    lowering = _Marking(graph, batch, Builder(fixed.frac_bits, lean_from), fixed.value_bits)
    lowering.run()
    outputs = [lowering.builder.result(lowering.tensor(spec.name)) for spec in graph.outputs]
    requests = lowering.builder.finish(outputs)
    ends = [0, *lowering.ends[len(graph.inputs) :], len(requests)]
    named = [(node.name, node.op, lowering.shapes[node.outputs[0]]) for node in lowering.nodes]
    named.append((OUTPUTS, "", ()))
    level, costs, before = levels(requests), [], 0
    for (name, op, shape), (start, stop) in zip(named, pairwise(ends), strict=True):
        depth = max(level[:stop], default=0)
        own = requests[start:stop]
        costs.append(_cost(name, op, shape, own, parties, depth - before))
        before = depth
    return tuple(costs)


def _cost(
    name: str, op: str, shape: tuple[int, ...], requests: tuple[MaskedRequest, ...], parties: int, rounds: int
) -> NodeCost:
    sent = sum(8 * message_words(request) for request in requests if request.op in COMMUNICATING)
    corrected = 8 * sum(words(request.corrected) for request in requests)
    drawn = 8 * sum(words(request.drawn) for request in requests)
    return NodeCost(
        name, op, shape, rounds, (parties - 1) * (sent + rounds * HEADER_BYTES), drawn + corrected, corrected
    )
