"""Keeps models open and material ready: while a lane is idle, the parties prepare for what was run lately."""

import asyncio
import secrets
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar

from mpc_infer.clock import Clock
from mpc_infer.coordinator.lanes import LanePool
from mpc_infer.coordinator.material import Pace, Shape, Stock
from mpc_infer.coordinator.openings import Openings
from mpc_infer.coordinator.parties import PartyDoor, drop, on_all
from mpc_infer.coordinator.session import ABORT_S, abort_session
from mpc_infer.coordinator.stocktaking import give_up, take_stock
from mpc_infer.errors import MpcInferError, PlanMismatch, Refused, SessionAborted, StockFull
from mpc_infer.ids import MaterialId, ModelHash, SessionId
from mpc_infer.telemetry import Log
from mpc_infer.v1 import party_pb2

_LOG = Log("coordinator.keeper")
IDLE_S = 0.02
"""A lane must have been idle for so long before its stock is filled up: a client that sends one job after the other
is not made to wait. Where hardly any is left it is filled at once, several batches in one go."""
MAX_PACES = 256
REST_S = 5.0
"""How long nothing is prepared for a shape after that failed."""
LOOK_S = 1.0
"""How long a party that does not say what it has is left alone."""
MAKE_WAY_S = 0.3
"""How long a party has to answer the order to stop while a job waits for the lane."""
Answer = TypeVar("Answer")


class Keeper:
    """Sees in the background to everything that a job should not wait for: stocktaking, openings, material.

    A job that comes meanwhile waits for at most one of these, and calls it off if it takes too long: a party
    that stands still must not keep jobs from a lane. What the job would have to have done itself it leaves alone for
    half of its time: called off, it would begin from the start.
    """

    def __init__(
        self,
        parties: Sequence[PartyDoor],
        lanes: LanePool,
        stock: Stock,
        openings: Openings,
        clock: Clock,
        timeout_s: float,
    ) -> None:
        self._parties = parties
        self._lanes = lanes
        self._stock = stock
        self._openings = openings
        self._clock = clock
        self._timeout_s = timeout_s
        self._wake = asyncio.Event()
        self._wake.set()
        self._paces: dict[Shape, Pace] = {}
        self._published: dict[ModelHash, None] = {}
        self._uncounted: dict[int, float] = dict.fromkeys(range(lanes.count), 0.0)
        self._suspect: tuple[float, int | None] = (0.0, None)

    @property
    def suspect(self) -> int | None:
        """The party that lately kept something from being made, if one is known."""
        until, party = self._suspect
        return party if asyncio.get_running_loop().time() < until else None

    def wake(self) -> None:
        """A lane became idle."""
        self._wake.set()

    def published(self, model_hash: ModelHash) -> None:
        """A model is new: open it and prepare for a first row, before somebody waits for it."""
        self._published[model_hash] = None
        self._stock.used(Shape(model_hash, 1))
        self._wake.set()

    def doubt(self, lane: int) -> None:
        """A session failed on a lane: count its material again before any is used."""
        self._stock.drop_lane(lane)
        self._uncounted.setdefault(lane, 0.0)

    def doubt_all(self) -> None:
        """A party was away: count everything again, and ask which models are open."""
        self._openings.forget()
        self._stock.drop_all()
        self._uncounted = dict.fromkeys(range(self._lanes.count), 0.0)
        self._wake.set()

    async def run(self) -> None:
        """Do whatever is to be done whenever a lane is idle: the body of a background task."""
        while True:
            await self._woken()
            while await self._count_one() or await self._open_one() or await self._prepare_one(self._stock.empty()):
                pass
            await self._tidy()
            await asyncio.sleep(IDLE_S)
            while not self._wake.is_set() and await self._prepare_one(self._stock.wanting()):
                pass

    async def _woken(self) -> None:
        """A lane became idle; or it is time to ask a party again that did not answer."""
        try:
            async with asyncio.timeout(LOOK_S if self._uncounted else None):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def ready(self, lane: int, shape: Shape, timeout_s: float) -> tuple[MaterialId, int]:
        """For jobs that hold a lane: see that the model is open, and find material, which is made first where there is
        none but should be.

        Args:
            timeout_s: how long that may take.

        Returns:
            Its id, or `NO_MATERIAL`: the session makes its own; and the rows that it is for.

        Raises:
            MpcInferError: the model cannot be opened.
        """
        if self._due(lane):
            await self._count(lane)
        await self._openings.ensure(shape.model_hash, lane, timeout_s)
        near = self._stock.nearest(lane, shape)
        ready = self._stock.take(lane, near)
        if ready or not self._stock.keeps(shape) or self._rests(shape):
            return ready, near.rows
        await self._prepare(lane, shape, min(timeout_s, self._timeout_s), asyncio.Event())
        return self._stock.take(lane, shape), shape.rows

    def _due(self, lane: int) -> bool:
        return self._uncounted.get(lane, float("inf")) <= asyncio.get_running_loop().time()

    async def _count(self, lane: int) -> None:
        """Take stock on a lane that is ours; where that fails, another time."""
        self._uncounted[lane] = asyncio.get_running_loop().time() + LOOK_S
        try:
            found = await take_stock(self._parties, self._stock, lane, self._lanes.count)
        except MpcInferError as error:
            _LOG.warning("the parties' material could not be counted", lane=lane, code=error.code, reason=error.message)
            return
        self._uncounted.pop(lane, None)
        _LOG.debug("material counted", lane=lane, batches=found)

    async def _count_one(self) -> bool:
        for lane in [lane for lane in self._uncounted if self._due(lane)]:
            if self._lanes.take_background(lane) is not None:
                try:
                    await self._count(lane)
                finally:
                    self._lanes.give_back(lane)
                return True
        return False

    async def _open_one(self) -> bool:
        for model_hash in tuple(self._published):
            for lane in range(self._lanes.count):
                wanted = self._lanes.take_background(lane, partial(_is_of, model_hash))
                if wanted is not None:
                    try:
                        await self._open(model_hash, lane, wanted)
                    finally:
                        self._lanes.give_back(lane)
                    return True
        return False

    async def _open(self, model_hash: ModelHash, lane: int, wanted: asyncio.Event) -> None:
        """Open a new model on a lane that is ours. If it cannot be, the first job tries again, and says why."""
        self._published.pop(model_hash, None)
        try:
            await _unless(wanted, self._openings.ensure(model_hash, lane, self._timeout_s))
        except MpcInferError as error:
            _LOG.warning("a model could not be opened yet", model=model_hash, code=error.code, reason=error.message)

    async def _tidy(self) -> None:
        """Have the parties give up what is no longer wanted. What they miss is found when stock is taken."""
        if unwanted := self._stock.unwanted():
            try:
                await give_up(self._parties, unwanted)
            except MpcInferError as error:
                _LOG.warning("material could not be given up", code=error.code, reason=error.message)

    async def _prepare_one(self, pairs: Sequence[tuple[int, Shape]]) -> bool:
        for lane, shape in pairs:
            wanted = None
            if not self._rests(shape):
                wanted = self._lanes.take_background(lane, partial(self._needs, lane, shape))
            if wanted is not None:
                try:
                    await self._prepare(lane, shape, self._timeout_s, wanted)
                finally:
                    self._lanes.give_back(lane)
                return True
        return False

    def _needs(self, lane: int, made: Shape, job: Shape) -> bool:
        """Whether a job, if it had the lane, would have to make first what is being made on it."""
        if not self._openings.knows(made.model_hash):
            return made.model_hash == job.model_hash
        return made in job.near() and not self._stock.has(lane, job)

    async def _prepare(self, lane: int, shape: Shape, timeout_s: float, wanted: asyncio.Event) -> None:
        """Make material on a lane that is ours, and note how long it took, or that it failed.

        Args:
            wanted: when it is set, the making is called off: a job waits for the lane.
        """
        loop, pace = asyncio.get_running_loop(), self._pace(shape)
        batches = min(pace.batches, self._stock.missing(lane, shape))
        if batches < 1:
            return
        ids = [MaterialId(secrets.token_bytes(16)) for _ in range(batches)]
        try:
            await _unless(wanted, self._openings.ensure(shape.model_hash, lane, timeout_s))
            began = loop.time()
            answers = await _unless(wanted, self._ask(lane, shape, ids, timeout_s))
        except MpcInferError as error:
            pace.resting_until = loop.time() + REST_S
            await self._failed(lane, shape, ids[0], error, MAKE_WAY_S if wanted.is_set() else ABORT_S)
            return
        pace.took(batches, loop.time() - began)
        self._stock.add(lane, shape, ids, max(answer.material_bytes for answer in answers))

    async def _ask(
        self, lane: int, shape: Shape, ids: list[MaterialId], timeout_s: float
    ) -> tuple[party_pb2.PrepareMaterialResponse, ...]:
        request = party_pb2.PrepareMaterialRequest(
            material_id=ids[0],
            further_ids=ids[1:],
            lane=lane,
            model_hash=shape.model_hash,
            rows=shape.rows,
            deadline_ms=self._clock.now_ms() + int(timeout_s * 1000),
        )
        return await on_all(self._parties, lambda party: party.call("PrepareMaterial", request, timeout_s))

    async def _failed(
        self, lane: int, shape: Shape, material_id: MaterialId, error: MpcInferError, abort_s: float
    ) -> None:
        if isinstance(error, StockFull):
            self._stock.full(shape)
        elif isinstance(error, Refused | PlanMismatch):
            self._openings.forget(shape.model_hash)
        self.doubt(lane)
        # The other parties may still wait for the one that failed: the lane must be free again everywhere.
        reason = "the preparation was called off or failed elsewhere"
        silent = await abort_session(self._parties, SessionId(material_id), reason, abort_s)
        party = error.party if error.party is not None else min(silent, default=None)
        self._suspect = (asyncio.get_running_loop().time() + REST_S, party)
        _LOG.warning("no material could be prepared", reason=error.message, code=error.code, lane=lane, party=party)

    def _pace(self, shape: Shape) -> Pace:
        if len(self._paces) >= MAX_PACES and shape not in self._paces:
            self._paces.clear()
        return self._paces.setdefault(shape, Pace())

    def _rests(self, shape: Shape) -> bool:
        pace = self._paces.get(shape)
        return pace is not None and pace.resting_until > asyncio.get_running_loop().time()


def _is_of(model_hash: ModelHash, shape: Shape) -> bool:
    return shape.model_hash == model_hash


async def _unless(wanted: asyncio.Event, work: Coroutine[Any, Any, Answer]) -> Answer:
    """What the parties answer, unless the lane is wanted before.

    Raises:
        SessionAborted: it is.
    """
    answers, way = asyncio.ensure_future(work), asyncio.ensure_future(wanted.wait())
    try:
        await asyncio.wait({answers, way}, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            return answers.result()
        raise SessionAborted("a job waits for the lane, and the parties have not made the material yet")
    finally:
        await drop([answers, way])
