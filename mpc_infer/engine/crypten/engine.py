"""The crypten engine: a graph evaluated by CrypTen's protocols on shares that somebody else made."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mpc_infer.engine.api import DEFAULT, Model, Outcome, Shares
from mpc_infer.engine.crypten.communicator import CountingOpening, LinkOpening
from mpc_infer.engine.crypten.library import MPCTensor, installed, precision
from mpc_infer.engine.crypten.operators import apply
from mpc_infer.engine.crypten.provider import MaterialProvider, RecordingProvider
from mpc_infer.engine.crypten.randomness import ZeroGenerator, neighbour_generators
from mpc_infer.engine.link import Link
from mpc_infer.engine.pairs import PairSeeds
from mpc_infer.errors import PlanMismatch, WrongDtype, WrongShape
from mpc_infer.evidence.transcript import Transcript
from mpc_infer.graph import Graph, TensorSpec, infer_shapes
from mpc_infer.preprocessing import Material, Plan
from mpc_infer.sharing.fixed import FixedPoint

CACHED_PLANS = 64
MAX_ELEMENTS = 1 << 26
"""Most elements of all tensors of an evaluation together: 512 MiB of shares. A comparison takes a dozen times that."""


class CryptenEngine:
    """See `Engine`."""

    name = "crypten"

    def __init__(self) -> None:
        self._plans: dict[tuple[bytes, int, int, int], Plan] = {}

    def plan(self, graph: Graph, batch: int, parties: int, fixed: FixedPoint = DEFAULT) -> Plan:
        """Find the plan by running the program once on zeros, with nobody at the other end (see `Engine.plan`)."""
        key = (graph.digest, batch, parties, fixed.frac_bits)
        if key not in self._plans:
            while len(self._plans) >= CACHED_PLANS:
                self._plans.pop(next(iter(self._plans)))
            self._plans[key] = _trace(self.name, graph, batch, parties, fixed.frac_bits)
        return self._plans[key]

    def load(self, graph: Graph, weights: Shares, link: Link, fixed: FixedPoint = DEFAULT) -> Shares:
        """The shares are all that is needed."""
        return weights

    def restore(self, graph: Graph, weights: Shares, parties: int, data: bytes, fixed: FixedPoint = DEFAULT) -> Shares:
        """The shares are all that is needed."""
        return weights

    def prepare(self, graph: Graph, model: Model, material: Material, rank: int) -> None:
        """Nothing can be done before the input exists."""

    def run(
        self, graph: Graph, weights: Model, inputs: Shares, material: Material, link: Link, pairs: PairSeeds
    ) -> Outcome:
        """Evaluate a graph on shares (see `Engine.run`)."""
        plan = material.plan
        if not isinstance(weights, Mapping):
            raise PlanMismatch("the model was loaded by another engine")
        _check_plan(plan, self.name, graph, link)
        shapes = infer_shapes(graph, plan.batch)
        shares = {spec.name: _tensor(spec.name, {**weights, **inputs}, shapes[spec.name]) for spec in _sources(graph)}
        transcript = Transcript()
        before = (link.counters.rounds, link.counters.bytes_sent)
        with installed(LinkOpening(link, transcript), MaterialProvider(material), *neighbour_generators(pairs)):
            outputs = _evaluate(graph, shares, plan.frac_bits)
        material.finish()
        return Outcome(
            outputs={name: _ring(value) for name, value in outputs.items()},
            transcript=transcript.digest(),
            rounds=link.counters.rounds - before[0],
            bytes_sent=link.counters.bytes_sent - before[1],
        )


def _trace(name: str, graph: Graph, batch: int, parties: int, frac_bits: int) -> Plan:
    shapes = infer_shapes(graph, batch)
    _check_size(shapes)
    zeros = {spec.name: torch.zeros(shapes[spec.name], dtype=torch.int64) for spec in _sources(graph)}
    opening, provider = CountingOpening(parties), RecordingProvider()
    with installed(opening, provider, ZeroGenerator(), ZeroGenerator()):
        _evaluate(graph, zeros, frac_bits)
    return Plan(
        engine=name,
        graph_digest=graph.digest,
        batch=batch,
        parties=parties,
        frac_bits=frac_bits,
        rounds=opening.rounds,
        bytes_sent=opening.bytes_sent,
        requests=tuple(provider.requests),
    )


def _check_size(shapes: Mapping[str, tuple[int, ...]]) -> None:
    # Before anything is allocated: a small graph may multiply its way to tensors that no memory holds.
    elements = sum(math.prod(shape) for shape in shapes.values())
    if elements > MAX_ELEMENTS:
        raise WrongShape(
            f"the evaluation takes {elements} elements in all; the limit is {MAX_ELEMENTS}",
            remedy="send fewer rows at once",
        )


def _check_plan(plan: Plan, name: str, graph: Graph, link: Link) -> None:
    if (plan.engine, plan.graph_digest, plan.parties) != (name, graph.digest, link.size):
        raise PlanMismatch("the material was made for another engine, graph or number of parties")


def _sources(graph: Graph) -> tuple[TensorSpec, ...]:
    return (*graph.inputs, *graph.weights)


def _tensor(name: str, shares: Shares, shape: tuple[int, ...]) -> torch.Tensor:
    share = shares.get(name)
    if share is None or share.shape != shape:
        raise WrongShape(f"the share of {name!r} must have shape {shape}")
    if share.dtype != np.uint64:
        raise WrongDtype(f"the share of {name!r} must be uint64, not {share.dtype}")
    return torch.from_numpy(np.ascontiguousarray(share).view(np.int64).copy())


def _evaluate(graph: Graph, shares: Mapping[str, torch.Tensor], frac_bits: int) -> dict[str, Any]:
    # Public weights stay plain integers, the same at every party.
    values: dict[str, Any] = {
        name: share if name in graph.public_weights else MPCTensor.from_shares(share, precision=frac_bits)
        for name, share in shares.items()
    }
    with precision(frac_bits):
        for node in graph.nodes:
            values[node.outputs[0]] = apply(node, values)
    return {spec.name: values[spec.name] for spec in graph.outputs}


def _ring(value: Any) -> NDArray[np.uint64]:
    ring: NDArray[np.uint64] = value.share.contiguous().numpy().view(np.uint64)
    return ring
