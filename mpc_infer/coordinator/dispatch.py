"""From waiting jobs to sessions on lanes, and from the parties' answers to each job's outcome."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mpc_infer.coordinator.accept import AcceptedJob
from mpc_infer.coordinator.batching import Batching, Place, Queue, session_rows
from mpc_infer.coordinator.collect import Collected, verdict
from mpc_infer.coordinator.floor import Floor
from mpc_infer.coordinator.material import NO_MATERIAL, Shape
from mpc_infer.coordinator.session import Run, run_session
from mpc_infer.coordinator.tasks import Owned
from mpc_infer.errors import (
    DeadlineExpired,
    InternalError,
    MaterialUnusable,
    ModelNotOpen,
    MpcInferError,
    PlanMismatch,
)
from mpc_infer.evidence.eip712 import Domain
from mpc_infer.ids import ModelHash, SessionId
from mpc_infer.telemetry import Log
from mpc_infer.v1 import party_pb2

_LOG = Log("coordinator.dispatch")
MARGIN_S = 0.25
"""A session is over so long before the job's deadline (or a fortieth of what is left, if that is shorter): its end is
stored, and the owner hears of it, in time."""
PATIENCE_S = 5.0
"""A job waits for a lane on which material is being made so long (or a quarter of its time, if that is shorter); then
the making is called off. For what it needs itself it waits half of its time: as long as it would have it made
if it held the lane."""
COMPANY_S = 1.0
"""A job with less time than this left, or less than a few sessions of its model take, runs alone."""
COMPANY_SESSIONS = 4
MAX_MODELS = 256
IN_A_THREAD = 4
"""Answers of at least so many jobs are checked on a thread of their own, the others at once."""
Answers = Sequence[party_pb2.RunSessionResponse]


@dataclass(frozen=True)
class DispatchRules:
    """What is the same for all sessions: how jobs are put together, the queue's size, the longest life of a job, and
    the EIP-712 domain of receipts."""

    batching: Batching
    max_waiting: int
    longest_s: float
    domain: Domain


class Dispatch:
    """Puts waiting jobs together and runs them, whenever a lane is free."""

    def __init__(self, floor: Floor, rules: DispatchRules, owned: Owned) -> None:
        self._floor = floor
        self._rules = rules
        self._owned = owned
        self._queue = Queue(rules.batching, rules.max_waiting)
        self._seconds: dict[ModelHash, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        floor.lanes.freed = self._freed

    def enter(self, job: AcceptedJob, started: Callable[[], Awaitable[None]]) -> Place:
        """Put a job in the queue; if a lane is free, its session begins at once. `outcome` must be awaited.

        Args:
            started: told when its session begins.

        Raises:
            Unavailable: the queue is full.
            DeadlineExpired: the job's time is over.
        """
        loop = asyncio.get_running_loop()
        now, left_s = loop.time(), self.time_left(job)
        need_s = max(COMPANY_S, COMPANY_SESSIONS * self._seconds.get(job.request.model_hash, 0.0))
        ripe = now + min(self._rules.batching.max_delay_s, left_s / 4)
        place = Place(job, now + left_s - need_s, ripe, started, loop.create_future())
        self._queue.enter(place)
        self._go()
        return place

    async def outcome(self, place: Place) -> Collected:
        """What became of a job.

        Raises:
            DeadlineExpired: no lane became free in time.
            MpcInferError: its session failed, or a party refused it.
        """
        try:
            left_s = self.time_left(place.job)
            await self._wait_for_lane(place, left_s)
            if self._queue.leave(place):
                raise DeadlineExpired(
                    "the deadline passed while the job waited for a free lane", party=self._floor.keeper.suspect
                )
            return await place.outcome  # a session's own time is limited
        finally:
            self._queue.leave(place)

    async def _wait_for_lane(self, place: Place, left_s: float) -> None:
        """Wait until a job is over or runs, or its time is up. See `PATIENCE_S`."""
        patience_s = min(PATIENCE_S, left_s / 4)
        await asyncio.wait({place.outcome}, timeout=patience_s)
        if place in self._queue:
            needed = self._floor.lanes.ask_for_way(self._shape([place]))
            try:
                await asyncio.wait({place.outcome}, timeout=left_s / 2 - patience_s)
            finally:
                if needed is not None:
                    needed.release(call_off=place in self._queue)
            if place in self._queue:
                await asyncio.wait({place.outcome}, timeout=left_s / 2)

    def time_left(self, job: AcceptedJob) -> float:
        """Seconds until a job must be over, so that its end is stored by its deadline.

        Raises:
            DeadlineExpired: none.
        """
        left = (job.request.deadline - self._floor.clock.now_ms()) / 1000
        if left <= 0:
            raise DeadlineExpired("the deadline passed before the job could run", remedy="give the job more time")
        return min(left - min(MARGIN_S, left / 40), self._rules.longest_s)

    def _freed(self) -> None:
        self._go()
        self._floor.keeper.wake()

    def _go(self) -> None:
        """Begin as many sessions as there are lanes and jobs that need not wait for company any more."""
        loop = asyncio.get_running_loop()
        while (lane := self._floor.lanes.take()) is not None:
            places = self._queue.take(loop.time())
            if not places:
                self._floor.lanes.put_back(lane)
                break
            session = self._owned.start(self._session(lane, places), f"session-{lane}")
            session.add_done_callback(partial(_let_go, places))
        self._again_when_due(loop)

    def _again_when_due(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._queue.due()
        if due is not None and due > loop.time():
            self._timer = loop.call_at(due, self._go)

    async def _session(self, lane: int, places: Sequence[Place]) -> None:
        """Run a session and settle what became of every job in it."""
        try:
            try:
                run, answers = await self._on_lane(lane, places)
            finally:
                self._floor.lanes.give_back(lane)
            await self._settle(places, answers, run)
        except MpcInferError as error:
            _fail(places, error)
        except Exception:
            _fail(places, InternalError("the coordinator failed on this session"))
            raise

    async def _on_lane(self, lane: int, places: Sequence[Place]) -> tuple[Run, Answers]:
        block = await self._block(places)
        for place in places:
            await place.started()
        try:
            return await self._run(lane, places, block)
        except MpcInferError:
            self._floor.keeper.doubt(lane)
            raise

    async def _run(self, lane: int, places: Sequence[Place], block: int) -> tuple[Run, Answers]:
        """A session; once more without material made ahead where a party says that it cannot use it or has to be opened
        first. It says so before a nonce is spent; if one was, the second session is refused and nothing is lost."""
        floor, model = self._floor, places[0].model
        run = await self._made(lane, places, block)
        try:
            return run, await self._timed(run)
        except (MaterialUnusable, ModelNotOpen, PlanMismatch) as error:
            if not run.material_id and isinstance(error, MaterialUnusable):
                raise
            _LOG.info("a session is begun again", session=run.session_id, code=error.code, reason=error.message)
            floor.openings.forget(model)
            floor.keeper.doubt(lane)
        await floor.openings.ensure(model, lane, self._left(places) / 2)
        session_id = SessionId(secrets.token_bytes(16))
        run = replace(run, session_id=session_id, material_id=NO_MATERIAL, timeout_s=self._left(places))
        return run, await self._timed(run)

    async def _made(self, lane: int, places: Sequence[Place], block: int) -> Run:
        shape = self._shape(places)
        material_id, rows = await self._floor.keeper.ready(lane, shape, self._left(places) / 2)
        self._floor.stock.used(shape)
        return Run(
            jobs=tuple(place.job for place in places),
            rows=rows,
            session_id=SessionId(secrets.token_bytes(16)),
            lane=lane,
            material_id=material_id,
            registry_block=block,
            timeout_s=self._left(places),
        )

    def _shape(self, places: Sequence[Place]) -> Shape:
        rows = sum(place.rows for place in places)
        return Shape(places[0].model, session_rows(rows, self._rules.batching.max_rows))

    async def _timed(self, run: Run) -> Answers:
        """Run it, and remember how long sessions of this model take."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        answers = await run_session(self._floor.parties, run)
        if run.material_id and not any(each.WhichOneof("outcome") == "done" for each in answers[0].answers):
            self._floor.keeper.doubt(run.lane)  # nothing ran: the parties may have the material still
        if len(self._seconds) >= MAX_MODELS:
            self._seconds.clear()
        self._seconds[run.jobs[0].request.model_hash] = loop.time() - began
        return answers

    async def _block(self, places: Sequence[Place]) -> int:
        """The block at which all jobs are judged: none of them before it was published or admitted."""
        requests = [place.job.request for place in places]
        try:
            async with asyncio.timeout(self._left(places)):
                return max([await self._floor.head.block_for(each.model_hash, each.owner) for each in requests])
        except TimeoutError as error:
            raise DeadlineExpired("the deadline passed while the chain's head was read") from error

    def _left(self, places: Sequence[Place]) -> float:
        """Seconds until the first of them must be over."""
        return min(self.time_left(place.job) for place in places)

    async def _settle(self, places: Sequence[Place], answers: Answers, run: Run) -> None:
        if len(places) < IN_A_THREAD:
            found = self._verdicts(run, answers)
        else:  # a tenth of a second's work for a large session
            found = await asyncio.to_thread(self._verdicts, run, answers)
        for place, outcome in zip(places, found, strict=True):
            if place.outcome.done():
                continue
            if isinstance(outcome, Collected):
                place.outcome.set_result(outcome)
            else:
                place.outcome.set_exception(outcome)

    def _verdicts(self, run: Run, answers: Answers) -> list[Collected | MpcInferError]:
        return [self._verdict(index, run, answers) for index in range(len(run.jobs))]

    def _verdict(self, index: int, run: Run, answers: Answers) -> Collected | MpcInferError:
        """One job's: what is wrong with another's does not touch it."""
        mine = [answer.answers[index] for answer in answers]
        try:
            return verdict(run.jobs[index], mine, self._floor.members, self._rules.domain)
        except MpcInferError as error:
            return error


def _let_go(places: Sequence[Place], _: "asyncio.Task[None]") -> None:
    """Of what is not settled when a session ends: the coordinator stops. A session that is cancelled before its first
    step never runs, and could not do it itself."""
    for place in places:
        place.outcome.cancel()


def _fail(places: Sequence[Place], error: MpcInferError) -> None:
    for place in places:
        if not place.outcome.done():
            place.outcome.set_exception(error)
