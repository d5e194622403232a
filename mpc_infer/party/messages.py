"""Between party.proto and plain values, with every size checked on the way in."""

from google.protobuf.message import DecodeError

from mpc_infer.errors import InvalidRequest, StoreError
from mpc_infer.evidence.eip712 import JobRequest
from mpc_infer.ids import MaterialId, ModelHash, SessionId
from mpc_infer.party.calls import InstallCall, OpenCall, OwnerSignature, PrepareCall, Prepared, RunCall, SessionReport
from mpc_infer.rpc.messages import exactly, sealed_from, sealed_to, sealing_key_from, signature_from
from mpc_infer.sharing.sealing import Sealed
from mpc_infer.v1 import common_pb2, party_pb2

SESSION_ID_BYTES = 16
DIGEST_BYTES = 32
MAX_REASON = 200
MAX_BATCHES = 64
"""Most batches of material made in one exchange; the dealer has the same limit."""


def run_call(message: party_pb2.RunJobRequest) -> RunCall:
    """RunJob.

    Raises:
        InvalidRequest, BadSignature: malformed.
    """
    if message.material_id:
        exactly(message.material_id, SESSION_ID_BYTES, "material_id")
    return RunCall(
        session_id=SessionId(exactly(message.session_id, SESSION_ID_BYTES, "session_id")),
        lane=message.lane,
        material_id=message.material_id,
        registry_block=message.registry_block,
        request=JobRequest.from_words(message.job_request),
        owner_signature=OwnerSignature(*signature_from(message.owner_signature)),
        input_commitments=tuple(exactly(one, DIGEST_BYTES, "a commitment") for one in message.input_commitments),
        sealed_input=sealed_from(message.sealed_input),
        result_key=sealing_key_from(message.result_key) if message.HasField("result_key") else None,
    )


def install_call(message: party_pb2.InstallModelRequest) -> InstallCall:
    """InstallModel."""
    signature = OwnerSignature(*signature_from(message.owner_signature))
    return InstallCall(message.manifest, message.graph, sealed_from(message.sealed_share), signature)


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


def root_call(message: party_pb2.SignRootRequest, most: int) -> tuple[bytes, ...]:
    """SignRoot: distinct digests, at least one and not too many.

    Raises:
        InvalidRequest: otherwise.
    """
    digests = tuple(message.receipt_digests)
    if not 1 <= len(digests) <= most:
        raise InvalidRequest(f"a batch has 1 to {most} receipts, not {len(digests)}")
    if len(set(digests)) != len(digests):
        raise InvalidRequest("a batch names a receipt twice")
    return tuple(exactly(digest, DIGEST_BYTES, "a receipt digest") for digest in digests)


def opening(report: SessionReport) -> common_pb2.Opening:
    """This party's output share with its salt."""
    return common_pb2.Opening(salt=report.salt, share=report.share)


def opening_bytes(report: SessionReport) -> bytes:
    """What is sealed to the client with delivery CLIENT."""
    return opening(report).SerializeToString(deterministic=True)


def run_answer(
    receipt: bytes, signature: common_pb2.Signature, report: SessionReport, sealed: Sealed | None, session_id: SessionId
) -> party_pb2.RunJobResponse:
    """The answer to RunJob; with a sealed output, or else with an opening."""
    answer = party_pb2.RunJobResponse(
        session_id=session_id,
        receipt=receipt,
        signature=signature,
        output_commitments=report.commitments,
        cost=common_pb2.SessionCost(
            online_ms=report.online_ms,
            offline_ms=report.offline_ms,
            rounds=report.rounds,
            bytes_sent=report.bytes_sent,
            material_bytes=report.material_bytes,
        ),
    )
    if sealed is None:
        answer.opening.CopyFrom(opening(report))
    else:
        answer.sealed_output.CopyFrom(sealed_to(sealed))
    return answer


def stored_answer(data: bytes) -> party_pb2.RunJobResponse:
    """An answer as it was stored.

    Raises:
        StoreError: these bytes are none.
    """
    try:
        return party_pb2.RunJobResponse.FromString(data)
    except DecodeError as error:
        raise StoreError("a stored answer cannot be read") from error
