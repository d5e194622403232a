"""Rows as plain values."""

from dataclasses import dataclass, field
from enum import IntEnum

from mpc_infer.ids import Address, JobId, ModelHash, PartySetId


class JobState(IntEnum):
    """Where a job stands; the numbers are those of the wire's JobState.

    ACCEPTED → RUNNING → DONE → ANCHORED; ACCEPTED or RUNNING → FAILED. Nothing leaves ANCHORED or FAILED.
    """

    ACCEPTED = 1
    RUNNING = 2
    DONE = 3
    ANCHORED = 4
    FAILED = 5


class BatchState(IntEnum):
    """PENDING (receipts chosen) → SIGNED (by every party) → ANCHORED (mined); back to SIGNED if the chain dropped it.

    DISOWNED: receipts that a party says it never signed. They are never anchored; somebody has to look at them.
    """

    PENDING = 1
    SIGNED = 2
    ANCHORED = 3
    DISOWNED = 4


@dataclass(frozen=True)
class StoredModel:
    """A model as a party holds it.

    Attributes:
        share: the opened share of the secret weights: salt, then canonical tensor bytes.
        public_weights: canonical tensor bytes of the others; empty: there are none.
    """

    model_hash: ModelHash
    manifest: bytes
    graph: bytes
    share: bytes = field(repr=False)
    public_weights: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Admission:
    """A request that is to be run, and the nonce that is spent by it."""

    owner: Address
    job_id: JobId
    nonce: bytes
    request_digest: bytes


@dataclass(frozen=True)
class Answered:
    """The answer to an admitted request, and the digest of the receipt in it."""

    owner: Address
    job_id: JobId
    answer: bytes = field(repr=False)
    receipt_digest: bytes


@dataclass(frozen=True)
class ModelListing:
    """A model as the coordinator lists it. ``holdings`` is what the coordinator made of the parties' signatures."""

    model_hash: ModelHash
    name: str
    version: int
    manifest: bytes
    graph: bytes
    holdings: bytes = b""


@dataclass(frozen=True)
class NewJob:
    """What is written when a job is accepted.

    ``request`` is whatever the coordinator needs to run or answer the job later; it holds nothing secret.
    """

    job_id: JobId
    owner: Address
    model_hash: ModelHash
    request_digest: bytes
    request: bytes
    created_ms: int


@dataclass(frozen=True)
class EndedJob:
    """What is written when a job is over: its result and its receipt, or else what went wrong."""

    job_id: JobId
    ended_ms: int
    result: bytes | None = field(default=None, repr=False)
    receipt: "ReceiptRecord | None" = None
    problem: bytes | None = None


@dataclass(frozen=True)
class JobRecord:
    """A job. ``result`` is set from DONE on (the serialised answer), ``problem`` in FAILED."""

    job_id: JobId
    owner: Address
    model_hash: ModelHash
    request_digest: bytes
    request: bytes
    state: JobState
    created_ms: int
    updated_ms: int
    result: bytes | None = field(default=None, repr=False)
    problem: bytes | None = None


@dataclass(frozen=True)
class ReceiptRecord:
    """A signed receipt and its place in the batch that it was put in, if any.

    ``digest`` is its EIP-712 digest (32 bytes), ``signed`` the serialised receipt with its signatures.
    """

    job_id: JobId
    digest: bytes
    signed: bytes
    party_set: PartySetId
    batch_root: bytes | None = None
    batch_index: int | None = None


@dataclass(frozen=True)
class BatchRecord:
    """A batch of receipts on its way to the chain.

    ``digests`` are the receipts' in the batch's order; ``signatures`` from SIGNED on; ``transaction``, ``block`` and
    ``gas_used`` in ANCHORED.
    """

    root: bytes
    party_set: PartySetId
    digests: tuple[bytes, ...]
    state: BatchState
    created_ms: int
    signatures: bytes | None = None
    transaction: bytes | None = None
    block: int | None = None
    gas_used: int | None = None
