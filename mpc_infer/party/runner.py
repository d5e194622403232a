"""Running work on a lane: wait for the turn, see that the model is there, ask, and read what comes back."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from mpc_infer.clock import Clock
from mpc_infer.errors import (
    DeadlineExpired,
    InternalError,
    InvalidRequest,
    MaterialUnusable,
    ModelShareMismatch,
    SessionAborted,
)
from mpc_infer.ids import MaterialId, ModelHash, SessionId
from mpc_infer.party.calls import OpenCall, PrepareCall, Prepared, SessionReport
from mpc_infer.party.checks import CheckedJob
from mpc_infer.party.config import PartyLimits
from mpc_infer.party.frames import Message
from mpc_infer.party.lane_host import LaneHost
from mpc_infer.party.models import ModelShelf
from mpc_infer.party.openings import Openings

_DIGEST_BYTES = 32
_MARGIN_SHARE, _LONGEST_MARGIN_S = 0.1, 1.0
_REMEMBERED = 1024
_REMEMBERED_MATERIAL = 1 << 16


class LaneRunner:
    """All lanes of a party.

    Args:
        lanes: by number.
        shelf: where models come from.
        openings: what they were opened to.
        limits: see PartyLimits.
        clock: the party's.
    """

    def __init__(
        self,
        lanes: Sequence[LaneHost],
        shelf: ModelShelf,
        openings: Openings,
        limits: PartyLimits,
        clock: Clock,
    ) -> None:
        self._lanes = tuple(lanes)
        self._shelf = shelf
        self._openings = openings
        self._limits = limits
        self._clock = clock
        self._aborted: OrderedDict[bytes, str] = OrderedDict()
        self._begun: OrderedDict[MaterialId, None] = OrderedDict()
        """Ids under which material or an opening was begun. A frame between lanes names its meeting by such an id, and
        one that is left of an earlier meeting must not be taken for one of this. Memory is enough: frames do not
        outlive us."""

    def check_lane(self, number: int) -> LaneHost:
        """The lane of a number, if it has room for one more.

        Raises:
            InvalidRequest: there is no such lane.
            Unavailable: too many wait for it.
        """
        if not 0 <= number < len(self._lanes):
            raise InvalidRequest(f"there is no lane {number}; this party has {len(self._lanes)}")
        self._lanes[number].check_room()
        return self._lanes[number]

    def check_material(self, job: CheckedJob) -> None:
        """Refuse, before the nonce is spent, a job whose material is not there or was made for something else.

        Raises:
            ModelNotOpen: there can be none for this model.
            MaterialUnusable: so it is.
        """
        call = job.call
        self._openings.check(job.request.model_hash)
        if call.material_id:
            made_for = self.check_lane(call.lane).material.get(call.material_id)
            if made_for != (job.request.model_hash, job.request.rows):
                raise MaterialUnusable("there is no material of that id for this model and number of rows")

    async def run(self, job: CheckedJob) -> SessionReport:
        """Run a job's session.

        Raises:
            SessionAborted: or one of its kinds: the session is over, and the material gone.
            DeadlineExpired: the turn did not come, or the lane was silent.
        """
        call, request = job.call, job.request
        lane = self.check_lane(call.lane)
        seconds = self._budget(request.deadline)
        until_ms = self._clock.now_ms() + int(1000 * seconds)
        async with lane.turn(seconds):
            await self._load(lane, request.model_hash, self._left(until_ms))
            self._check_not_aborted(call.session_id)
            lane.material.pop(call.material_id, None)
            blobs = {
                "session": call.session_id,
                "job": request.job_id,
                "model": request.model_hash,
                "material": call.material_id,
                "terms": job.terms,
                "inputs": job.inputs,
            }
            fields = {"rows": request.rows, "deadline_ms": until_ms}
            answer = await lane.ask(Message("run", fields=fields, blobs=blobs), self._left(until_ms))
        return _report(answer)

    async def prepare(self, call: PrepareCall) -> Prepared:
        """Make material ahead; the oldest on the lane goes when there is too much.

        Raises:
            InvalidRequest: more batches than a lane keeps, or an id that was used before.
            ModelNotOpen: there can be none for this model.
            SessionAborted, DeadlineExpired: as `run`.
        """
        lane = self.check_lane(call.lane)
        self._openings.check(call.model_hash)
        if len(set(call.ids)) != len(call.ids) or len(call.ids) > self._limits.max_material:
            raise InvalidRequest(f"a lane makes at most {self._limits.max_material} batches, of different ids")
        self._begin(call.ids)
        seconds = self._budget(call.deadline_ms)
        until_ms = self._clock.now_ms() + int(1000 * seconds)
        async with lane.turn(seconds):
            await self._load(lane, call.model_hash, self._left(until_ms))
            self._check_not_aborted(SessionId(call.material_id))
            fields = {"rows": call.rows, "deadline_ms": until_ms}
            blobs = {"model": call.model_hash, "material": b"".join(call.ids)}
            answer = await lane.ask(Message("prepare", fields=fields, blobs=blobs), self._left(until_ms))
            for material_id in call.ids:
                lane.keep_material(material_id, (call.model_hash, call.rows))
        return Prepared(answer.blob("plan"), answer.real("offline_ms"), answer.integer("material_bytes"))

    async def open(self, call: OpenCall) -> bytes:
        """Open a model's weights under fresh masks together with the other parties, and keep what comes of it, durably.

        Returns:
            The digest of what was opened.

        Raises:
            InvalidRequest: a session id that was used before.
            SessionAborted, DeadlineExpired: as `run`; what was open stays so.
        """
        lane = self.check_lane(call.lane)
        self._begin([MaterialId(call.session_id)])
        seconds = self._budget(call.deadline_ms)
        until_ms = self._clock.now_ms() + int(1000 * seconds)
        async with lane.turn(seconds):
            await self._load(lane, call.model_hash, self._left(until_ms))
            self._check_not_aborted(SessionId(call.session_id))
            blobs = {"model": call.model_hash, "session": call.session_id}
            message = Message("open", fields={"deadline_ms": until_ms}, blobs=blobs)
            answer = await lane.open(call.model_hash, message, self._left(until_ms))
            digest, opening = answer.blob("digest"), answer.blob("opening")
            now_ms = self._clock.now_ms()
            await asyncio.to_thread(self._openings.put, call.model_hash, digest, opening, now_ms)
        return digest

    def abort(self, session_id: SessionId, reason: str) -> None:
        """End a session (or the making of a material) that runs, waits, or is about to come."""
        self._aborted[session_id] = reason
        while len(self._aborted) > _REMEMBERED:
            self._aborted.popitem(last=False)
        for lane in self._lanes:
            lane.tell(Message("abort", fields={"reason": reason}, blobs={"session": session_id}))

    async def close(self) -> None:
        """End all lanes."""
        await asyncio.gather(*(lane.close() for lane in self._lanes))

    def _begin(self, ids: Sequence[MaterialId]) -> None:
        if any(material_id in self._begun for material_id in ids):
            raise InvalidRequest("something of this id was begun before", remedy="choose a fresh id")
        self._begun.update(dict.fromkeys(ids))
        while len(self._begun) > _REMEMBERED_MATERIAL:
            self._begun.popitem(last=False)

    def _check_not_aborted(self, session_id: SessionId) -> None:
        reason = self._aborted.get(session_id)
        if reason is not None:
            raise SessionAborted(f"the session was called off: {reason}")

    async def _load(self, lane: LaneHost, model_hash: ModelHash, seconds: float) -> None:
        """See that the lane holds a model, with its current opening if there is one."""
        wanted = self._openings.digest(model_hash) or b""
        if lane.has_model(model_hash, wanted):
            return
        model = await asyncio.to_thread(self._shelf.open, model_hash)
        digest, opening = await asyncio.to_thread(self._openings.read, model_hash)
        blobs = {"model": model_hash, "graph": model.graph_bytes, "weights": model.weights, "opening": opening}
        await lane.load(model_hash, Message("load", blobs=blobs), seconds)
        if not lane.has_model(model_hash, digest):
            raise ModelShareMismatch("what was kept of the opened model is not what was opened")

    def _budget(self, deadline_ms: int) -> float:
        """Seconds that the work may take: it ends a little before the deadline, so that the reason still arrives."""
        remaining = (deadline_ms - self._clock.now_ms()) / 1000
        if remaining <= 0:
            raise DeadlineExpired("the deadline passed before the work began")
        return min(remaining - min(_MARGIN_SHARE * remaining, _LONGEST_MARGIN_S), self._limits.session_s)

    def _left(self, until_ms: int) -> float:
        return max(0.0, (until_ms - self._clock.now_ms()) / 1000)


def _report(answer: Message) -> SessionReport:
    joined = answer.blob("commitments")
    if len(joined) % _DIGEST_BYTES:
        raise InternalError("a lane answered commitments of a wrong length")
    starts = range(0, len(joined), _DIGEST_BYTES)
    return SessionReport(
        share=answer.blob("share"),
        salt=answer.blob("salt"),
        commitments=tuple(joined[start : start + _DIGEST_BYTES] for start in starts),
        transcript=answer.blob("transcript"),
        plan_digest=answer.blob("plan"),
        started_ms=answer.integer("started_ms"),
        finished_ms=answer.integer("finished_ms"),
        online_ms=answer.real("online_ms"),
        offline_ms=answer.real("offline_ms"),
        rounds=answer.integer("rounds"),
        bytes_sent=answer.integer("bytes_sent"),
        material_bytes=answer.integer("material_bytes"),
    )
