"""The life of jobs: taken on once, run once, answered as often as their owner asks.

What is stored before what: before anybody is told that a job is accepted, its row; before anybody is told that it is
over, its end. The row is written while the session runs already. If the coordinator dies in between, the
job is unknown here and nobody was told otherwise; its owner sends the same bytes again, in time, and parties that ran
it give the answer that they stored. What is stored survives the end of the process. The disk is waited for only where
the owner leaves without an answer (`detach`); otherwise a loss of power within a tenth of a second takes what the
parties still have (ADR 14).
"""

import asyncio
from collections.abc import Callable

from mpc_infer.coordinator.accept import AcceptedJob, check_deadline
from mpc_infer.coordinator.answers import answer_of, complete, state_message
from mpc_infer.coordinator.batching import Place
from mpc_infer.coordinator.board import Board
from mpc_infer.coordinator.collect import Collected
from mpc_infer.coordinator.dispatch import Dispatch, DispatchRules
from mpc_infer.coordinator.floor import Floor, Live
from mpc_infer.coordinator.recovery import Recovery, memo
from mpc_infer.coordinator.state import move
from mpc_infer.coordinator.tasks import Owned
from mpc_infer.errors import InternalError, JobConflict, MpcInferError
from mpc_infer.ids import Address, JobId, PartySetId
from mpc_infer.rpc.status import problem_of
from mpc_infer.store import EndedJob, JobRecord, JobState, NewJob, ReceiptRecord
from mpc_infer.telemetry import Log
from mpc_infer.v1 import coordinator_pb2

_LOG = Log("coordinator.jobs")
MAX_UNFINISHED = 200_000
RECOVERED_AT_ONCE = 16


class Jobs:
    """Runs jobs. Each is a task of ours: a caller that goes away does not end it."""

    def __init__(
        self,
        floor: Floor,
        rules: DispatchRules,
        party_set: PartySetId,
        board: Board,
        owned: Owned,
        *,
        receipt_stored: Callable[[], None],
    ) -> None:
        self._floor = floor
        self._party_set = party_set
        self._board = board
        self._owned = owned
        self._receipt_stored = receipt_stored
        self._live: dict[JobId, Live] = {}
        self._dispatch = Dispatch(floor, rules, owned)
        self._recovery = Recovery(floor.parties, rules.domain, floor.clock, rules.longest_s)
        self._recovering = asyncio.Semaphore(RECOVERED_AT_ONCE)

    def live_state(self, job_id: JobId) -> JobState | None:
        """The state of a job that is not over yet."""
        live = self._live.get(job_id)
        return live.state if live is not None else None

    async def submit(self, job: AcceptedJob, *, detach: bool) -> coordinator_pb2.Job:
        """Run a job, or join in if it runs already, or return its stored answer.

        Args:
            job: from Rules.accept.
            detach: return as soon as the job is stored, and on the disk.

        Raises:
            JobConflict: the id belongs to a job with other contents.
            Unavailable: too many jobs wait; nothing was stored.
        """
        live = self._live.get(job.job_id)
        if live is None:
            live = self._live[job.job_id] = Live(job.submission, durable=detach)
            live.task = self._owned.start(self._life(job, live), f"job-{job.job_id[:4].hex()}")
        elif live.submission != job.submission:
            raise JobConflict("this job id is in use with other contents", remedy="choose a new job id")
        if live.task is None:
            raise InternalError("a job has no task")
        if detach:
            return await self._stored(job.job_id, live, live.task)
        return await asyncio.shield(live.task)

    async def _stored(
        self, job_id: JobId, live: Live, task: "asyncio.Task[coordinator_pb2.Job]"
    ) -> coordinator_pb2.Job:
        """Wait until a job is stored, or over. Who leaves now leaves it to the disk, whoever brought it first."""
        stored = asyncio.ensure_future(live.stored.wait())
        try:
            await asyncio.wait({stored, task}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return await task
        finally:
            stored.cancel()
        if not live.durable:
            await self._floor.ledger.sync()
        return state_message(job_id, live.state)

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
                found = await self._recovery.answer(record)
            return await self._store_success(found)
        except MpcInferError as error:
            _LOG.warning("a job was lost in a restart", job=record.job_id, code=error.code, reason=error.message)
            return await self._store_failure(record.job_id, error)
        finally:
            del self._live[record.job_id]
            await self._board.changed(record.job_id)

    async def _life(self, job: AcceptedJob, live: Live) -> coordinator_pb2.Job:
        try:
            known = await self._known(job)
            return complete(answer_of(known)) if known is not None else await self._first_life(job, live)
        finally:
            del self._live[job.job_id]
            await self._board.changed(job.job_id)

    async def _known(self, job: AcceptedJob) -> JobRecord | None:
        """The job, if it was taken on before. After its deadline, or without the chain, only such pass."""
        floor, new = self._floor, _new(job, 0)
        known = None
        if floor.ledger.store.has_job(new.job_id):  # a look into memory: a thread would cost more than it
            known = await floor.ledger.read(lambda store: store.same_job(new))
        if known is None:
            check_deadline(job.request, floor.clock.now_ms())
            await floor.head.block_for(job.request.model_hash, job.request.owner)
        return known

    async def _first_life(self, job: AcceptedJob, live: Live) -> coordinator_pb2.Job:
        """Queue it, store it while it waits or runs already, and store its end.

        Raises:
            Unavailable: too many jobs wait; nothing was stored.
            StoreError: it could not be stored, and is not known here.
        """

        async def started() -> None:
            live.state = move(live.state, JobState.RUNNING)
            await self._board.changed(job.job_id)

        place = self._dispatch.enter(job, started)
        stored = self._owned.start(self._accept(job, live), f"accept-{job.job_id[:4].hex()}")
        try:
            return await self._end(job, place, stored)
        except Exception as error:
            if isinstance(error, MpcInferError):
                raise
            _LOG.error("a job failed by a defect", exception=error, job=job.job_id)
            await self._store_failure(job.job_id, InternalError("the coordinator failed on this job"))
            raise

    async def _accept(self, job: AcceptedJob, live: Live) -> None:
        new = _new(job, self._floor.clock.now_ms())
        await self._floor.ledger.accept(new, durable=live.durable)
        live.stored.set()

    async def _end(self, job: AcceptedJob, place: Place, stored: "asyncio.Task[None]") -> coordinator_pb2.Job:
        head, request = self._floor.head, job.request
        try:
            found = await self._dispatch.outcome(place)
        except MpcInferError as error:
            head.failed(request.model_hash, request.owner)
            _LOG.info("failed", job=job.job_id, code=error.code, reason=error.message, party=error.party)
            await stored
            return await self._store_failure(job.job_id, error)
        head.worked(request.model_hash, request.owner)
        await stored
        return await self._store_success(found)

    async def _store_success(self, found: Collected) -> coordinator_pb2.Job:
        answer, job_id = found.answer, JobId(found.answer.job_id)
        receipt = ReceiptRecord(job_id, found.receipt_digest, answer.receipt.SerializeToString(), self._party_set)
        result, now_ms = answer.SerializeToString(), self._floor.clock.now_ms()
        await self._floor.ledger.end(EndedJob(job_id, now_ms, result=result, receipt=receipt))
        self._receipt_stored()
        return answer

    async def _store_failure(self, job_id: JobId, error: MpcInferError) -> coordinator_pb2.Job:
        problem, now_ms = problem_of(error), self._floor.clock.now_ms()
        await self._floor.ledger.end(EndedJob(job_id, now_ms, problem=problem.SerializeToString()))
        return coordinator_pb2.Job(job_id=job_id, state=coordinator_pb2.JOB_STATE_FAILED, problem=problem)


def _new(job: AcceptedJob, now_ms: int) -> NewJob:
    return NewJob(
        job_id=job.job_id,
        owner=Address(job.request.owner),
        model_hash=job.request.model_hash,
        request_digest=job.submission,
        request=memo(job),
        created_ms=now_ms,
    )
