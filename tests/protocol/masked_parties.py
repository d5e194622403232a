"""Parties of the masked engine as threads of one process: everything is real but the sockets."""

import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpc_infer.engine.api import DEFAULT, Outcome
from mpc_infer.engine.frames import HEADER_BYTES
from mpc_infer.engine.link import Counters
from mpc_infer.engine.masked import MaskedEngine
from mpc_infer.engine.masked.engine import combine_frames
from mpc_infer.engine.pairs import PairSeeds
from mpc_infer.engine.plain import run_plain
from mpc_infer.graph import Graph
from mpc_infer.preprocessing import Plan, corrections, expand, read_corrections
from mpc_infer.sharing import FixedPoint, combine, encode, split


class Table:
    """Where threads meet."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._barrier = threading.Barrier(size, timeout=120)
        self._places: list[Any] = [None] * size

    def swap(self, rank: int, value: Any) -> list[Any]:
        self._places[rank] = value
        self._barrier.wait()
        values = list(self._places)
        self._barrier.wait()
        return values

    def leave(self) -> None:
        self._barrier.abort()


class ThreadLink:
    """`Link` among threads."""

    def __init__(self, table: Table, rank: int) -> None:
        self._table = table
        self.rank, self.size = rank, table.size
        self.counters = Counters()

    def exchange(self, array: np.ndarray, meanwhile: Callable[[], None] | None = None) -> list[np.ndarray]:
        if meanwhile is not None:
            meanwhile()
        self.counters.rounds += 1
        self.counters.bytes_sent += (self.size - 1) * (HEADER_BYTES + array.nbytes)
        received = self._table.swap(self.rank, array.copy())
        assert all(other.shape == array.shape for other in received)
        return received

    def exchange_bytes(self, messages: list[bytes], *, max_bytes: int) -> list[bytes]:
        return [theirs[self.rank] for theirs in self._table.swap(self.rank, messages)]


@dataclass
class Run:
    """What one evaluation gave."""

    plan: Plan
    outcomes: list[Outcome]
    ring: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]
    openings: list[np.ndarray] = field(default_factory=list)
    material_bytes: list[int] = field(default_factory=list)

    def errors(self) -> dict[str, np.ndarray]:
        """Differences to the oracle in units of 2^-f."""
        return {name: (self.ring[name] - value).view(np.int64) for name, value in self.expected.items()}

    def worst(self) -> int:
        return max(int(np.abs(error).max()) for error in self.errors().values())


class RecordingLink(ThreadLink):
    """Keeps what was opened."""

    def __init__(self, table: Table, rank: int, program: Any) -> None:
        super().__init__(table, rank)
        self.openings: list[np.ndarray] = []
        self._program = program

    def exchange(self, array: np.ndarray, meanwhile: Callable[[], None] | None = None) -> list[np.ndarray]:
        received = super().exchange(array, meanwhile)
        total = received[0].copy()
        for theirs in received[1:]:
            combine_frames(self._program.rounds[len(self.openings)], total, theirs)
        self.openings.append(total)
        return received


def deal(plan: Plan, parties: int) -> tuple[list[bytes], bytes]:
    """Fresh seeds, and what the dealer answers."""
    seeds = [secrets.token_bytes(plan.seed_bytes) for _ in range(parties)]
    return seeds, b"".join(corrections(seeds, plan))


def evaluate(
    graph: Graph,
    weights: dict[str, Any],
    inputs: dict[str, Any],
    parties: int = 2,
    *,
    lean_from: int = 2048,
    device: str = "cpu",
    fixed: FixedPoint = DEFAULT,
) -> Run:
    """Run a graph from reals to reals, against the oracle, and check that declared costs are the measured ones."""
    graph.check()
    frac_bits = fixed.frac_bits
    batch = next(iter(inputs.values())).shape[0]
    encoded = {name: encode(value, frac_bits=frac_bits) for name, value in weights.items()}
    encoded_inputs = {name: encode(value, frac_bits=frac_bits) for name, value in inputs.items()}
    public = graph.public_weights
    shares = {name: [v] * parties if name in public else split(v, parties) for name, v in encoded.items()}
    input_shares = {name: split(value, parties) for name, value in encoded_inputs.items()}
    engine = MaskedEngine(lean_from=lean_from, device=device)
    plan = Plan.from_bytes(engine.plan(graph, batch, parties, fixed).to_bytes())
    program = engine.program(graph, batch, parties, fixed)
    seeds, answer = deal(plan, parties)
    table, loading = Table(parties), Table(parties)
    links = [RecordingLink(table, rank, program) for rank in range(parties)]

    def party(rank: int) -> tuple[Outcome, int]:
        try:
            own = {name: parts[rank] for name, parts in shares.items()}
            model = open_with(engine, graph, own, seeds[rank][32:], ThreadLink(loading, rank), fixed)
            given = read_corrections([answer], plan) if rank == parties - 1 else None
            material = expand(seeds[rank], plan, rank, bytes(16), given)
            held = sum(part.nbytes for _, parts in material._parts for part in parts)
            engine.prepare(graph, model, material, rank)
            material.start()
            mine = {name: parts[rank] for name, parts in input_shares.items()}
            seeds_of_pairs = PairSeeds(rank, (b"",) * parties)
            return engine.run(graph, model, mine, material, links[rank], seeds_of_pairs), held
        except BaseException:
            table.leave()
            loading.leave()
            raise

    with ThreadPoolExecutor(parties) as pool:
        results = list(pool.map(party, range(parties)))
    outcomes = [outcome for outcome, _ in results]
    ring = {name: combine([item.outputs[name] for item in outcomes]) for name in outcomes[0].outputs}
    expected = run_plain(graph, encoded, encoded_inputs, frac_bits)
    run = Run(plan, outcomes, ring, expected, links[0].openings, [held for _, held in results])
    check_costs(run, answer)
    return run


def open_with(
    engine: MaskedEngine, graph: Graph, weights: dict[str, Any], seed: bytes, link: Any, fixed: FixedPoint = DEFAULT
) -> Any:
    """Open a model under a given seed."""
    from mpc_infer.engine.masked.model import open_model

    return open_model(engine.program(graph, 1, link.size, fixed), weights, seed, link, fixed)


def check_costs(run: Run, answer: bytes) -> None:
    """Rounds, bytes sent, bytes of material and of corrections are those that the plan declares."""
    assert len(answer) == run.plan.correction_bytes
    assert run.material_bytes == [run.plan.material_bytes] * run.plan.parties
    for outcome in run.outcomes:
        assert (outcome.rounds, outcome.bytes_sent) == (run.plan.rounds, run.plan.bytes_sent)
    assert len({outcome.transcript for outcome in run.outcomes}) == 1
