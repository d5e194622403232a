"""Between party.proto and plain values, with every size checked on the way in."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from mpc_infer.errors import BadSignature, InternalError, InvalidRequest, MpcInferError, StoreError
from mpc_infer.evidence.eip712 import JobRequest
from mpc_infer.ids import MaterialId, ModelHash, SessionId
from mpc_infer.party.calls import (
    BadJob,
    InstallCall,
    JobCall,
    JobReport,
    OpenCall,
    OwnerSignature,
    PrepareCall,
    Prepared,
    Reminder,
    SessionCall,
    SessionReport,
)
from mpc_infer.party.checks import MAX_JOBS
from mpc_infer.rpc.messages import exactly, sealed_from, sealed_to, sealing_key_from, signature_from
from mpc_infer.rpc.status import problem_of
from mpc_infer.sharing.sealing import Sealed
from mpc_infer.v1 import common_pb2, party_pb2

SESSION_ID_BYTES = 16
DIGEST_BYTES = 32
MAX_REASON = 200
MAX_BATCHES = 64
"""Most batches of material made in one exchange; the dealer has the same limit."""


@dataclass(frozen=True)
class Outcome:
    """What became of one job: an answer, or why there is none.

    Attributes:
        of_session: whether the problem is that of the whole session, and not of this job.
    """

    answer: party_pb2.JobAnswer | None = field(default=None, repr=False)
    problem: MpcInferError | None = None
    of_session: bool = False


def session_call(message: party_pb2.RunSessionRequest) -> SessionCall:
    """RunSession. What is wrong with one job is that job's problem, as long as its request can be read.

    Raises:
        InvalidRequest: malformed.
    """
    if message.material_id:
        exactly(message.material_id, SESSION_ID_BYTES, "material_id")
    if len(message.jobs) > MAX_JOBS:
        raise InvalidRequest(f"a session has 1 to {MAX_JOBS} jobs, not {len(message.jobs)}")
    return SessionCall(
        session_id=SessionId(exactly(message.session_id, SESSION_ID_BYTES, "session_id")),
        lane=message.lane,
        material_id=message.material_id,
        registry_block=message.registry_block,
        rows=message.rows,
        jobs=tuple(_job_call(job) for job in message.jobs),
    )


def _job_call(message: party_pb2.PartyJob) -> JobCall | BadJob:
    request = JobRequest.from_words(message.job_request)
    try:
        return JobCall(
            request=request,
            owner_signature=OwnerSignature(*signature_from(message.owner_signature)),
            input_commitments=tuple(exactly(one, DIGEST_BYTES, "a commitment") for one in message.input_commitments),
            sealed_input=sealed_from(message.sealed_input),
            result_key=sealing_key_from(message.result_key) if message.HasField("result_key") else None,
        )
    except (InvalidRequest, BadSignature) as error:
        return BadJob(request, error)


def session_answer(outcomes: Sequence[Outcome]) -> party_pb2.RunSessionResponse:
    """The answer to RunSession.

    Raises:
        MpcInferError: what kept the whole session from its end, where no job has anything else to say.
    """
    for outcome in outcomes:
        if not outcome.of_session:
            return party_pb2.RunSessionResponse(answers=[_party_answer(one) for one in outcomes])
    raise outcomes[0].problem or InternalError("a session without an outcome")


def _party_answer(outcome: Outcome) -> party_pb2.PartyAnswer:
    if outcome.answer is not None:
        return party_pb2.PartyAnswer(done=outcome.answer)
    return party_pb2.PartyAnswer(problem=problem_of(outcome.problem or InternalError("a job without an outcome")))


def install_call(message: party_pb2.InstallModelRequest) -> InstallCall:
    """InstallModel."""
    signature = OwnerSignature(*signature_from(message.owner_signature))
    sealed = sealed_from(message.sealed_share)
    return InstallCall(message.manifest, message.graph, sealed, signature, message.public_weights)


def prepare_call(message: party_pb2.PrepareMaterialRequest) -> PrepareCall:
    """PrepareMaterial."""
    if len(message.further_ids) >= MAX_BATCHES:
        raise InvalidRequest(f"{len(message.further_ids)} further batches; at most {MAX_BATCHES} are made at once")
    return PrepareCall(
        material_id=MaterialId(exactly(message.material_id, SESSION_ID_BYTES, "material_id")),
        further_ids=tuple(MaterialId(exactly(one, SESSION_ID_BYTES, "further_ids")) for one in message.further_ids),
        lane=message.lane,
        model_hash=ModelHash(exactly(message.model_hash, DIGEST_BYTES, "model_hash")),
        rows=message.rows,
        deadline_ms=message.deadline_ms,
    )


def open_call(message: party_pb2.OpenModelRequest) -> OpenCall:
    """OpenModel."""
    if message.session_id:
        exactly(message.session_id, SESSION_ID_BYTES, "session_id")
    model_hash = ModelHash(exactly(message.model_hash, DIGEST_BYTES, "model_hash"))
    return OpenCall(message.session_id, message.lane, model_hash, message.deadline_ms)


def prepare_answer(prepared: Prepared) -> party_pb2.PrepareMaterialResponse:
    """The answer to PrepareMaterial."""
    return party_pb2.PrepareMaterialResponse(
        plan_digest=prepared.plan_digest, offline_ms=prepared.offline_ms, material_bytes=prepared.material_bytes
    )


def abort_call(message: party_pb2.AbortSessionRequest) -> tuple[SessionId, str]:
    """AbortSession: the session and a printable reason."""
    reason = "".join(char if char.isprintable() else "?" for char in message.reason[:MAX_REASON])
    return SessionId(exactly(message.session_id, SESSION_ID_BYTES, "session_id")), reason


def root_call(message: party_pb2.SignRootRequest, most: int) -> tuple[tuple[bytes, ...], list[Reminder]]:
    """SignRoot: distinct digests, at least one and not too many, and no more reminders.

    Raises:
        InvalidRequest: otherwise.
    """
    digests = tuple(message.receipt_digests)
    if not 1 <= len(digests) <= most:
        raise InvalidRequest(f"a batch has 1 to {most} receipts, not {len(digests)}")
    if len(set(digests)) != len(digests):
        raise InvalidRequest("a batch names a receipt twice")
    if len(message.reminders) > len(digests):
        raise InvalidRequest(f"{len(message.reminders)} reminders of {len(digests)} receipts")
    reminders = [Reminder(each.receipt, each.signature) for each in message.reminders]
    return tuple(exactly(digest, DIGEST_BYTES, "a receipt digest") for digest in digests), reminders


def opening(report: JobReport) -> common_pb2.Opening:
    """This party's output share with its salt."""
    return common_pb2.Opening(salt=report.salt, share=report.share)


def opening_bytes(report: JobReport) -> bytes:
    """What is sealed to the client with delivery CLIENT."""
    return opening(report).SerializeToString(deterministic=True)


def run_answer(
    receipt: bytes,
    signature: common_pb2.Signature,
    ran: JobReport,
    report: SessionReport,
    sealed: Sealed | None,
    session_id: SessionId,
) -> party_pb2.JobAnswer:
    """The answer to one job; with a sealed output, or else with an opening. The cost is that of the whole session."""
    answer = party_pb2.JobAnswer(
        session_id=session_id,
        receipt=receipt,
        signature=signature,
        output_commitments=ran.commitments,
        cost=common_pb2.SessionCost(
            online_ms=report.online_ms,
            offline_ms=report.offline_ms,
            rounds=report.rounds,
            bytes_sent=report.bytes_sent,
            material_bytes=report.material_bytes,
        ),
    )
    if sealed is None:
        answer.opening.CopyFrom(opening(ran))
    else:
        answer.sealed_output.CopyFrom(sealed_to(sealed))
    return answer


def stored_answer(data: bytes) -> party_pb2.JobAnswer:
    """An answer as it was stored.

    Raises:
        StoreError: these bytes are none.
    """
    try:
        return party_pb2.JobAnswer.FromString(data)
    except DecodeError as error:
        raise StoreError("a stored answer cannot be read") from error
