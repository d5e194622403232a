"""One session on one lane: what the parties do together for its jobs, and the making of material before it."""

import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_infer.clock import Clock, SystemClock
from mpc_infer.encoding import DIGEST_BYTES, digest, same_digest
from mpc_infer.engine.api import DEFAULT, Engine, Model, Outcome, Shares, digest_of, seed_of
from mpc_infer.engine.jobs import (
    JobResult,
    SessionJob,
    commit_jobs,
    joined_inputs,
    pack_verdicts,
    reasons_against,
    with_commitments,
)
from mpc_infer.engine.link import Link
from mpc_infer.engine.meeting import Meeting, agree, check_lengths, compare_hello, exchange_fixed
from mpc_infer.engine.pairs import SEED_BYTES, PairSeeds, draw_halves
from mpc_infer.errors import MpcInferError, SessionAborted, TranscriptMismatch
from mpc_infer.graph import Graph
from mpc_infer.ids import Address, MaterialId, ModelHash, SessionId
from mpc_infer.preprocessing import Batch, Material, Plan, batch_seed, read_batches
from mpc_infer.sharing import FixedPoint, fresh_seed, seed_commitment

MAX_SEALED_SEED_BYTES = 16 * 1024
MAX_CLOCK_SKEW_MS = 60_000
_ENDING = struct.Struct("<32s32sQQ")

SealSeed = Callable[[bytes, Sequence[bytes]], bytes]
"""(this party's seed, all parties' seed commitments) -> the seed sealed to the dealer, as opaque bytes."""

FetchCorrections = Callable[[MaterialId, bytes, Sequence[bytes], Sequence[bytes]], Iterable[bytes]]
"""(material id, plan bytes, seed commitments, sealed seeds by party) -> the dealer's answer, piece by piece.

Where several batches are made at once, whoever makes it knows how many."""

KeepBatches = Callable[[Iterable[Batch]], None]
"""Takes every batch as it comes: writes it down, or collects it. What it raises ends the exchange at every party."""


@dataclass(frozen=True)
class SessionSpec:
    """What a session is for. All parties must agree on all of it but the jobs' terms and inputs before it starts.

    Attributes:
        session_id: 16 bytes, never used twice.
        model_hash: 32 bytes.
        addresses: the parties, by index.
        jobs: at least one, of different ids.
    """

    session_id: SessionId
    model_hash: ModelHash
    addresses: tuple[Address, ...]
    jobs: tuple[SessionJob, ...]


@dataclass(frozen=True)
class SessionResult:
    """What a session gives one party.

    Attributes:
        jobs: in the session's order, what each gives, or why it did not run. Where none ran nothing was evaluated.
        transcript: 32 bytes, compared with all parties; empty where none ran.
        plan_digest: 32 bytes.
        started_ms, finished_ms: Unix times of party 0's clock, the same at every party.
        online_ms: milliseconds from the first to the last message, on this party's clock.
        rounds, bytes_sent: of the whole session, at this party.
        evaluated_ms: of these milliseconds, those from the shares of the inputs to the shares of the outputs.
    """

    jobs: tuple[JobResult | MpcInferError, ...]
    transcript: bytes
    plan_digest: bytes
    started_ms: int
    finished_ms: int
    online_ms: float
    rounds: int
    bytes_sent: int
    evaluated_ms: float = 0.0


def load_model(
    link: Link,
    engine: Engine,
    graph: Graph,
    weights: Shares,
    model_hash: ModelHash,
    session_id: SessionId,
    deadline: float,
    fixed: FixedPoint = DEFAULT,
) -> Model:
    """Make a model ready on a lane, together. What the engine returns is for `prepare_batches` and `run_session`.

    Args:
        link: idle.
        weights: this party's shares, by the graph's names.
        model_hash: 32 bytes.
        session_id: 16 bytes, never used twice.
        deadline: `time.monotonic()` seconds.
        fixed: of the model.

    Raises:
        SessionAborted: and all other parties' calls fail too.
    """
    with Meeting(link, session_id, deadline):
        agree(link, digest("model-hello", session_id, model_hash, graph.digest, engine.name.encode()))
        return engine.load(graph, weights, link, fixed)


def prepare_material(
    link: Link,
    plan: Plan,
    material_id: MaterialId,
    deadline: float,
    *,
    seal: SealSeed,
    fetch: FetchCorrections,
    model: Model | None = None,
) -> Material:
    """As `prepare_batches`, for one batch."""
    return prepare_batches(link, plan, [material_id], deadline, seal=seal, fetch=fetch, model=model)[0]


def prepare_batches(
    link: Link,
    plan: Plan,
    ids: Sequence[MaterialId],
    deadline: float,
    *,
    seal: SealSeed,
    fetch: FetchCorrections,
    model: Model | None = None,
) -> list[Material]:
    """As `make_batches`, and expand everything in memory."""
    batches: list[Batch] = []
    make_batches(link, plan, ids, deadline, seal=seal, fetch=fetch, keep=batches.extend, model=model)
    return [batch.expand(plan, link.rank) for batch in batches]


def make_batches(
    link: Link,
    plan: Plan,
    ids: Sequence[MaterialId],
    deadline: float,
    *,
    seal: SealSeed,
    fetch: FetchCorrections,
    keep: KeepBatches,
    model: Model | None = None,
) -> None:
    """Make material together with the dealer. 4 rounds among the parties; the last one talks to the dealer.

    1. Meet, and agree on the plan and the batches.
    2. Draw a seed each, exchange commitments to the seeds.
    3. Seal the seeds to the dealer under all commitments, send them to the last party.
    4. The last party fetches the corrections and checks length and digest; every party keeps what it has, batch by
       batch; then all know that the material is usable.

    Args:
        link: idle.
        plan: what the material is for.
        ids: 16 bytes per batch, never used twice; the first is the link's session id while the material is made, and
            names the seeds, from which every batch's own is derived.
        deadline: `time.monotonic()` seconds.
        seal, fetch: see `SealSeed` and `FetchCorrections`. `fetch` is called at the last party only.
        keep: see `KeepBatches`.
        model: what `load_model` returned; needed by engines that mask models.

    Raises:
        SessionAborted: and all other parties' calls fail too.
        MpcInferError: what `seal`, `fetch` or `keep` raised.
    """
    material_id = ids[0]
    with Meeting(link, material_id, deadline):
        model = {} if model is None else model
        agree(link, digest("material-hello", material_id, plan.digest, digest_of(model), *ids[1:]))
        seed = fresh_seed() + seed_of(model)
        own = seed_commitment(material_id, link.rank, seed)
        commitments = exchange_fixed(link, own)
        sealed = link.exchange_bytes(_to_last(link, seal(seed, commitments)), max_bytes=MAX_SEALED_SEED_BYTES)
        if link.rank == link.size - 1:
            corrections = read_batches(fetch(material_id, plan.to_bytes(), commitments, sealed), plan, len(ids))
        else:
            corrections = (bytearray() for _ in ids)
        keep(_batches(ids, seed, corrections))
        link.exchange_bytes([b""] * link.size, max_bytes=0)


def _batches(ids: Sequence[MaterialId], seed: bytes, corrections: Iterator[bytearray]) -> Iterator[Batch]:
    # Strict: what follows the last batch is looked at too.
    for index, (material_id, given) in enumerate(zip(ids, corrections, strict=True)):
        yield Batch(material_id, batch_seed(seed, index), given)


def run_session(
    link: Link,
    engine: Engine,
    graph: Graph,
    model: Model,
    material: Material,
    spec: SessionSpec,
    deadline: float,
    *,
    clock: Clock | None = None,
    met: bool = False,
) -> SessionResult:
    """Run one session. Rounds: those of the plan and three more; one where no job runs.

    1. Mark the material consumed, whatever happens next.
    2. Meet; agree on session, jobs, model, plan, material and engine; exchange fresh halves of the pairs' seeds, and
       what each party says of each job. A job runs if all have accepted it on the same terms.
    3. Evaluate all jobs that run, one behind the other; all other rows are zero.
    4. Re-randomise the output shares with a fresh sharing of zero; commit to every job's rows by themselves.
    5. Exchange commitments, transcript digests, which jobs ran, and party 0's times; all must be the same.

    Args:
        link: idle, unless `met`.
        model: what `load_model` returned, or for the crypten engine this party's shares.
        material: for this graph, and at least as many rows as all jobs have together.
        deadline: `time.monotonic()` seconds for every wait.
        met: the link is in this session already, and has sent nothing in it.

    Raises:
        MaterialUnusable, PlanMismatch, TranscriptMismatch, PeerFailed, PeerTimeout, UnexpectedFrame: the session is
            over at every party; the material is gone.
    """
    clock = clock or SystemClock()
    material.start()
    try:
        with Meeting(link, spec.session_id, deadline, begun=met):
            began, started_ms = time.monotonic(), clock.now_ms()
            pairs, reasons = _open_session(link, engine, model, material, spec)
            refused = [reason for reason in reasons if reason is not None]
            if len(refused) == len(reasons):
                return SessionResult(tuple(refused), b"", material.plan.digest, started_ms, started_ms, 0.0, 1, 0)
            evaluating = time.monotonic()
            inputs = joined_inputs(graph, material.plan.batch, spec.jobs, reasons)
            outcome = engine.run(graph, model, inputs, material, link, pairs)
            evaluated_ms = 1000 * (time.monotonic() - evaluating)
            results, commitments = commit_jobs(
                _rerandomised(outcome, pairs), spec.jobs, reasons, spec.session_id, spec.addresses[link.rank]
            )
            ours = _Ending(outcome.transcript, _ran(reasons), started_ms, clock.now_ms(), commitments)
            endings = [_Ending.from_bytes(item) for item in exchange_fixed(link, ours.to_bytes())]
            _check_endings(endings, ours, clock)
            counters, online_ms = link.counters, 1000 * (time.monotonic() - began)
    finally:
        material.discard()
    return SessionResult(
        jobs=with_commitments(results, [ending.commitments for ending in endings]),
        transcript=outcome.transcript,
        plan_digest=material.plan.digest,
        started_ms=endings[0].started_ms,
        finished_ms=endings[0].finished_ms,
        online_ms=online_ms,
        rounds=counters.rounds,
        bytes_sent=counters.bytes_sent,
        evaluated_ms=evaluated_ms,
    )


def _open_session(
    link: Link, engine: Engine, model: Model, material: Material, spec: SessionSpec
) -> tuple[PairSeeds, tuple[MpcInferError | None, ...]]:
    hello, verdicts, halves = _hello(engine, model, material, spec), pack_verdicts(spec.jobs), draw_halves(link.size)
    length = len(hello) + SEED_BYTES + len(verdicts)
    received = link.exchange_bytes([hello + half + verdicts for half in halves], max_bytes=length)
    check_lengths(received, length)
    compare_hello([item[:DIGEST_BYTES] for item in received], hello)
    theirs = [item[DIGEST_BYTES : DIGEST_BYTES + SEED_BYTES] for item in received]
    reasons = reasons_against(spec.jobs, [item[DIGEST_BYTES + SEED_BYTES :] for item in received], link.rank)
    return PairSeeds.combine(link.rank, spec.session_id, halves, theirs), reasons


def _hello(engine: Engine, model: Model, material: Material, spec: SessionSpec) -> bytes:
    return digest(
        "session-hello",
        spec.session_id,
        spec.model_hash,
        material.plan.digest,
        material.material_id,
        engine.name.encode(),
        digest_of(model),
        *(address.lower().encode() for address in spec.addresses),
        *(job.job_id + job.rows.to_bytes(8, "big") for job in spec.jobs),
    )


def _to_last(link: Link, message: bytes) -> list[bytes]:
    return [message if party in (link.rank, link.size - 1) else b"" for party in range(link.size)]


def _rerandomised(outcome: Outcome, pairs: PairSeeds) -> dict[str, NDArray[np.uint64]]:
    return {
        name: share + pairs.zero_share(share.shape, f"output/{name}") for name, share in sorted(outcome.outputs.items())
    }


def _ran(reasons: Sequence[MpcInferError | None]) -> bytes:
    return digest("session-ran", bytes(reason is None for reason in reasons))


@dataclass(frozen=True, repr=False)
class _Ending:
    """What the parties exchange last; `commitments` to all jobs, joined."""

    transcript: bytes
    ran: bytes
    started_ms: int
    finished_ms: int
    commitments: bytes

    def to_bytes(self) -> bytes:
        return _ENDING.pack(self.transcript, self.ran, self.started_ms, self.finished_ms) + self.commitments

    @classmethod
    def from_bytes(cls, data: bytes) -> "_Ending":
        transcript, ran, started_ms, finished_ms = _ENDING.unpack_from(data)
        return cls(transcript, ran, started_ms, finished_ms, data[_ENDING.size :])


def _check_endings(endings: Sequence[_Ending], ours: _Ending, clock: Clock) -> None:
    for party, ending in enumerate(endings):
        if not same_digest(ending.transcript, ours.transcript):
            raise TranscriptMismatch(f"party {party} saw other openings than this one", party=party)
        if not same_digest(ending.ran, ours.ran):
            raise TranscriptMismatch(f"party {party} ran other jobs than this one", party=party)
    started_ms, finished_ms = endings[0].started_ms, endings[0].finished_ms
    if started_ms > finished_ms or abs(clock.now_ms() - finished_ms) > MAX_CLOCK_SKEW_MS:
        raise SessionAborted(
            "the clock of party 0 is more than a minute away from this one's", party=0, remedy="set the clocks"
        )
