"""Running work on a lane: wait for the turn, see that the model is there, ask, and read what comes back."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence

from mpc_infer.clock import Clock
from mpc_infer.errors import (
    DeadlineExpired,
    InvalidRequest,
    MaterialUnusable,
    ModelShareMismatch,
    MpcInferError,
    SessionAborted,
)
from mpc_infer.ids import MaterialId, ModelHash, SessionId
from mpc_infer.party import checks
from mpc_infer.party.calls import JobCall, OpenCall, PrepareCall, Prepared, SessionCall, SessionReport
from mpc_infer.party.checks import CheckedJob
from mpc_infer.party.config import PartyLimits
from mpc_infer.party.frames import Message
from mpc_infer.party.lane_host import LaneHost
from mpc_infer.party.lane_messages import report_of, run_message
from mpc_infer.party.lane_turn import LaneTurn, abort_message
from mpc_infer.party.models import ModelShelf
from mpc_infer.party.openings import Openings
from mpc_infer.party.stock import Stock
from mpc_infer.party.stock_files import join_ready
from mpc_infer.store import MaterialRecord

_MARGIN_SHARE, _LONGEST_MARGIN_S = 0.1, 1.0
MAX_EARLY = 4
"""Sessions of more jobs take long to judge: nobody holds a lane for them before that."""
_REMEMBERED = 1024
_REMEMBERED_MATERIAL = 1 << 16


class LaneRunner:
    """All lanes of a party.

    Args:
        lanes: by number.
        shelf: where models come from.
        openings: what they were opened to.
        stock: their material.
        limits: see PartyLimits.
        clock: the party's.
    """

    def __init__(
        self,
        lanes: Sequence[LaneHost],
        shelf: ModelShelf,
        openings: Openings,
        stock: Stock,
        limits: PartyLimits,
        clock: Clock,
    ) -> None:
        self._lanes = tuple(lanes)
        self._shelf = shelf
        self._openings = openings
        self._stock = stock
        self._limits = limits
        self._clock = clock
        self._aborted: OrderedDict[bytes, str] = OrderedDict()
        self._begun: OrderedDict[MaterialId, None] = OrderedDict()
        """Ids under which material or an opening was begun. A frame between lanes names its meeting by such an id, and
        one that is left of an earlier meeting must not be taken for one of this. Memory is enough: frames do not
        outlive us."""
        self._deleting: set[asyncio.Task[None]] = set()

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

    async def claim(self, call: SessionCall, deadline_ms: int, early: LaneTurn | None = None) -> None:
        """Refuse, before anything is spent, a session that cannot run here: too busy, model not open, no such material.

        Material that cannot be used is dropped. On the usual way the lane has it in memory, and is not asked.

        Raises:
            InvalidRequest: more rows than this party runs, or see `check_lane`.
            ModelNotOpen: there can be no material for this model.
            MaterialUnusable: the material is not there, damaged, or made for something else.
            Unavailable, DeadlineExpired: see `check_lane`, or the lane could not look.
        """
        lane = self.check_lane(call.lane)
        checks.check_rows(call.rows, self._limits.max_rows)
        self._openings.check(call.model_hash)
        if not call.material_id:
            return
        material_id = MaterialId(call.material_id)
        self._stock.find(material_id, call.lane, call.model_hash, call.rows)
        if material_id not in lane.ready_material:
            if early is not None:
                await early.leave()  # its worker was replaced meanwhile
            try:
                await self._claim(lane, material_id, call, deadline_ms)
            except MaterialUnusable:
                await self._stock.drop([material_id])
                raise

    async def _claim(self, lane: LaneHost, material_id: MaterialId, call: SessionCall, deadline_ms: int) -> None:
        seconds = self._budget(deadline_ms)
        until_ms = self._clock.now_ms() + int(1000 * seconds)
        async with lane.turn(seconds):
            await self._load(lane, call.model_hash, self._left(until_ms))
            blobs = {"model": call.model_hash, "material": material_id}
            await lane.ask(Message("claim", fields={"rows": call.rows}, blobs=blobs), self._left(until_ms))

    async def early_turn(self, call: SessionCall) -> LaneTurn | None:
        """The lane for a session that is not judged yet, where it is free, with everything ready there: the lanes meet
        meanwhile. None: the session takes its turn when it was judged.
        """
        lane = self._lanes[call.lane] if 0 <= call.lane < len(self._lanes) else None
        opening = self._openings.digest(call.model_hash) or b""
        if lane is None or len(call.jobs) > MAX_EARLY or call.material_id not in lane.ready_material:
            return None
        if call.session_id in self._aborted or not lane.has_model(call.model_hash, opening):
            return None
        try:
            seconds = self._budget(min(job.request.deadline for job in call.jobs if isinstance(job, JobCall)))
        except (DeadlineExpired, ValueError):
            return None
        if not await lane.take_if_free():
            return None
        turn = LaneTurn(lane, call, self._clock.now_ms() + int(1000 * seconds))
        turn.meet()
        return turn

    async def turn(self, call: SessionCall, deadline_ms: int) -> LaneTurn:
        """Hold the lane for a session. With material made ahead the lanes meet already, while the caller makes it
        durable that the session runs; nothing of the session is sent before.

        Args:
            call: as it came.
            deadline_ms: the earliest of the accepted jobs'.

        Raises:
            SessionAborted: the session is over.
            DeadlineExpired: the turn did not come.
        """
        lane = self.check_lane(call.lane)
        seconds = self._budget(deadline_ms)
        until_ms = self._clock.now_ms() + int(1000 * seconds)
        await lane.take(seconds)
        turn = LaneTurn(lane, call, until_ms)  # now: its worker may have been replaced while others had the lane
        try:
            await self._load(lane, call.model_hash, self._left(turn.until_ms))
            self.check_not_aborted(call.session_id)
            if call.material_id:
                turn.meet()
        except BaseException:
            lane.give_back()
            raise
        return turn

    async def run(
        self, turn: LaneTurn, call: SessionCall, accepted: Mapping[int, CheckedJob], terms: Sequence[bytes]
    ) -> SessionReport:
        """Run a session. Its material has been consumed, durably.

        Args:
            turn: the lane, held.
            call: as it came.
            accepted: the jobs that this party runs, by position; at least one.
            terms: of all jobs.

        Raises:
            SessionAborted: or one of its kinds: the session is over, and the material gone.
            DeadlineExpired: the lane was silent.
        """
        lane, until_ms = turn.lane, turn.until_ms
        self._stock.begin(call.material_id)
        try:
            self.check_not_aborted(call.session_id)
            lane.ready_material.discard(call.material_id)
            message = run_message(call, accepted, terms, until_ms)
            return report_of(await turn.run(message, self._left(until_ms)))
        except MpcInferError:
            # Where the lane never heard of the session, it has the material still.
            self._forget(lane, [MaterialId(call.material_id)])
            raise
        finally:
            self._delete_used(call.material_id)

    async def prepare(self, call: PrepareCall) -> Prepared:
        """Make material ahead. When this returns it is on the disk and in the ledger.

        Raises:
            InvalidRequest: an id was used before.
            StockFull: there is no room for more.
            ModelNotOpen: there can be none for this model.
            SessionAborted, DeadlineExpired: as `run`.
        """
        lane = self.check_lane(call.lane)
        self._openings.check(call.model_hash)
        await self._stock.check_new(call.lane, call.ids)
        self._begin(call.ids)
        seconds = self._budget(call.deadline_ms)
        until_ms = self._clock.now_ms() + int(1000 * seconds)
        async with lane.turn(seconds):
            await self._load(lane, call.model_hash, self._left(until_ms))
            self.check_not_aborted(SessionId(call.material_id))
            opening = self._openings.check(call.model_hash)
            self._stock.check_room(call.lane, len(call.ids))  # again: others may have had the turn before
            fields = {"rows": call.rows, "deadline_ms": until_ms, "room": self._stock.room()}
            blobs = {"model": call.model_hash, "material": b"".join(call.ids)}
            answer = await lane.ask(Message("prepare", fields=fields, blobs=blobs), self._left(until_ms))
            await self._note(lane, call, opening, answer)
        return Prepared(answer.blob("plan"), answer.real("offline_ms"), answer.integer("material_bytes"))

    async def _note(self, lane: LaneHost, call: PrepareCall, opening: bytes, answer: Message) -> None:
        plan, size = answer.blob("plan"), answer.integer("file_bytes")
        made = [MaterialRecord(each, call.lane, call.model_hash, opening, plan, call.rows, size) for each in call.ids]
        try:
            await self._stock.add(made)
        except MpcInferError:
            self._forget(lane, call.ids)
            raise

    def material(self) -> list[MaterialRecord]:
        """What is ready, oldest first."""
        return self._stock.records()

    async def drop(self, ids: Sequence[MaterialId]) -> None:
        """Give up material, durably."""
        await self._stock.drop(ids)
        for lane in self._lanes:
            self._forget(lane, ids)

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
            self.check_not_aborted(SessionId(call.session_id))
            blobs = {"model": call.model_hash, "session": call.session_id}
            message = Message("open", fields={"deadline_ms": until_ms}, blobs=blobs)
            answer = await lane.open(call.model_hash, message, self._left(until_ms))
            digest, opening = answer.blob("digest"), answer.blob("opening")
            now_ms = self._clock.now_ms()
            await asyncio.to_thread(self._openings.put, call.model_hash, digest, opening, now_ms)
            await self._stock.drop_older(call.model_hash)
        return digest

    def abort(self, session_id: SessionId, reason: str) -> None:
        """End a session (or the making of a material) that runs, waits, or is about to come."""
        self._aborted[session_id] = reason
        while len(self._aborted) > _REMEMBERED:
            self._aborted.popitem(last=False)
        for lane in self._lanes:
            lane.tell(abort_message(session_id, reason))

    async def close(self) -> None:
        """End all lanes."""
        await asyncio.gather(*(lane.close() for lane in self._lanes), *self._deleting)

    def _delete_used(self, material_id: bytes) -> None:
        """Nobody waits for it: the ledger says already that the material is used."""
        task = asyncio.create_task(self._stock.used(material_id), name="delete-material")
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)

    def _begin(self, ids: Sequence[MaterialId]) -> None:
        if any(material_id in self._begun for material_id in ids):
            raise InvalidRequest("something of this id was begun before", remedy="choose a fresh id")
        self._begun.update(dict.fromkeys(ids))
        while len(self._begun) > _REMEMBERED_MATERIAL:
            self._begun.popitem(last=False)

    def check_not_aborted(self, session_id: SessionId) -> None:
        """Refuse what was called off.

        Raises:
            SessionAborted: so it was.
        """
        reason = self._aborted.get(session_id)
        if reason is not None:
            raise SessionAborted(f"the session was called off: {reason}")

    def _forget(self, lane: LaneHost, ids: Sequence[MaterialId]) -> None:
        """Have a lane drop what it may still have of some material in memory."""
        joined = b"".join(ids)
        if joined:
            lane.ready_material.difference_update(ids)
            lane.tell(Message("forget", blobs={"material": joined}))

    async def _load(self, lane: LaneHost, model_hash: ModelHash, seconds: float) -> None:
        """See that the lane holds a model, with its current opening if there is one."""
        wanted = self._openings.digest(model_hash) or b""
        if lane.has_model(model_hash, wanted):
            return
        model = await asyncio.to_thread(self._shelf.open, model_hash)
        digest, opening = await asyncio.to_thread(self._openings.read, model_hash)
        blobs = {"model": model_hash, "graph": model.graph_bytes, "weights": model.weights, "opening": opening}
        blobs["public"] = model.public_weights
        blobs["ready"] = join_ready(self._stock.on_lane(lane.number, model_hash))
        fields = {"frac_bits": model.manifest.frac_bits}
        blobs["value_bits"] = bytes(model.manifest.value_bits)
        await lane.load(model_hash, Message("load", fields=fields, blobs=blobs), seconds)
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
