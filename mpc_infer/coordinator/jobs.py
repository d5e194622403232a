"""The life of jobs: taken on once, run once, answered as often as their owner asks."""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mpc_infer.clock import Clock
from mpc_infer.coordinator.accept import AcceptedJob, Rules
from mpc_infer.coordinator.board import Board
from mpc_infer.coordinator.collect import collect
from mpc_infer.coordinator.head import Head
from mpc_infer.coordinator.lanes import LanePool, Ticket
from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.coordinator.material import Keeper, Shape, Stock
from mpc_infer.coordinator.parties import PartyDoor
from mpc_infer.coordinator.session import Run, run_session
from mpc_infer.coordinator.state import move
from mpc_infer.coordinator.tasks import Owned
from mpc_infer.errors import (
    ChainUnavailable,
    DeadlineExpired,
    InternalError,
    JobConflict,
    JobNotFound,
    MpcInferError,
    SessionAborted,
)
from mpc_infer.evidence.eip712 import Receipt
from mpc_infer.ids import Address, JobId, SessionId
from mpc_infer.rpc.status import problem_of
from mpc_infer.store import CoordinatorStore, JobRecord, JobState, NewJob, ReceiptRecord
from mpc_infer.telemetry import Log
from mpc_infer.v1 import common_pb2, coordinator_pb2

_LOG = Log("coordinator.jobs")
LAST_WORDS_S = 0.5
"""A session is given up so long before the job's deadline (or a twentieth of what is left, if that is shorter), so that
the owner hears in time whose fault it was."""


@dataclass
class Live:
    """A job that is not over yet."""

    submission: bytes
    state: JobState = JobState.ACCEPTED
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[coordinator_pb2.Job] | None" = None


@dataclass(frozen=True)
class Floor:
    """What jobs run on."""

    parties: Sequence[PartyDoor]
    lanes: LanePool
    stock: Stock
    keeper: Keeper
    head: Head
    ledger: Ledger
    clock: Clock

    @property
    def members(self) -> tuple[Address, ...]:
        """The parties' addresses in order."""
        return tuple(party.address for party in self.parties)


class Jobs:
    """Runs jobs. Each is a task of ours: a caller that goes away does not end it."""

    def __init__(
        self,
        floor: Floor,
        rules: Rules,
        board: Board,
        owned: Owned,
        *,
        longest_s: float,
        receipt_stored: Callable[[], None],
    ) -> None:
        self._floor = floor
        self._rules = rules
        self._board = board
        self._owned = owned
        self._longest_s = longest_s
        self._receipt_stored = receipt_stored
        self._live: dict[JobId, Live] = {}

    def live_state(self, job_id: JobId) -> JobState | None:
        """The state of a job that is not over yet."""
        live = self._live.get(job_id)
        return live.state if live is not None else None

    async def submit(self, job: AcceptedJob, *, detach: bool) -> coordinator_pb2.Job:
        """Run a job, or join in if it runs already, or return its stored answer.

        Args:
            job: from Rules.accept.
            detach: return as soon as the job is stored.

        Raises:
            JobConflict: the id belongs to a job with other contents.
            Unavailable: too many jobs wait; nothing was stored.
        """
        live = self._live.get(job.job_id)
        if live is None:
            live = self._live[job.job_id] = Live(job.submission)
            live.task = self._owned.start(self._life(job, live), f"job-{job.job_id[:4].hex()}")
        elif live.submission != job.submission:
            raise JobConflict("this job id is in use with other contents", remedy="choose a new job id")
        if live.task is None:
            raise InternalError("a job has no task")
        if detach:
            return await _stored(job.job_id, live, live.task)
        return await asyncio.shield(live.task)

    async def fail_unfinished(self) -> int:
        """At start-up: what a crash left behind becomes FAILED. Returns how many."""
        count = 0
        error = SessionAborted("the coordinator was restarted while the job was under way")
        while unfinished := await self._floor.ledger.do(lambda store: store.unfinished_jobs()):
            for record in unfinished:
                await self._store_failure(record.job_id, error)
            count += len(unfinished)
        return count

    async def _life(self, job: AcceptedJob, live: Live) -> coordinator_pb2.Job:
        try:
            ticket = self._floor.lanes.enter(job.request.owner)
            try:
                known = await self._take_on(job)
                live.stored.set()
                if known is not None:
                    return answer_of(known)
                return await self._first_life(job, live, ticket)
            finally:
                self._floor.lanes.leave(ticket)
        finally:
            del self._live[job.job_id]
            await self._board.changed(job.job_id)
            self._floor.keeper.wake()

    async def _take_on(self, job: AcceptedJob) -> JobRecord | None:
        """Store the job. While the chain cannot be read only known jobs pass: a new one may be sent again later."""
        try:
            await self._floor.head.block_for(job.request.model_hash, job.request.owner)
        except ChainUnavailable:
            if not await self._floor.ledger.do(lambda store: _is_known(store, job.job_id)):
                raise
        return await self._floor.ledger.do(lambda store: store.add_job(_new(job, self._floor.clock)))

    async def _first_life(self, job: AcceptedJob, live: Live, ticket: Ticket) -> coordinator_pb2.Job:
        try:
            return await self._run(job, live, ticket)
        except MpcInferError as error:
            self._floor.head.failed(job.request.model_hash, job.request.owner)
            _LOG.info("failed", job=job.job_id, code=error.code, reason=error.message, party=error.party)
            return await self._store_failure(job.job_id, error)
        except asyncio.CancelledError:
            # The coordinator stops. The store says ACCEPTED; the next start makes it FAILED.
            raise
        except Exception as error:
            _LOG.error("a job failed by a defect", exception=error, job=job.job_id)
            await self._store_failure(job.job_id, InternalError("the coordinator failed on this job"))
            raise

    async def _run(self, job: AcceptedJob, live: Live, ticket: Ticket) -> coordinator_pb2.Job:
        floor, shape = self._floor, Shape(job.request.model_hash, job.request.rows)
        async with floor.lanes.lane(ticket, self._time_left(job)) as lane:
            block = await floor.head.block_for(job.request.model_hash, job.request.owner)
            live.state = move(live.state, JobState.RUNNING)
            await self._board.changed(job.job_id)
            run = Run(
                job=job,
                session_id=SessionId(secrets.token_bytes(16)),
                lane=lane,
                material_id=await floor.keeper.material(lane, shape, self._time_left(job) / 2),
                registry_block=block,
                timeout_s=_cutoff(self._time_left(job)),
            )
            answer = await self._session(run)
        floor.head.worked(job.request.model_hash, job.request.owner)
        floor.stock.used(shape)
        return await self._store_success(job, answer)

    async def _session(self, run: Run) -> coordinator_pb2.Job:
        try:
            answers = await run_session(self._floor.parties, run)
        except MpcInferError:
            self._floor.stock.drop_lane(run.lane)
            raise
        return collect(run, answers, self._floor.members, self._rules.domain)

    def _time_left(self, job: AcceptedJob) -> float:
        left = (job.request.deadline - self._floor.clock.now_ms()) / 1000
        if left <= 0:
            raise DeadlineExpired("the deadline passed before the job could run", remedy="give the job more time")
        return min(left, self._longest_s)

    async def _store_success(self, job: AcceptedJob, answer: coordinator_pb2.Job) -> coordinator_pb2.Job:
        digest = Receipt.from_words(answer.receipt.receipt).digest(self._rules.domain)
        signed = answer.receipt.SerializeToString()
        receipt = ReceiptRecord(job.job_id, digest, signed, job.request.party_set)
        data, now_ms = answer.SerializeToString(), self._floor.clock.now_ms()
        await self._floor.ledger.do(lambda store: store.finish_job(job.job_id, data, receipt, now_ms))
        self._receipt_stored()
        return answer

    async def _store_failure(self, job_id: JobId, error: MpcInferError) -> coordinator_pb2.Job:
        problem, now_ms = problem_of(error), self._floor.clock.now_ms()
        data = problem.SerializeToString()
        await self._floor.ledger.do(lambda store: store.fail_job(job_id, data, now_ms))
        return coordinator_pb2.Job(job_id=job_id, state=coordinator_pb2.JOB_STATE_FAILED, problem=problem)


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


def state_message(job_id: JobId, state: JobState) -> coordinator_pb2.Job:
    """A job's state alone."""
    return coordinator_pb2.Job(job_id=job_id, state=f"JOB_STATE_{state.name}")


def _is_known(store: CoordinatorStore, job_id: JobId) -> bool:
    try:
        store.job(job_id)
    except JobNotFound:
        return False
    return True


def _new(job: AcceptedJob, clock: Clock) -> NewJob:
    return NewJob(
        job_id=job.job_id,
        owner=job.request.owner,
        model_hash=job.request.model_hash,
        request_digest=job.submission,
        request=job.message.job_request,
        created_ms=clock.now_ms(),
    )


def _cutoff(left_s: float) -> float:
    return left_s - min(LAST_WORDS_S, left_s / 20)


async def _stored(job_id: JobId, live: Live, task: "asyncio.Task[coordinator_pb2.Job]") -> coordinator_pb2.Job:
    """Wait until a job is stored, or over."""
    stored = asyncio.ensure_future(live.stored.wait())
    try:
        await asyncio.wait({stored, task}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return await task
    finally:
        stored.cancel()
    return state_message(job_id, live.state)
