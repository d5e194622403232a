"""What a fleet and its parties say to each other, as `mpc_infer.party.frames` messages."""

from dataclasses import dataclass
from typing import Any

from mpc_infer.encoding import DIGEST_BYTES
from mpc_infer.engine.jobs import JobResult
from mpc_infer.engine.session import SessionResult
from mpc_infer.party.frames import Message
from mpc_infer.sharing import decode_tensors, encode_tensors

MAX_SHARE_BYTES = 1 << 30


@dataclass(frozen=True, repr=False)
class PartyResult:
    """What a session of one job gave a party; see `SessionResult` and `JobResult`."""

    output_share: dict[str, Any]
    salt: bytes
    commitments: tuple[bytes, ...]
    transcript: bytes
    plan_digest: bytes
    started_ms: int
    finished_ms: int
    online_ms: float
    evaluated_ms: float
    rounds: int
    bytes_sent: int


def result_message(result: SessionResult) -> Message:
    """What a session gave a party: its only job, or the reason why that did not run is raised."""
    (job,) = result.jobs
    if not isinstance(job, JobResult):
        raise job
    fields = {
        "started_ms": result.started_ms,
        "finished_ms": result.finished_ms,
        "online_ms": result.online_ms,
        "evaluated_ms": result.evaluated_ms,
        "rounds": result.rounds,
        "bytes_sent": result.bytes_sent,
    }
    blobs = {
        "share": encode_tensors(job.share),
        "salt": job.salt,
        "commitments": b"".join(job.commitments),
        "transcript": result.transcript,
        "plan": result.plan_digest,
    }
    return Message("result", fields=fields, blobs=blobs)


def result_of(message: Message) -> PartyResult:
    """The inverse of `result_message`."""
    joined = message.blob("commitments")
    return PartyResult(
        output_share=decode_tensors(message.blob("share"), max_bytes=MAX_SHARE_BYTES),
        salt=message.blob("salt"),
        commitments=tuple(joined[at : at + DIGEST_BYTES] for at in range(0, len(joined), DIGEST_BYTES)),
        transcript=message.blob("transcript"),
        plan_digest=message.blob("plan"),
        started_ms=message.integer("started_ms"),
        finished_ms=message.integer("finished_ms"),
        online_ms=message.real("online_ms"),
        evaluated_ms=message.real("evaluated_ms"),
        rounds=message.integer("rounds"),
        bytes_sent=message.integer("bytes_sent"),
    )


def arrays_message(arrays: list[Any]) -> Message:
    """Arrays of 64-bit words."""
    return Message("arrays", blobs={f"{index}": encode_tensors({"array": one}) for index, one in enumerate(arrays)})


def arrays_of(message: Message) -> list[Any]:
    """The inverse of `arrays_message`; signed words come back unsigned."""
    return [decode_tensors(blob, max_bytes=MAX_SHARE_BYTES)["array"] for blob in message.blobs.values()]
