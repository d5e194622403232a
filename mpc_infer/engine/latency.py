"""How long an evaluation would take over a network: a model, not a measurement.

    rounds (half a round trip + handling) + bytes / bandwidth + multiplications / rate + material / rate

From shares of the inputs to shares of the outputs, material made ahead, a machine to each party. A round is one message
to everybody and one from everybody, so it takes half a round trip; a session opens and ends with one more each. The
rates are fitted to docs/benchmarks.md: on its machine the model is within a factor of 1.5 of what was measured.
"""

import math
from dataclasses import dataclass

from mpc_infer.graph.ir import Graph, infer_shapes
from mpc_infer.preprocessing import Plan

SESSION_ROUNDS = 2
"""What a session takes beside the evaluation."""


@dataclass(frozen=True)
class Network:
    """What lies between two parties.

    Attributes:
        rtt_ms: a round trip.
        megabits: a second, that one party can send.
    """

    rtt_ms: float
    megabits: float


@dataclass(frozen=True)
class Machine:
    """What a party computes with.

    Attributes:
        round_ms: handling of a round, beside the network.
        multiplications: of ring elements, a second.
        bytes: of material read, a second.
    """

    round_ms: float = 0.15
    multiplications: float = 1.6e9
    bytes: float = 3e9


@dataclass(frozen=True)
class Latency:
    """Milliseconds: for the rounds, for the bytes, for the computation."""

    rounds_ms: float
    bytes_ms: float
    compute_ms: float

    @property
    def total_ms(self) -> float:
        """All of it."""
        return self.rounds_ms + self.bytes_ms + self.compute_ms


def estimate(graph: Graph, plan: Plan, network: Network, machine: Machine) -> Latency:
    """The model's answer for a plan."""
    compute = multiplications(graph, plan.batch) / machine.multiplications + plan.material_bytes / machine.bytes
    return Latency(
        rounds_ms=(plan.rounds + SESSION_ROUNDS) * (network.rtt_ms / 2 + machine.round_ms),
        bytes_ms=8 * plan.bytes_sent / (1000 * network.megabits),
        compute_ms=1000 * compute,
    )


def multiplications(graph: Graph, batch: int) -> int:
    """Of products of matrices, convolutions and trees' paths, which are nearly all."""
    shapes, total = infer_shapes(graph, batch), 0
    for node in graph.nodes:
        made, read = shapes[node.outputs[0]], [shapes[name] for name in node.inputs]
        if node.op in ("Linear", "MatMul"):
            total += math.prod(made) * read[0][-1]
        elif node.op == "Conv":
            total += math.prod(made) * math.prod(read[1][1:])
        elif node.op == "TreeEnsemble":
            total += batch * math.prod(read[3])
    return total
