"""One session at all parties: start it everywhere at once, and end it everywhere when it fails anywhere."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mpc_infer.coordinator.accept import AcceptedJob
from mpc_infer.coordinator.faults import fault
from mpc_infer.coordinator.parties import PartyDoor, drop
from mpc_infer.errors import InvalidRequest, MpcInferError, SessionAborted
from mpc_infer.ids import MaterialId, SessionId
from mpc_infer.rpc.status import problem_of
from mpc_infer.telemetry import Log
from mpc_infer.v1 import common_pb2, coordinator_pb2, party_pb2

_LOG = Log("coordinator.session")
ABORT_S = 1.0
"""How long a party has to answer the order to stop before it counts as silent, where the deadline leaves so much."""
LAST_WORDS_S = 0.5
"""How long the parties have after that to say what went wrong, where the deadline leaves so much."""
RESERVE_S = 0.5
"""A session is given up so long before its time is up (or a twentieth of it, if that is shorter): stopping it and
finding the fault take place within its time. Parties give up by themselves a little earlier still."""

Call = asyncio.Task[party_pb2.RunSessionResponse]


@dataclass(frozen=True)
class Run:
    """One session.

    Attributes:
        jobs: those that it runs, all of one model; their rows follow each other in this order.
        rows: of the session; at least those of the jobs.
        lane: index of the lane at every party.
        material_id: made ahead on that lane for these rows; empty: the session makes its own.
        registry_block: the block at which the parties read the registry.
        timeout_s: seconds until the session is over, the search for whose fault it was included.
    """

    jobs: tuple[AcceptedJob, ...]
    rows: int
    session_id: SessionId
    lane: int
    material_id: MaterialId
    registry_block: int
    timeout_s: float

    def request(self, index: int) -> party_pb2.RunSessionRequest:
        """What one party gets: of the sealed inputs only its own."""
        return party_pb2.RunSessionRequest(
            session_id=self.session_id,
            lane=self.lane,
            material_id=self.material_id,
            registry_block=self.registry_block,
            rows=self.rows,
            jobs=[party_job(job.message, job.message.sealed_inputs[index]) for job in self.jobs],
        )


def party_job(message: coordinator_pb2.SubmitJobRequest, sealed_input: common_pb2.SealedBox) -> party_pb2.PartyJob:
    """A job as one party gets it."""
    return party_pb2.PartyJob(
        job_request=message.job_request,
        owner_signature=message.owner_signature,
        input_commitments=message.input_commitments,
        sealed_input=sealed_input,
        result_key=message.result_key if message.HasField("result_key") else None,
    )


async def run_session(parties: Sequence[PartyDoor], run: Run) -> tuple[party_pb2.RunSessionResponse, ...]:
    """Run a session and return the parties' answers in order: one to each job, unchecked.

    1. RunSession at every party at once;
    2. if all answer, done;
    3. if a party refuses all jobs, the others wait for it in vain: AbortSession, and what they say then is their answer
       to every job;
    4. on the first failure, or when the time is nearly up: AbortSession at all parties, wait shortly for what the
       others say, and name the party at fault. That, too, ends within the session's time.

    Raises:
        MpcInferError: a party refused, failed, or was silent; `party` says which where that is known.
    """
    end, patience_s = asyncio.get_running_loop().time() + run.timeout_s, run.timeout_s - reserve(run.timeout_s)
    calls = [
        asyncio.create_task(
            party.call("RunSession", run.request(party.index), run.timeout_s), name=f"run-{party.index}"
        )
        for party in parties
    ]
    try:
        if await _answered(calls, patience_s):
            return tuple(one_each(index, call.result(), run) for index, call in enumerate(calls))
        error = await _give_up(parties, calls, run.session_id, end)
        if any(_refuses_all(call) for call in calls):
            return tuple(_last_words(index, call, run) for index, call in enumerate(calls))
        raise error
    finally:
        await drop(calls)


async def _answered(calls: Sequence[Call], patience_s: float) -> bool:
    """Wait for all answers. Returns False as soon as one failed or refuses all jobs, or the time is up."""
    loop = asyncio.get_running_loop()
    end, pending = loop.time() + patience_s, set(calls)
    while pending:
        done, pending = await asyncio.wait(
            pending, timeout=max(0.0, end - loop.time()), return_when=asyncio.FIRST_COMPLETED
        )
        if not done or any(call.exception() is not None for call in done):
            return False
        if pending and any(_refuses_all(call) for call in done):
            return False
    return True


def _refuses_all(call: Call) -> bool:
    """Whether a party answered, and no job is to run."""
    if not call.done() or call.cancelled() or call.exception() is not None:
        return False
    return all(answer.WhichOneof("outcome") == "problem" for answer in call.result().answers)


def _last_words(index: int, call: Call, run: Run) -> party_pb2.RunSessionResponse:
    """What a party says to every job of a session that another refused."""
    if call.done() and not call.cancelled() and call.exception() is None:
        return one_each(index, call.result(), run)
    problem = problem_of(_error(call) or SessionAborted("the session was called off"))
    return party_pb2.RunSessionResponse(answers=[party_pb2.PartyAnswer(problem=problem)] * len(run.jobs))


def one_each(index: int, answer: party_pb2.RunSessionResponse, run: Run) -> party_pb2.RunSessionResponse:
    """A party's answers, if there is one to every job.

    Raises:
        InvalidRequest: there is not.
    """
    if len(answer.answers) != len(run.jobs):
        raise InvalidRequest(f"party {index} answered {len(answer.answers)} of {len(run.jobs)} jobs", party=index)
    return answer


def reserve(timeout_s: float) -> float:
    """What of a session's time is kept for ending it, in seconds."""
    return min(RESERVE_S, timeout_s / 20)


async def _give_up(
    parties: Sequence[PartyDoor], calls: Sequence[Call], session_id: SessionId, end: float
) -> MpcInferError:
    """Stop a session by `end`, on the event loop's clock: half of what is left for the order, the rest to listen."""
    loop = asyncio.get_running_loop()
    reason = next((str(_error(call)) for call in calls if _error(call) is not None), "the deadline has passed")
    silent = await abort_session(parties, session_id, reason, min(ABORT_S, (end - loop.time()) / 2))
    if any(not call.done() for call in calls):
        await asyncio.wait(calls, timeout=max(0.0, min(LAST_WORDS_S, end - loop.time())))
    errors = {index: error for index, call in enumerate(calls) if (error := _error(call)) is not None}
    return fault(errors, {index for index in silent if not calls[index].done()})


async def abort_session(
    parties: Sequence[PartyDoor], session_id: SessionId, reason: str, timeout_s: float = ABORT_S
) -> frozenset[int]:
    """Tell every party to end a session. Returns the indices of those that did not answer in time."""
    request = party_pb2.AbortSessionRequest(session_id=session_id, reason=reason[:200])
    results = await asyncio.gather(
        *(party.call("AbortSession", request, timeout_s) for party in parties), return_exceptions=True
    )
    silent = set()
    for party, result in zip(parties, results, strict=True):
        if isinstance(result, MpcInferError):
            silent.add(party.index)
            _LOG.warning("a party did not take the order to stop", session=session_id, party=party.index)
        elif isinstance(result, BaseException):
            raise result
    return frozenset(silent)


def _error(call: Call) -> MpcInferError | None:
    """The error of a call that has failed; what is not ours is a defect and is raised."""
    if not call.done() or call.cancelled():
        return None
    error = call.exception()
    if error is not None and not isinstance(error, MpcInferError):
        raise error
    return error
