"""The jobs of a session as a lane gets them, and what it reports of them. The other side: `party/lane_messages.py`."""

from typing import Any

from mpc_infer.engine.jobs import JobResult, SessionJob
from mpc_infer.engine.session import SessionResult, SessionSpec
from mpc_infer.errors import MpcInferError
from mpc_infer.ids import Address, JobId, ModelHash, SessionId
from mpc_infer.party.frames import Message, error_fields
from mpc_infer.preprocessing import Plan
from mpc_infer.sharing.tensors import decode_tensors, encode_tensors


def session_of(request: Message, addresses: tuple[Address, ...]) -> SessionSpec:
    """The session that a message ``run`` asks for."""
    jobs = tuple(_job(request, index) for index in range(request.integer("jobs")))
    return SessionSpec(SessionId(request.blob("session")), ModelHash(request.blob("model")), addresses, jobs)


def _job(request: Message, index: int) -> SessionJob:
    given = request.blobs.get(f"inputs-{index}")
    return SessionJob(
        JobId(request.blob(f"job-{index}")),
        request.integer(f"rows-{index}"),
        request.blob(f"terms-{index}"),
        None if given is None else decode_tensors(given),
    )


def result_message(result: SessionResult, offline_ms: float, plan: Plan) -> Message:
    """What a session gave."""
    fields: dict[str, Any] = {
        "jobs": len(result.jobs),
        "started_ms": result.started_ms,
        "finished_ms": result.finished_ms,
        "online_ms": result.online_ms,
        "offline_ms": offline_ms,
        "rounds": result.rounds,
        "bytes_sent": result.bytes_sent,
        "material_bytes": plan.material_bytes,
    }
    blobs = {"transcript": result.transcript, "plan": result.plan_digest}
    for index, job in enumerate(result.jobs):
        if isinstance(job, MpcInferError):
            fields |= error_fields(job, f"-{index}")
        else:
            blobs |= _job_blobs(job, index)
    return Message("result", fields=fields, blobs=blobs)


def _job_blobs(job: JobResult, index: int) -> dict[str, bytes]:
    return {
        f"share-{index}": encode_tensors(job.share),
        f"salt-{index}": job.salt,
        f"commitments-{index}": b"".join(job.commitments),
    }
