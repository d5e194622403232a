"""What callers ask of a party, as plain values whose sizes have been checked."""

from dataclasses import dataclass, field

from mpc_infer.errors import BadSignature, InvalidRequest, MpcInferError
from mpc_infer.evidence.eip712 import JobRequest
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId
from mpc_infer.sharing.sealing import Sealed, SealingPublicKey


@dataclass(frozen=True)
class OwnerSignature:
    """A signature and who claims to have made it."""

    signer: Address
    signature: bytes


@dataclass(frozen=True)
class JobCall:
    """One job of a session; see PartyJob in party.proto."""

    request: JobRequest
    owner_signature: OwnerSignature
    input_commitments: tuple[bytes, ...]
    sealed_input: Sealed
    result_key: SealingPublicKey | None

    @property
    def key(self) -> tuple[Address, JobId]:
        """Owner and job id."""
        return self.request.owner, self.request.job_id


@dataclass(frozen=True)
class BadJob:
    """A job whose request can be read, but not what comes with it."""

    request: JobRequest
    problem: InvalidRequest | BadSignature

    @property
    def key(self) -> tuple[Address, JobId]:
        """Owner and job id."""
        return self.request.owner, self.request.job_id


@dataclass(frozen=True)
class SessionCall:
    """RunSession; see party.proto. ``material_id`` is empty where the material is to be made now."""

    session_id: SessionId
    lane: int
    material_id: bytes
    registry_block: int
    rows: int
    jobs: tuple[JobCall | BadJob, ...]

    @property
    def model_hash(self) -> ModelHash:
        """The model of the first job, and so of all (see `checks.check_together`)."""
        return self.jobs[0].request.model_hash


@dataclass(frozen=True)
class InstallCall:
    """InstallModel."""

    manifest: bytes
    graph: bytes
    sealed_share: Sealed
    owner_signature: OwnerSignature
    public_weights: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class PrepareCall:
    """PrepareMaterial."""

    material_id: MaterialId
    lane: int
    model_hash: ModelHash
    rows: int
    deadline_ms: int
    further_ids: tuple[MaterialId, ...] = ()

    @property
    def ids(self) -> tuple[MaterialId, ...]:
        """Of all batches, in their order."""
        return (self.material_id, *self.further_ids)


@dataclass(frozen=True)
class OpenCall:
    """OpenModel. ``session_id`` is empty where only a report is wanted."""

    session_id: bytes
    lane: int
    model_hash: ModelHash
    deadline_ms: int


@dataclass(frozen=True)
class Prepared:
    """What making material gave and cost; `material_bytes` is of one batch."""

    plan_digest: bytes
    offline_ms: float
    material_bytes: int


@dataclass(frozen=True)
class JobReport:
    """What a lane reports of a job that ran; see engine.jobs.JobResult. ``share`` is canonical tensor bytes."""

    share: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    commitments: tuple[bytes, ...]


@dataclass(frozen=True)
class SessionReport:
    """What a lane reports of a session; see engine.session.SessionResult."""

    jobs: tuple[JobReport | MpcInferError, ...]
    transcript: bytes
    plan_digest: bytes
    started_ms: int
    finished_ms: int
    online_ms: float
    offline_ms: float
    rounds: int
    bytes_sent: int
    material_bytes: int


@dataclass(frozen=True)
class Reminder:
    """A receipt, and a signature that somebody says a party gave it.

    Attributes:
        signed: the receipt, encoded.
        signature: 65 bytes.
    """

    signed: bytes
    signature: bytes
