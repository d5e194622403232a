"""The sessions of a party: every job is judged by itself, what may run is consumed, run, signed and stored together."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from mpc_infer.clock import Clock
from mpc_infer.errors import InternalError, JobConflict, MpcInferError, SessionAborted
from mpc_infer.ids import Address, MaterialId
from mpc_infer.party import checks
from mpc_infer.party.calls import JobReport, SessionCall, SessionReport
from mpc_infer.party.checks import CheckedJob
from mpc_infer.party.judge import Judge, in_pieces
from mpc_infer.party.lane_turn import LaneTurn
from mpc_infer.party.messages import Outcome, stored_answer
from mpc_infer.party.runner import LaneRunner
from mpc_infer.party.signing import SignedAnswer, Signing
from mpc_infer.party.state import SessionState, State
from mpc_infer.store import Admission, Answered, PartyStore, Writer
from mpc_infer.telemetry import Log

_LOG = Log("party.sessions")
LOG_AFTER_S = 0.005
"""The log hears of a session when its answers have left."""
Answer = TypeVar("Answer")
Key = tuple[Address, bytes]


@dataclass(frozen=True)
class _Running:
    digest: bytes
    outcome: "asyncio.Future[Outcome]"


class Sessions:
    """See RunSession in party.proto.

    Args:
        judge: says which jobs may run.
        signing: makes answers.
        store: nonces, answers and signed receipts.
        runner: lanes.
        clock: where the time comes from.
    """

    def __init__(self, judge: Judge, signing: Signing, store: PartyStore, runner: LaneRunner, clock: Clock) -> None:
        self._judge = judge
        self._signing = signing
        self._store = store
        self._runner = runner
        self._clock = clock
        self._running: dict[Key, _Running] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writer = Writer(store)

    @property
    def tasks(self) -> set[asyncio.Task[Any]]:
        """The sessions that run, and what is done for others."""
        return set(self._tasks)

    async def run(self, call: SessionCall) -> list[Outcome]:
        """Run a session. The work goes on when the caller goes away: its answers are there when the call is repeated.

        The same contents of a job get the stored answer whatever has changed since: the deadline may have passed, the
        material is spent, the model may be revoked. It is looked up only when the job would be refused, so that a new
        one pays nothing for it.

        Returns:
            For each job what became of it. A job that is refused is computed by no party.

        Raises:
            InvalidRequest: the jobs do not belong in one session.
        """
        checks.check_together(call)
        early = await self._runner.early_turn(call)
        try:
            places = await self._places(call, early)
        finally:
            if early is not None and not early.taken:
                self._own(early.leave(), "part")
        return [place if isinstance(place, Outcome) else await asyncio.shield(place) for place in places if place]

    async def _places(
        self, call: SessionCall, early: LaneTurn | None
    ) -> "list[Outcome | asyncio.Future[Outcome] | None]":
        """For each job what became of it, or the end of the run that it is in. What may run begins."""
        digests = await self._judge.signed(call)
        places = self._join(call, digests)
        fresh = [index for index, place in enumerate(places) if place is None]
        checked: dict[int, CheckedJob] = {}
        for index, judged in zip(fresh, await self._judged(call, digests, fresh, early), strict=True):
            if isinstance(judged, CheckedJob):
                checked[index] = judged
            else:
                places[index] = judged
        self._begin(call, checked, places, early)
        return places

    def _join(
        self, call: SessionCall, digests: Sequence[bytes | MpcInferError]
    ) -> "list[Outcome | asyncio.Future[Outcome] | None]":
        """The problem of each job that was refused, or the end of the run that it is in; None: it is fresh."""
        return [
            Outcome(problem=digest) if isinstance(digest, MpcInferError) else self._running_as(job.key, digest)
            for job, digest in zip(call.jobs, digests, strict=True)
        ]

    def _running_as(self, key: Key, digest: bytes) -> "Outcome | asyncio.Future[Outcome] | None":
        running = self._running.get(key)
        if running is None:
            return None
        if running.digest != digest:
            return Outcome(
                problem=JobConflict("a job of this id runs with other contents", remedy="choose a new job id")
            )
        return running.outcome

    async def _judged(
        self,
        call: SessionCall,
        digests: Sequence[bytes | MpcInferError],
        fresh: Sequence[int],
        early: LaneTurn | None,
    ) -> list[CheckedJob | Outcome]:
        """Judge the fresh jobs; those that are refused may have been answered before."""
        asked = [(call.jobs[index], digest) for index in fresh if isinstance(digest := digests[index], bytes)]
        of_session = False
        try:
            judged: Sequence[CheckedJob | MpcInferError] = await self._judge.check(call, asked) if asked else []
            deadlines = [one.request.deadline for one in judged if isinstance(one, CheckedJob)]
            if deadlines:
                # A caller who hangs up must not take the lane with him, which may be busy for seconds before it looks.
                await asyncio.shield(self._own(self._runner.claim(call, min(deadlines), early), "claim"))
        except MpcInferError as error:
            judged, of_session = [error] * len(asked), True
        found: list[CheckedJob | Outcome] = []
        for (job, digest), one in zip(asked, judged, strict=True):
            if isinstance(one, CheckedJob):
                found.append(one)
                continue
            stored = await self._writer.do(self._store.answer, *job.key, digest)
            given = stored and Outcome(stored_answer(stored))
            found.append(given or Outcome(problem=one, of_session=of_session))
        return found

    def _begin(
        self,
        call: SessionCall,
        checked: dict[int, CheckedJob],
        places: "list[Outcome | asyncio.Future[Outcome] | None]",
        early: LaneTurn | None,
    ) -> None:
        """Begin a session of all jobs that were accepted and run nowhere yet. No await: nobody comes between."""
        mine: dict[int, CheckedJob] = {}
        for index, job in checked.items():
            places[index] = self._running_as(job.key, job.digest)
            if places[index] is None:
                outcome = places[index] = asyncio.get_running_loop().create_future()
                self._running[job.key] = _Running(job.digest, outcome)
                mine[index] = job
        if mine:
            turn = early if early is not None and early.held else None
            if turn is not None:
                turn.taken = True
            session = self._own(self._session(call, mine, turn), "session")
            session.add_done_callback(partial(self._settle, mine))

    def _own(self, work: Coroutine[Any, Any, Answer], name: str) -> "asyncio.Task[Answer]":
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if not isinstance(error, MpcInferError):
            _LOG.error("unexpected failure in a session", exception=error)

    async def _session(
        self, call: SessionCall, jobs: dict[int, CheckedJob], turn: LaneTurn | None
    ) -> dict[int, Outcome]:
        try:
            return await self._run(call, jobs, turn)
        except MpcInferError as error:
            _LOG.warning("session failed", session=call.session_id, code=error.code, reason=str(error))
            return dict.fromkeys(jobs, Outcome(problem=error, of_session=True))

    def _settle(self, jobs: dict[int, CheckedJob], session: "asyncio.Task[dict[int, Outcome]]") -> None:
        """Whatever happened, everybody who waits for one of the jobs is told. Not left to the session itself: one that
        is cancelled before its first step never runs."""
        ended = Outcome(problem=SessionAborted("this party ended in mid-session"), of_session=True)
        failed = session.cancelled() or session.exception() is not None
        outcomes = {} if failed else session.result()
        for index, job in jobs.items():
            self._running.pop(job.key).outcome.set_result(outcomes.get(index, ended))

    async def _run(self, call: SessionCall, jobs: dict[int, CheckedJob], turn: LaneTurn | None) -> dict[int, Outcome]:
        """Consume, run, sign, store, in this order: what fails after the first step leaves the jobs spent.

        A worker that ends before that costs this party nothing. One that ends later, or at another party, does: once
        this party's lane may have sent a message under a nonce, the nonce must never be used again, and it cannot know
        what the worker that is gone has sent. The owner asks again with a new job.
        """
        state: State[SessionState] = State(SessionState.CHECKING)
        if turn is None:
            turn = await self._runner.turn(call, min(job.request.deadline for job in jobs.values()))
        async with turn:
            self._runner.check_not_aborted(call.session_id)  # while it was judged
            turn.check_same_worker()
            outcomes = await self._admit(call, jobs)
            admitted = {index: job for index, job in jobs.items() if index not in outcomes}
            if not admitted:
                return outcomes
            state.move(SessionState.CONSUMED)
            state.move(SessionState.RUNNING)
            terms = [
                jobs[index].terms if index in jobs else checks.terms(self._judge.digest(job), call.registry_block)
                for index, job in enumerate(call.jobs)
            ]
            report = await self._runner.run(turn, call, admitted, terms)
        outcomes |= await self._answers(call, admitted, report)
        state.move(SessionState.SIGNED)
        online_ms = round(report.online_ms, 3)
        note = partial(_LOG.info, "session done", session=call.session_id, jobs=len(admitted), online_ms=online_ms)
        asyncio.get_running_loop().call_later(LOG_AFTER_S, note)
        return outcomes

    async def _admit(self, call: SessionCall, jobs: dict[int, CheckedJob]) -> dict[int, Outcome]:
        """Consume jobs and material, durably. Returns what is known already of those that cannot run again."""
        admissions = [_admission(job) for job in jobs.values()]
        material = MaterialId(call.material_id) if call.material_id else None
        now_ms = self._clock.now_ms()
        verdicts = await self._writer.do(self._store.admit, call.session_id, admissions, material, now_ms)
        return {index: _known(verdict) for index, verdict in zip(jobs, verdicts, strict=True) if verdict is not None}

    async def _answers(
        self, call: SessionCall, jobs: dict[int, CheckedJob], report: SessionReport
    ) -> dict[int, Outcome]:
        """Sign and store what ran; all answers are stored before one is given, and on the disk a moment later."""
        ran = {index: (jobs[index], one) for index, one in enumerate(report.jobs) if isinstance(one, JobReport)}
        made = await in_pieces(lambda item: self._signing.answer(call, *item, report), list(ran.values()))
        signed = dict(zip(ran, made, strict=True))
        answered = [_answered(jobs[index], one) for index, one in signed.items() if isinstance(one, SignedAnswer)]
        now_ms = self._clock.now_ms()
        await self._writer.unsynced(self._store.put_answers, answered, now_ms, small=len(answered) == 1)
        outcomes = {}
        for index in jobs:
            one = signed.get(index, report.jobs[index])
            outcomes[index] = Outcome(one.answer) if isinstance(one, SignedAnswer) else Outcome(problem=_problem(one))
        return outcomes

    async def close(self) -> None:
        """Wait until everything that was stored is on the disk. No session runs any more."""
        await self._writer.flush()


def _admission(job: CheckedJob) -> Admission:
    return Admission(job.request.owner, job.request.job_id, job.request.nonce, job.digest)


def _answered(job: CheckedJob, signed: SignedAnswer) -> Answered:
    return Answered(job.request.owner, job.request.job_id, signed.answer.SerializeToString(), signed.receipt_digest)


def _known(verdict: bytes | MpcInferError) -> Outcome:
    return Outcome(stored_answer(verdict)) if isinstance(verdict, bytes) else Outcome(problem=verdict)


def _problem(found: object) -> MpcInferError:
    return found if isinstance(found, MpcInferError) else InternalError("a lane answered nothing to a job")
