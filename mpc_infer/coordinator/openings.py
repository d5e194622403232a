"""Which models are open at all parties: their weights masked and the sums known, which sessions and material need.

A party keeps what was opened over a restart. So every model is asked for once per start, and again when a party was
away or says that it is not open; only where the parties do not all have the same is it opened anew.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence

from mpc_infer.clock import Clock
from mpc_infer.coordinator.faults import fault
from mpc_infer.coordinator.parties import PartyDoor, on_all
from mpc_infer.coordinator.session import abort_session
from mpc_infer.errors import DeadlineExpired, MpcInferError, PlanMismatch, Unavailable
from mpc_infer.ids import ModelHash, SessionId
from mpc_infer.telemetry import Log
from mpc_infer.v1 import party_pb2

_LOG = Log("coordinator.openings")
OPEN_S = 60.0
"""Longest opening of one model."""
ASK_S = 5.0
MAX_KNOWN = 4096
Reports = tuple[party_pb2.OpenModelResponse, ...]


class Openings:
    """Sees to it that models are open.

    Args:
        parties: of the set.
        clock: where deadlines are read.
        reopened: told of a model that was opened anew: material made for it before is of no use.
    """

    def __init__(self, parties: Sequence[PartyDoor], clock: Clock, reopened: Callable[[ModelHash], None]) -> None:
        self._parties = parties
        self._clock = clock
        self._reopened = reopened
        self._open: set[ModelHash] = set()
        self._opening = asyncio.Lock()
        self._age = 0

    def knows(self, model_hash: ModelHash) -> bool:
        """Whether a model is known to be open."""
        return model_hash in self._open

    def forget(self, model_hash: ModelHash | None = None) -> None:
        """Look again, at one model or at all: a party was away, or says otherwise."""
        self._age += 1
        if model_hash is None:
            self._open.clear()
        else:
            self._open.discard(model_hash)

    async def ensure(self, model_hash: ModelHash, lane: int, timeout_s: float) -> None:
        """Have a model open at all parties.

        1. ask every party; if all say the same, done;
        2. else have them open it together on a lane that the caller holds.

        Raises:
            DeadlineExpired: another opening took too long.
            MpcInferError: a party does not hold the model, failed, or was silent.
        """
        if model_hash in self._open:
            return
        await self._turn(timeout_s)
        try:
            if model_hash not in self._open:
                await self._look(model_hash, lane, timeout_s)
        finally:
            self._opening.release()

    async def _turn(self, timeout_s: float) -> None:
        """Two lanes at once would undo each other's opening."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._opening.acquire()
        except TimeoutError as error:
            raise DeadlineExpired("the deadline passed while the model was being opened") from error

    async def _look(self, model_hash: ModelHash, lane: int, timeout_s: float) -> None:
        age = self._age
        if not _agreed(await self._report(model_hash, min(ASK_S, timeout_s))):
            await self._open_anew(model_hash, lane, min(OPEN_S, timeout_s))
        if age == self._age:
            self._know(model_hash)

    async def _report(self, model_hash: ModelHash, timeout_s: float) -> Reports:
        request = party_pb2.OpenModelRequest(model_hash=model_hash)
        return await on_all(self._parties, lambda party: self._ask(party, request, timeout_s))

    async def _ask(
        self, party: PartyDoor, request: party_pb2.OpenModelRequest, timeout_s: float
    ) -> party_pb2.OpenModelResponse:
        """Ask one party; if it is silent or cannot be reached, it is at fault."""
        try:
            answer: party_pb2.OpenModelResponse = await party.call("OpenModel", request, timeout_s)
        except (Unavailable, DeadlineExpired) as error:
            silent = {party.index} if isinstance(error, DeadlineExpired) else frozenset()
            raise fault({} if silent else {party.index: error}, silent) from error
        return answer

    async def _open_anew(self, model_hash: ModelHash, lane: int, timeout_s: float) -> None:
        session_id = SessionId(secrets.token_bytes(16))
        request = party_pb2.OpenModelRequest(
            session_id=session_id,
            lane=lane,
            model_hash=model_hash,
            deadline_ms=self._clock.now_ms() + int(timeout_s * 1000),
        )
        self._reopened(model_hash)
        try:
            reports = await on_all(self._parties, lambda party: self._ask(party, request, timeout_s))
        except (MpcInferError, asyncio.CancelledError):
            # The others may still wait for the one that failed: the lane must be free again everywhere.
            await abort_session(self._parties, session_id, "the opening was called off or failed elsewhere")
            raise
        if not _agreed(reports):
            raise PlanMismatch("the parties opened a model and do not agree on what came of it")
        _LOG.info("model opened", model=model_hash, lane=lane)

    def _know(self, model_hash: ModelHash) -> None:
        if len(self._open) >= MAX_KNOWN:
            self._open.clear()
        self._open.add(model_hash)


def _agreed(reports: Reports) -> bool:
    return all(report.open for report in reports) and len({report.digest for report in reports}) == 1
