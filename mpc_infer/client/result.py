"""What an inference gives back."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_infer.client.check import Answer
from mpc_infer.evidence.receipt import SignedReceipt, SignedRequest
from mpc_infer.ids import Address, JobId, ModelHash
from mpc_infer.v1 import coordinator_pb2


@dataclass(frozen=True)
class Timings:
    """Milliseconds.

    Attributes:
        online_ms: the slowest party's session, from input shares to output shares.
        offline_ms: the slowest party's making of material, whenever that was.
        end_to_end_ms: from the call of `infer` to its return.
    """

    online_ms: float
    offline_ms: float
    end_to_end_ms: float


@dataclass(frozen=True)
class Cost:
    """What the session cost.

    Attributes:
        rounds: rounds of communication among the parties.
        bytes_per_party: bytes that each party sent to the others, in the party set's order.
        material_bytes: bytes of correlated randomness that each party used.
    """

    rounds: int
    bytes_per_party: tuple[int, ...]
    material_bytes: tuple[int, ...]


@dataclass(frozen=True)
class InferenceResult:
    """The result of one job and the evidence for it.

    Attributes:
        outputs: float64 array per output name, with as many rows as were sent.
        receipt: signed by every party of the set. It says what the parties claim they ran.
        request: what was signed and sent, which the receipt answers.
        answer: openings of the parties' output shares; they prove the result to whom they are shown.
    """

    job_id: JobId
    model_hash: ModelHash
    members: tuple[Address, ...]
    outputs: dict[str, NDArray[np.float64]] = field(repr=False)
    receipt: SignedReceipt = field(repr=False)
    request: SignedRequest = field(repr=False)
    timings: Timings
    cost: Cost
    answer: Answer = field(repr=False)


@dataclass(frozen=True)
class JobStatus:
    """A job's state as the coordinator tells it.

    Attributes:
        state: ACCEPTED, RUNNING, DONE, ANCHORED or FAILED.
        code: in state FAILED, the error's code.
        message: in state FAILED, what happened.
    """

    job_id: JobId
    state: str
    code: str = ""
    message: str = ""


def timings_of(job: coordinator_pb2.Job, end_to_end_ms: float) -> Timings:
    """The timings that the parties report; nobody vouches for them."""
    online = max((cost.online_ms for cost in job.costs), default=0.0)
    offline = max((cost.offline_ms for cost in job.costs), default=0.0)
    return Timings(online, offline, end_to_end_ms)


def cost_of(job: coordinator_pb2.Job) -> Cost:
    """The cost that the parties report; nobody vouches for it."""
    return Cost(
        rounds=max((cost.rounds for cost in job.costs), default=0),
        bytes_per_party=tuple(cost.bytes_sent for cost in job.costs),
        material_bytes=tuple(cost.material_bytes for cost in job.costs),
    )


def status_of(job: coordinator_pb2.Job) -> JobStatus:
    """A job's state without its contents."""
    state = coordinator_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_")
    return JobStatus(JobId(job.job_id), state, job.problem.code, job.problem.message)
