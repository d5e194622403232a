"""What a model costs, before anything is run: of a plan as a whole, and of each node."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mpc_infer.engine.api import DEFAULT, get_engine
from mpc_infer.graph import Graph
from mpc_infer.graph.ir import TensorSpec, infer_specs
from mpc_infer.preprocessing import Plan
from mpc_infer.preprocessing.requests import words
from mpc_infer.sharing.fixed import FixedPoint
from mpc_infer.sharing.stream import SEED_BYTES


@dataclass(frozen=True, slots=True)
class NodeCost:
    """One node of the graph.

    Attributes:
        name, op: the node's; the outputs' own part has no operator.
        shape: of what it makes, with the batch.
        rounds: that it adds to the evaluation.
        bytes_sent: of frames that each party sends.
        material_bytes: that each party expands before the evaluation.
        correction_bytes: part of it that the last party gets from the dealer.
    """

    name: str
    op: str
    shape: tuple[int, ...]
    rounds: int
    bytes_sent: int
    material_bytes: int
    correction_bytes: int


@dataclass(frozen=True)
class Cost:
    """A plan and its nodes.

    Attributes:
        plan: the compiled graph for a number of rows and parties.
        nodes: in the order in which they are run; their costs add up to the plan's.
    """

    plan: Plan
    nodes: tuple[NodeCost, ...]

    @property
    def stored_bytes(self) -> tuple[int, int]:
        """Bytes of material that a party keeps until it is used: the last party, and each of the others."""
        return SEED_BYTES + self.plan.correction_bytes, SEED_BYTES


def model_cost(engine: str, graph: Graph, batch: int, parties: int, fixed: FixedPoint = DEFAULT) -> Cost:
    """Compile a graph and say what it costs. Imports torch.

    Raises:
        ConfigError: there is no such engine.
        UnsupportedOperator: a node has no protocol there.
        WrongShape: no such batch.
        InvalidRequest: the plan would ask for more than dealers accept.
    """
    plan = get_engine(engine).plan(graph, batch, parties, fixed)
    if engine == "masked":
        from mpc_infer.engine.masked.cost import node_costs

        return Cost(plan, node_costs(graph, batch, parties, fixed))
    return Cost(plan, _by_prefix(engine, graph, batch, parties, fixed))


def _by_prefix(engine: str, graph: Graph, batch: int, parties: int, fixed: FixedPoint) -> tuple[NodeCost, ...]:
    """Plans of the first node, the first two, ...: what each has more than the one before is the last node's cost."""
    shapes = infer_specs(graph)
    totals, costs = (0, 0, 0, 0), []
    for count, node in enumerate(graph.nodes, start=1):
        output = TensorSpec(node.outputs[0], shapes[node.outputs[0]])
        prefix = replace(graph, nodes=graph.nodes[:count], outputs=(output,))
        found = _totals(get_engine(engine).plan(prefix, batch, parties, fixed))
        more = [after - before for after, before in zip(found, totals, strict=True)]
        costs.append(NodeCost(node.name, node.op, output.with_batch(batch), *more))
        totals = found
    return tuple(costs)


def _totals(plan: Plan) -> tuple[int, int, int, int]:
    corrected: Sequence[int] = [words(request.corrected) for request in plan.requests]
    return plan.rounds, plan.bytes_sent, plan.material_bytes, 8 * sum(corrected)
