"""A session as the main process asks a lane for it, and what the lane reports. The other side is `lane/jobs.py`.

Of job k, ``run`` has the blobs ``job-k`` (its id), ``terms-k`` and, unless this party has refused it, ``inputs-k``, and
the field ``rows-k``. The report has the blobs ``share-k``, ``salt-k`` and ``commitments-k``, or else the fields of an
error whose names end in ``-k``: why it did not run.
"""

from collections.abc import Mapping, Sequence

from mpc_infer.errors import InternalError, MpcInferError
from mpc_infer.party.calls import JobReport, SessionCall, SessionReport
from mpc_infer.party.checks import CheckedJob
from mpc_infer.party.frames import Message, error_of

_DIGEST_BYTES = 32


def run_message(
    call: SessionCall, accepted: Mapping[int, CheckedJob], terms: Sequence[bytes], deadline_ms: int
) -> Message:
    """A session.

    Args:
        call: as it came.
        accepted: the jobs that this party runs, by position.
        terms: of all jobs.
        deadline_ms: Unix milliseconds.
    """
    fields = {"rows": call.rows, "jobs": len(call.jobs), "deadline_ms": deadline_ms}
    blobs = {"session": call.session_id, "model": call.model_hash, "material": call.material_id}
    for index, (job, its_terms) in enumerate(zip(call.jobs, terms, strict=True)):
        fields[f"rows-{index}"] = job.request.rows
        blobs |= {f"job-{index}": job.request.job_id, f"terms-{index}": its_terms}
        if index in accepted:
            blobs[f"inputs-{index}"] = accepted[index].inputs
    return Message("run", fields=fields, blobs=blobs)


def report_of(answer: Message) -> SessionReport:
    """What a lane reports of a session."""
    return SessionReport(
        jobs=tuple(_job_report(answer, index) for index in range(answer.integer("jobs"))),
        transcript=answer.blob("transcript"),
        plan_digest=answer.blob("plan"),
        started_ms=answer.integer("started_ms"),
        finished_ms=answer.integer("finished_ms"),
        online_ms=answer.real("online_ms"),
        offline_ms=answer.real("offline_ms"),
        rounds=answer.integer("rounds"),
        bytes_sent=answer.integer("bytes_sent"),
        material_bytes=answer.integer("material_bytes"),
    )


def _job_report(answer: Message, index: int) -> JobReport | MpcInferError:
    if f"share-{index}" not in answer.blobs:
        return error_of(answer, f"-{index}")
    joined = answer.blob(f"commitments-{index}")
    if len(joined) % _DIGEST_BYTES:
        raise InternalError("a lane answered commitments of a wrong length")
    commitments = tuple(joined[start : start + _DIGEST_BYTES] for start in range(0, len(joined), _DIGEST_BYTES))
    return JobReport(answer.blob(f"share-{index}"), answer.blob(f"salt-{index}"), commitments)
