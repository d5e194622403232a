"""The life of jobs: taken on once, run once, answered as often as their owner asks."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from mpc_infer.clock import Clock
from mpc_infer.coordinator.accept import AcceptedJob, Rules, check_deadline
from mpc_infer.coordinator.answers import answer_of, complete, state_message
from mpc_infer.coordinator.board import Board
from mpc_infer.coordinator.collect import collect
from mpc_infer.coordinator.floor import Floor, Live
from mpc_infer.coordinator.lanes import Ticket
from mpc_infer.coordinator.material import Shape
from mpc_infer.coordinator.recovery import Recovery, memo
from mpc_infer.coordinator.session import Run, run_session
from mpc_infer.coordinator.state import move
from mpc_infer.coordinator.tasks import Owned
from mpc_infer.errors import (
    DeadlineExpired,
    InternalError,
    JobConflict,
    JobNotFound,
    MpcInferError,
)
from mpc_infer.evidence.eip712 import Receipt
from mpc_infer.ids import JobId, SessionId
from mpc_infer.rpc.status import problem_of
from mpc_infer.store import CoordinatorStore, JobRecord, JobState, NewJob, ReceiptRecord
from mpc_infer.telemetry import Log
from mpc_infer.v1 import coordinator_pb2

_LOG = Log("coordinator.jobs")
MARGIN_S = 0.25
"""A session is over so long before the job's deadline (or a fortieth of what is left, if that is shorter): its end is
stored, and the owner hears of it, in time."""
PATIENCE_S = 5.0
"""A job waits for a lane on which material is being made so long (or a quarter of its time, if that is shorter); then
the making is called off."""
MAX_UNFINISHED = 200_000
RECOVERED_AT_ONCE = 16


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
        self._recovery = Recovery(floor.parties, rules.domain, floor.clock, longest_s)
        self._recovering = asyncio.Semaphore(RECOVERED_AT_ONCE)

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

    async def recover(self) -> int:
        """At start-up: what a crash left behind is asked of the parties, and becomes DONE or FAILED. Returns how many.

        Does not wait for it: who asks for such a job meanwhile waits as for any other.
        """
        unfinished = await self._floor.ledger.do(lambda store: store.unfinished_jobs(MAX_UNFINISHED))
        for record in unfinished:
            live = self._live[record.job_id] = Live(record.request_digest)
            live.stored.set()
            live.task = self._owned.start(self._recovered(record), f"recover-{record.job_id[:4].hex()}")
        return len(unfinished)

    async def _recovered(self, record: JobRecord) -> coordinator_pb2.Job:
        try:
            async with self._recovering:
                job, answer = await self._recovery.answer(record)
            return await self._store_success(job, answer)
        except MpcInferError as error:
            _LOG.warning("a job was lost in a restart", job=record.job_id, code=error.code, reason=error.message)
            return await self._store_failure(record.job_id, error)
        finally:
            del self._live[record.job_id]
            await self._board.changed(record.job_id)

    async def _life(self, job: AcceptedJob, live: Live) -> coordinator_pb2.Job:
        try:
            ticket = self._floor.lanes.enter(job.request.owner)
            try:
                known = await self._take_on(job, live.session_id)
                live.stored.set()
                if known is not None:
                    return complete(answer_of(known))
                return await self._first_life(job, live, ticket)
            finally:
                self._floor.lanes.leave(ticket)
        finally:
            del self._live[job.job_id]
            await self._board.changed(job.job_id)
            self._floor.keeper.wake()

    async def _take_on(self, job: AcceptedJob, session_id: SessionId) -> JobRecord | None:
        """Store the job. After its deadline, and while the chain cannot be read, only a known job passes."""
        floor = self._floor
        try:
            check_deadline(job.request, floor.clock.now_ms())
            await floor.head.block_for(job.request.model_hash, job.request.owner)
        except MpcInferError:
            if not await floor.ledger.do(lambda store: _is_known(store, job.job_id)):
                raise
        new = _new(job, session_id, floor.clock)
        return await floor.ledger.do(lambda store: store.add_job(new))

    async def _first_life(self, job: AcceptedJob, live: Live, ticket: Ticket) -> coordinator_pb2.Job:
        try:
            return await self._run(job, live, ticket)
        except MpcInferError as error:
            self._floor.head.failed(job.request.model_hash, job.request.owner)
            _LOG.info("failed", job=job.job_id, code=error.code, reason=error.message, party=error.party)
            return await self._store_failure(job.job_id, error)
        except asyncio.CancelledError:
            # The coordinator stops. The store says ACCEPTED; the next start asks the parties for it.
            raise
        except Exception as error:
            _LOG.error("a job failed by a defect", exception=error, job=job.job_id)
            await self._store_failure(job.job_id, InternalError("the coordinator failed on this job"))
            raise

    async def _run(self, job: AcceptedJob, live: Live, ticket: Ticket) -> coordinator_pb2.Job:
        floor, shape = self._floor, Shape(job.request.model_hash, job.request.rows)
        async with self._lane(job, ticket) as lane:
            block = await self._block(job)
            live.state = move(live.state, JobState.RUNNING)
            await self._board.changed(job.job_id)
            run = Run(
                job=job,
                session_id=live.session_id,
                lane=lane,
                material_id=await floor.keeper.material(lane, shape, self._time_left(job) / 2),
                registry_block=block,
                timeout_s=self._time_left(job),
            )
            answer = await self._session(run)
        floor.head.worked(job.request.model_hash, job.request.owner)
        floor.stock.used(shape)
        return await self._store_success(job, answer)

    @asynccontextmanager
    async def _lane(self, job: AcceptedJob, ticket: Ticket) -> AsyncIterator[int]:
        left_s = self._time_left(job)
        async with AsyncExitStack() as stack:
            try:
                lane = await stack.enter_async_context(
                    self._floor.lanes.lane(ticket, left_s, min(PATIENCE_S, left_s / 4))
                )
            except DeadlineExpired as error:
                error.party = self._floor.keeper.suspect
                raise
            yield lane

    async def _block(self, job: AcceptedJob) -> int:
        try:
            async with asyncio.timeout(self._time_left(job)):
                return await self._floor.head.block_for(job.request.model_hash, job.request.owner)
        except TimeoutError as error:
            raise DeadlineExpired("the deadline passed while the chain's head was read") from error

    async def _session(self, run: Run) -> coordinator_pb2.Job:
        try:
            answers = await run_session(self._floor.parties, run)
        except MpcInferError:
            self._floor.stock.drop_lane(run.lane)
            raise
        return collect(run, answers, self._floor.members, self._rules.domain)

    def _time_left(self, job: AcceptedJob) -> float:
        """Seconds until the job must be over, so that its end is stored by its deadline."""
        left = (job.request.deadline - self._floor.clock.now_ms()) / 1000
        if left <= 0:
            raise DeadlineExpired("the deadline passed before the job could run", remedy="give the job more time")
        return min(left - min(MARGIN_S, left / 40), self._longest_s)

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


def _is_known(store: CoordinatorStore, job_id: JobId) -> bool:
    try:
        store.job(job_id)
    except JobNotFound:
        return False
    return True


def _new(job: AcceptedJob, session_id: SessionId, clock: Clock) -> NewJob:
    return NewJob(
        job_id=job.job_id,
        owner=job.request.owner,
        model_hash=job.request.model_hash,
        request_digest=job.submission,
        request=memo(job, session_id),
        created_ms=clock.now_ms(),
    )


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
