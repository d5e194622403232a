"""One session on one lane: what the parties do together for one job, and the making of material before it."""

import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_infer.clock import Clock, SystemClock
from mpc_infer.encoding import DIGEST_BYTES, digest, same_digest
from mpc_infer.engine.api import Engine, Model, Outcome, Shares, digest_of, seed_of
from mpc_infer.engine.link import Link
from mpc_infer.engine.pairs import SEED_BYTES, PairSeeds, draw_halves
from mpc_infer.errors import PlanMismatch, SessionAborted, TranscriptMismatch
from mpc_infer.graph import Graph
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId
from mpc_infer.preprocessing import Batch, Material, Plan, batch_seed, read_batches
from mpc_infer.sharing import encode_tensors, fresh_salt, fresh_seed, output_context, seed_commitment, share_commitment

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
    """What the parties of a session must agree on before it starts.

    Attributes:
        session_id: 16 bytes, never used twice.
        job_id: 32 bytes.
        model_hash: 32 bytes.
        addresses: the parties, by index.
        terms: digest of whatever else each party was told of the job and has judged: the owner's request, and at which
            block. Whoever calls the parties could tell them different things: a job id alone does not say whose job
            it is, and two owners' shares must never meet in one session.
    """

    session_id: SessionId
    job_id: JobId
    model_hash: ModelHash
    addresses: tuple[Address, ...]
    terms: bytes = b""


@dataclass(frozen=True, repr=False)
class SessionResult:
    """What a session gives one party.

    Attributes:
        output_share: this party's re-randomised share of every output.
        salt: opens this party's output commitment.
        commitments: all parties' output commitments, by index.
        transcript: 32 bytes, compared with all parties.
        plan_digest: 32 bytes.
        started_ms, finished_ms: Unix times of party 0's clock, the same at every party.
        online_ms: milliseconds from the first to the last message, on this party's clock.
        rounds, bytes_sent: of the whole session, at this party.
        evaluated_ms: of these milliseconds, those from the shares of the inputs to the shares of the outputs.
    """

    output_share: dict[str, NDArray[np.uint64]]
    salt: bytes
    commitments: tuple[bytes, ...]
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
) -> Model:
    """Make a model ready on a lane, together. What the engine returns is for `prepare_batches` and `run_session`.

    Args:
        link: idle.
        weights: this party's shares, by the graph's names.
        model_hash: 32 bytes.
        session_id: 16 bytes, never used twice.
        deadline: `time.monotonic()` seconds.

    Raises:
        SessionAborted: and all other parties' calls fail too.
    """
    with _Meeting(link, session_id, deadline):
        _agree(link, digest("model-hello", session_id, model_hash, graph.digest, engine.name.encode()))
        return engine.load(graph, weights, link)


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
    with _Meeting(link, material_id, deadline):
        model = {} if model is None else model
        _agree(link, digest("material-hello", material_id, plan.digest, digest_of(model), *ids[1:]))
        seed = fresh_seed() + seed_of(model)
        own = seed_commitment(material_id, link.rank, seed)
        commitments = _exchange_fixed(link, own)
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
    weights: Model,
    inputs: Shares,
    material: Material,
    spec: SessionSpec,
    deadline: float,
    *,
    clock: Clock | None = None,
) -> SessionResult:
    """Run one session. Rounds: those of the plan and three more.

    1. Mark the material consumed, whatever happens next.
    2. Meet; agree on session, job, its terms, model, plan, material and engine; exchange fresh halves of the pairs'
       seeds.
    3. Evaluate.
    4. Re-randomise the output shares with a fresh sharing of zero; commit to them.
    5. Exchange commitments, transcript digests and party 0's times; all transcripts must be the same.

    Args:
        link: idle.
        weights: what `load_model` returned, or for the crypten engine this party's shares.
        inputs: this party's shares, by the graph's names.
        material: for this graph and batch.
        deadline: `time.monotonic()` seconds for every wait.

    Raises:
        MaterialUnusable, PlanMismatch, TranscriptMismatch, PeerFailed, PeerTimeout, UnexpectedFrame: the session is
            over at every party; the material is gone.
    """
    clock = clock or SystemClock()
    material.start()
    try:
        with _Meeting(link, spec.session_id, deadline):
            began, started_ms = time.monotonic(), clock.now_ms()
            pairs = _open_session(link, engine, weights, material, spec)
            evaluating = time.monotonic()
            outcome = engine.run(graph, weights, inputs, material, link, pairs)
            evaluated_ms = 1000 * (time.monotonic() - evaluating)
            share = _rerandomised(outcome, pairs)
            salt, commitment = _commit(share, spec, link.rank)
            ending = _ENDING.pack(commitment, outcome.transcript, started_ms, clock.now_ms())
            endings = [_ENDING.unpack(item) for item in _exchange_fixed(link, ending)]
            _check_endings(endings, outcome, clock)
            counters, online_ms = link.counters, 1000 * (time.monotonic() - began)
    finally:
        material.discard()
    return SessionResult(
        output_share=share,
        salt=salt,
        commitments=tuple(item[0] for item in endings),
        transcript=outcome.transcript,
        plan_digest=material.plan.digest,
        started_ms=endings[0][2],
        finished_ms=endings[0][3],
        online_ms=online_ms,
        rounds=counters.rounds,
        bytes_sent=counters.bytes_sent,
        evaluated_ms=evaluated_ms,
    )


class _Meeting:
    """Between `begin` and `end` of a link: any error ends the session everywhere, with its reason."""

    def __init__(self, link: Link, session_id: bytes, deadline: float) -> None:
        self._link = link
        self._session_id = session_id
        self._deadline = deadline

    def __enter__(self) -> None:
        self._link.begin(self._session_id, self._deadline)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._link.end()
        else:
            self._link.abort(error)


def _agree(link: Link, ours: bytes) -> None:
    theirs = _exchange_fixed(link, ours)
    _compare_hello(theirs, ours)


def _compare_hello(theirs: Sequence[bytes], ours: bytes) -> None:
    for party, other in enumerate(theirs):
        if not same_digest(other, ours):
            raise PlanMismatch(f"party {party} is about to compute something else than this one", party=party)


def _open_session(link: Link, engine: Engine, model: Model, material: Material, spec: SessionSpec) -> PairSeeds:
    plan = material.plan
    hello = digest(
        "session-hello",
        spec.session_id,
        spec.job_id,
        spec.model_hash,
        spec.terms,
        plan.digest,
        material.material_id,
        engine.name.encode(),
        digest_of(model),
        *(address.lower().encode() for address in spec.addresses),
    )
    halves = draw_halves(link.size)
    received = link.exchange_bytes([hello + half for half in halves], max_bytes=DIGEST_BYTES + SEED_BYTES)
    _check_lengths(received, DIGEST_BYTES + SEED_BYTES)
    _compare_hello([item[:DIGEST_BYTES] for item in received], hello)
    return PairSeeds.combine(link.rank, spec.session_id, halves, [item[DIGEST_BYTES:] for item in received])


def _exchange_fixed(link: Link, message: bytes) -> list[bytes]:
    received = link.exchange_bytes([message] * link.size, max_bytes=len(message))
    _check_lengths(received, len(message))
    return received


def _check_lengths(messages: Sequence[bytes], length: int) -> None:
    for party, message in enumerate(messages):
        if len(message) != length:
            raise SessionAborted(f"party {party} sent {len(message)} bytes, not {length}", party=party)


def _to_last(link: Link, message: bytes) -> list[bytes]:
    return [message if party in (link.rank, link.size - 1) else b"" for party in range(link.size)]


def _rerandomised(outcome: Outcome, pairs: PairSeeds) -> dict[str, NDArray[np.uint64]]:
    return {
        name: share + pairs.zero_share(share.shape, f"output/{name}") for name, share in sorted(outcome.outputs.items())
    }


def _commit(share: dict[str, NDArray[np.uint64]], spec: SessionSpec, rank: int) -> tuple[bytes, bytes]:
    salt = fresh_salt()
    context = output_context(spec.session_id, spec.job_id, spec.addresses[rank])
    return salt, share_commitment(salt, context, encode_tensors(share))


def _check_endings(endings: Sequence[tuple[bytes, bytes, int, int]], outcome: Outcome, clock: Clock) -> None:
    for party, (_, transcript, _, _) in enumerate(endings):
        if not same_digest(transcript, outcome.transcript):
            raise TranscriptMismatch(f"party {party} saw other openings than this one", party=party)
    started_ms, finished_ms = endings[0][2:]
    if started_ms > finished_ms or abs(clock.now_ms() - finished_ms) > MAX_CLOCK_SKEW_MS:
        raise SessionAborted(
            "the clock of party 0 is more than a minute away from this one's", party=0, remedy="set the clocks"
        )
