"""The engine: plan, load, prepare, run."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mpc_infer.engine.api import DEFAULT, Model, Outcome, Shares
from mpc_infer.engine.link import Link
from mpc_infer.engine.masked import packing
from mpc_infer.engine.masked.compiler import LEAN_FROM, compile_graph
from mpc_infer.engine.masked.model import MaskedModel, open_model, restore_model
from mpc_infer.engine.masked.prepare import prepare
from mpc_infer.engine.masked.products import products_on
from mpc_infer.engine.masked.program import Program, Round
from mpc_infer.engine.masked.state import Session
from mpc_infer.engine.pairs import PairSeeds
from mpc_infer.errors import PlanMismatch, WrongShape
from mpc_infer.evidence.transcript import Transcript
from mpc_infer.graph import Graph
from mpc_infer.preprocessing import Material, Plan
from mpc_infer.preprocessing.masked_requests import WORD_BITS
from mpc_infer.sharing import fresh_seed
from mpc_infer.sharing.fixed import FixedPoint

Words = NDArray[np.uint64]
MAX_PROGRAMS = 64


class MaskedEngine:
    """The engine for the preprocessing model; see docs/engine.md.

    Args:
        lean_from: comparisons of at least this many elements at once take a round more and a seventh of the material.
            All parties must say the same: it is part of the plan.
        device: where products are done: `cpu`, or `cuda` (see `products_on`). No other party notices.

    Raises:
        ConfigError: there is no such device.
    """

    name = "masked"

    def __init__(self, *, lean_from: int = LEAN_FROM, device: str = "cpu") -> None:
        self._lean_from = lean_from
        self._products = products_on(device)
        self._programs: dict[tuple[bytes, int, int, FixedPoint], Program] = {}

    def program(self, graph: Graph, batch: int, parties: int, fixed: FixedPoint = DEFAULT) -> Program:
        """The compiled graph (see `compile_graph`). Cached."""
        key = (graph.digest, batch, parties, fixed)
        if key not in self._programs:
            while len(self._programs) >= MAX_PROGRAMS:
                del self._programs[next(iter(self._programs))]
            self._programs[key] = compile_graph(graph, batch, parties, fixed, lean_from=self._lean_from)
        return self._programs[key]

    def plan(self, graph: Graph, batch: int, parties: int, fixed: FixedPoint = DEFAULT) -> Plan:
        """The plan (see `Engine.plan`). Cached."""
        return self.program(graph, batch, parties, fixed).plan

    def load(self, graph: Graph, weights: Shares, link: Link, fixed: FixedPoint = DEFAULT) -> MaskedModel:
        """Open a model's weights under fresh masks (see `open_model`)."""
        return open_model(self.program(graph, 1, link.size, fixed), weights, fresh_seed(), link, fixed)

    def restore(
        self, graph: Graph, weights: Shares, parties: int, data: bytes, fixed: FixedPoint = DEFAULT
    ) -> MaskedModel:
        """A model that was loaded before, without the other parties (see `restore_model`)."""
        return restore_model(self.program(graph, 1, parties, fixed), weights, data, fixed)

    def prepare(self, graph: Graph, model: Model, material: Material, rank: int) -> None:
        """Work out everything that does not depend on the input (see `Engine.prepare`)."""
        opened = _opened(model)
        program = self._program_of(graph, opened, material)
        material.prepare(lambda parts: prepare(program, opened, rank, _words(parts), self._products))

    def run(
        self, graph: Graph, weights: Model, inputs: Shares, material: Material, link: Link, pairs: PairSeeds
    ) -> Outcome:
        """Evaluate a graph on shares (see `Engine.run`)."""
        opened = _opened(weights)
        program = self._program_of(graph, opened, material)
        if material.prepared:
            session = material.take_prepared()
        else:
            parts = [material.take(request) for request in material.plan.requests]
            session = prepare(program, opened, link.rank, _words(parts), self._products)
        material.finish()
        if not isinstance(session, Session):
            raise PlanMismatch("the material was prepared by another engine")
        return execute(program, session, inputs, link)

    def _program_of(self, graph: Graph, model: MaskedModel, material: Material) -> Program:
        plan = material.plan
        program = self.program(graph, plan.batch, plan.parties, model.fixed)
        if program.plan.digest != plan.digest:
            raise PlanMismatch("the material was made for another plan")
        return program


def _opened(model: Model) -> MaskedModel:
    if not isinstance(model, MaskedModel):
        raise PlanMismatch("the model was not loaded by the masked engine")
    return model


def _words(parts: Sequence[Sequence[torch.Tensor]]) -> list[list[Words]]:
    return [[part.numpy().view(np.uint64) for part in each] for each in parts]


def execute(program: Program, session: Session, inputs: Shares, link: Link) -> Outcome:
    """Run a prepared session. Rounds, bytes: as the plan declares.

    For each round: finish this party's frame, exchange frames, add them up, append the sum to the transcript.

    Raises:
        WrongShape: an input is missing, unknown, or of another shape.
        SessionAborted: as the link.
    """
    _take_inputs(session, inputs)
    before, opened = link.counters.bytes_sent, _Opened()
    for step, frame in enumerate(session.frames):
        for task in session.tasks[step]:
            task()
        # The sum of the round before is hashed while this round's frames are on their way.
        received = link.exchange(frame, opened.hash)
        for party, theirs in enumerate(received):
            if party != link.rank:
                combine_frames(program.rounds[step], frame, theirs)
        opened.add(step, frame)
    for task in session.tasks[-1]:
        task()
    outputs = {name: share.whole(shape) for name, share, shape in session.outputs}
    opened.hash()
    return Outcome(outputs, opened.transcript.digest(), len(session.frames), link.counters.bytes_sent - before)


def combine_frames(layout: Round, own: Words, other: Words) -> None:
    """Take a peer's frame of a round into this party's."""
    for segment in layout.segments:
        mine, theirs = own[segment.start : segment.stop], other[segment.start : segment.stop]
        if segment.width == 0:
            np.bitwise_xor(mine, theirs, out=mine)
        elif segment.width == WORD_BITS:
            np.add(mine, theirs, out=mine)
        else:
            packing.add_packed(mine, theirs, packing.field_tops(segment.width))


class _Opened:
    """What was opened: appended to the transcript a round late."""

    def __init__(self) -> None:
        self.transcript = Transcript()
        self._pending: tuple[int, Words] | None = None

    def add(self, step: int, frame: Words) -> None:
        self._pending = (step, frame)

    def hash(self) -> None:
        if self._pending is not None:
            step, frame = self._pending
            self.transcript.add(step, frame.data)
            self._pending = None


def _take_inputs(session: Session, inputs: Mapping[str, Words]) -> None:
    if inputs.keys() != session.inputs.keys():
        raise WrongShape(f"the inputs are {sorted(inputs)}, not {sorted(session.inputs)}")
    for name, place in session.inputs.items():
        if inputs[name].shape != place.shape:
            raise WrongShape(f"input {name!r} has shape {inputs[name].shape}, not {place.shape}")
        np.copyto(place, inputs[name])
