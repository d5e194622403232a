"""Jobs from the data owner's side: submit, follow, get, and all three in `infer`."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from numpy.typing import ArrayLike

from mpc_infer.client.check import check_answer
from mpc_infer.client.core import Core
from mpc_infer.client.facts import ModelFacts, NetworkFacts
from mpc_infer.client.inputs import encode_inputs, rows_of
from mpc_infer.client.request import Order, Prepared, prepare
from mpc_infer.client.result import InferenceResult, JobStatus, cost_of, status_of, timings_of
from mpc_infer.errors import (
    DeadlineExpired,
    InvalidRequest,
    ModelInactive,
    ModelNotFound,
    MpcInferError,
    PartySetMismatch,
    SealingFailed,
)
from mpc_infer.evidence.eip712 import Delivery
from mpc_infer.evidence.receipt import SignedRequest
from mpc_infer.ids import JobId
from mpc_infer.sharing import fixed
from mpc_infer.v1 import coordinator_pb2

ANSWER_GRACE_S = 3.0
"""How long after a job's deadline its error is still waited for: it says which party was at fault."""
STALE_FACTS = (ModelInactive, ModelNotFound, PartySetMismatch, SealingFailed)
TERMINAL = (coordinator_pb2.JOB_STATE_ANCHORED, coordinator_pb2.JOB_STATE_FAILED)
RECONNECT_S = 0.25
LONGEST_S = 3600.0
"""Parties refuse a deadline that is further ahead."""
UNFINISHED = ("ACCEPTED", "RUNNING")


@dataclass(frozen=True)
class Submission:
    """A job that was sent: keep it to follow the job and to check its answer.

    Attributes:
        prepared: the request, with the keys that only its owner has.
        deadline: when the job's answer is due, on the clock of ``time.monotonic()``.
        started: when the caller asked, on the same clock.
    """

    prepared: Prepared
    deadline: float
    started: float

    @property
    def job_id(self) -> JobId:
        """The job's 32 bytes."""
        return self.prepared.job_id


class Jobs:
    """Sends jobs and checks their answers."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def prepare(
        self, model: str, inputs: Mapping[str, ArrayLike], delivery: str, deadline_s: float, *, detach: bool
    ) -> Submission:
        """Check, encode, split, seal and sign; nothing is sent.

        Raises:
            InvalidInput: an input cannot be used; the subclass and message say why.
            PartySetMismatch: the coordinator's network is not the chain's.
            ModelNotFound: the name has no active version.
            DeadlineExpired: the coordinator or the chain did not answer in time.
        """
        started = time.monotonic()
        if not 0 < deadline_s <= LONGEST_S:
            raise InvalidRequest(f"deadline_s is {deadline_s}", remedy=f"give at most {LONGEST_S:.0f} seconds")
        network, facts = await self._facts(model, started + deadline_s)
        manifest = facts.manifest
        rings = encode_inputs(manifest, inputs)
        order = Order(
            model=facts,
            inputs=rings,
            rows=rows_of(manifest.inputs, rings),
            delivery=_delivery(delivery),
            deadline_ms=self._core.clock.now_ms() + int(deadline_s * 1000),
            detach=detach,
        )
        prepared = prepare(order, network, self._core.domain, self._core.signer)
        return Submission(prepared, started + deadline_s, started)

    async def _facts(self, model: str, deadline: float) -> tuple[NetworkFacts, ModelFacts]:
        facts = self._core.facts
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                return await asyncio.gather(facts.network(deadline), facts.model(model, deadline))
        except TimeoutError as error:
            raise DeadlineExpired("the deadline passed while coordinator and chain were asked for the model") from error

    async def send(self, submission: Submission) -> coordinator_pb2.Job:
        """Send the job's bytes, again where that is allowed, and return the coordinator's answer, unchecked.

        Raises:
            MpcInferError: the job was refused, or the coordinator cannot be reached.
        """
        try:
            deadline = submission.deadline + ANSWER_GRACE_S
            answer = await self._core.door.call("SubmitJob", submission.prepared.message, deadline)
        except STALE_FACTS:
            self._core.facts.forget()
            raise
        return _job_of(answer)

    async def get(self, submission: Submission) -> InferenceResult:
        """The checked result of a submitted job, as soon as there is one.

        Raises:
            DeadlineExpired: there is none by the job's deadline.
            ReceiptInvalid: the answer does not check out.
            MpcInferError: the job failed.
        """
        left = submission.deadline + ANSWER_GRACE_S - time.monotonic()
        async for status in self.watch(submission.job_id, max(left, ANSWER_GRACE_S)):
            if status.state not in UNFINISHED:
                break
        request = coordinator_pb2.GetJobRequest(job_id=submission.job_id)
        answer = await self._core.door.call("GetJob", request, time.monotonic() + ANSWER_GRACE_S)
        return self.checked(submission, _job_of(answer))

    def checked(self, submission: Submission, job: coordinator_pb2.Job) -> InferenceResult:
        """Check a job's answer and decode it. Costs one signature recovery per party.

        Raises:
            ReceiptInvalid: the answer does not check out.
            MpcInferError: the error of a failed job.
        """
        prepared = submission.prepared
        try:
            answer = check_answer(prepared, job, self._core.domain)
        except STALE_FACTS:
            self._core.facts.forget()
            raise
        frac_bits = prepared.model.manifest.frac_bits
        outputs = {name: fixed.decode(ring, frac_bits=frac_bits) for name, ring in answer.outputs.items()}
        elapsed_ms = (time.monotonic() - submission.started) * 1000
        return InferenceResult(
            job_id=prepared.job_id,
            model_hash=prepared.model.manifest.hash,
            members=prepared.network.members,
            outputs=outputs,
            receipt=answer.receipt,
            request=SignedRequest(prepared.request, prepared.message.owner_signature.signature),
            timings=timings_of(job, elapsed_ms),
            cost=cost_of(job),
            answer=answer,
        )

    async def watch(self, job_id: JobId, timeout_s: float) -> AsyncIterator[JobStatus]:
        """Every change of a job's state until it is anchored or failed. Survives a coordinator's restart.

        Args:
            job_id: one of our jobs.
            timeout_s: seconds until this is given up.

        Raises:
            DeadlineExpired: the job did not end in time.
            MpcInferError: the coordinator refuses.
        """
        request, last = coordinator_pb2.WatchJobRequest(job_id=job_id), None
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            try:
                async for answer in self._core.door.watch(request, left):
                    if answer.job.state != last:
                        last = answer.job.state
                        yield status_of(answer.job)
                    if last in TERMINAL:
                        return
            except MpcInferError as error:
                if not error.retryable:
                    raise
            await asyncio.sleep(RECONNECT_S)
        raise DeadlineExpired(f"job {job_id[:4].hex()} did not come to its end in time", remedy="watch it again")


def _job_of(answer: coordinator_pb2.SubmitJobResponse | coordinator_pb2.GetJobResponse) -> coordinator_pb2.Job:
    return answer.job


def _delivery(text: str) -> Delivery:
    try:
        return Delivery[text.upper()]
    except KeyError:
        raise InvalidRequest(f"delivery {text!r}", remedy="choose 'coordinator' or 'client'") from None
