"""Jobs as their owners see them."""

from mpc_infer.errors import JobNotFound
from mpc_infer.ids import JobId
from mpc_infer.store import JobRecord, JobState
from mpc_infer.v1 import common_pb2, coordinator_pb2


def answer_of(record: JobRecord, live: JobState | None = None) -> coordinator_pb2.Job:
    """A stored job as its owner sees it.

    Args:
        record: the job.
        live: its state in memory, where that is further than the stored one.
    """
    state = record.state if live is None or record.state >= JobState.DONE else live
    job = state_message(record.job_id, state)
    if record.result is not None:
        job = coordinator_pb2.Job.FromString(record.result)
        job.MergeFrom(state_message(record.job_id, state))
    if record.problem is not None:
        job.problem.CopyFrom(common_pb2.Problem.FromString(record.problem))
    return job


def complete(job: coordinator_pb2.Job) -> coordinator_pb2.Job:
    """A job's answer, if it is still there.

    Raises:
        JobNotFound: its result was dropped; its receipt is kept.
    """
    if job.state in (coordinator_pb2.JOB_STATE_DONE, coordinator_pb2.JOB_STATE_ANCHORED) and not job.session_id:
        raise JobNotFound("the job's result is no longer kept", remedy="its receipt is: ask with GetReceipt")
    return job


def state_message(job_id: JobId, state: JobState) -> coordinator_pb2.Job:
    """A job's state alone."""
    return coordinator_pb2.Job(job_id=job_id, state=f"JOB_STATE_{state.name}")
