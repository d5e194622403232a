"""Material made ahead: while a lane is idle, the parties are asked to prepare for what was run lately."""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from mpc_infer.clock import Clock
from mpc_infer.coordinator.lanes import LanePool, Ticket
from mpc_infer.coordinator.parties import PartyDoor, on_all
from mpc_infer.coordinator.session import abort_session
from mpc_infer.errors import MpcInferError
from mpc_infer.ids import MaterialId, ModelHash, SessionId
from mpc_infer.telemetry import Log
from mpc_infer.v1 import party_pb2

_LOG = Log("coordinator.material")
IDLE_S = 0.02
"""A lane must have been idle for so long: a client that sends one job after the other is not made to wait."""
REST_S = 5.0
"""How long nothing is prepared for a shape after that failed."""
NO_MATERIAL = MaterialId(b"")


@dataclass(frozen=True)
class Shape:
    """What material is for: a model and a number of rows."""

    model_hash: ModelHash
    rows: int


class Stock:
    """Which material is ready on which lane. An id is handed out once and never comes back."""

    def __init__(self, lanes: int, per_shape: int, shapes: int) -> None:
        self._lanes = lanes
        self._per_shape = per_shape
        self._max_shapes = shapes
        self._ready: dict[tuple[int, Shape], deque[MaterialId]] = {}
        self._recent: dict[Shape, None] = {}

    def used(self, shape: Shape) -> None:
        """A job of this shape ran: keep some material ready for the next. The least recently used shape is dropped."""
        self._recent.pop(shape, None)
        self._recent[shape] = None
        while len(self._recent) > self._max_shapes:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            for lane in range(self._lanes):
                self._ready.pop((lane, oldest), None)

    def take(self, lane: int, shape: Shape) -> MaterialId:
        """Material for one session, or `NO_MATERIAL`."""
        ready = self._ready.get((lane, shape))
        return ready.popleft() if ready else NO_MATERIAL

    def add(self, lane: int, shape: Shape, material_id: MaterialId) -> None:
        """Material is ready."""
        if shape in self._recent:
            self._ready.setdefault((lane, shape), deque()).append(material_id)

    def drop_lane(self, lane: int) -> None:
        """Trust nothing that was ready on a lane: a party failed there and may have lost it."""
        for key in [key for key in self._ready if key[0] == lane]:
            del self._ready[key]

    def drop_all(self) -> None:
        """Trust nothing that was ready: a party was restarted."""
        self._ready.clear()

    def wanting(self) -> list[tuple[int, Shape]]:
        """Lanes and shapes with too little ready, the emptiest first, then the most recently used."""
        pairs = [(lane, shape) for shape in reversed(self._recent) for lane in range(self._lanes)]
        short = [pair for pair in pairs if self._count(pair) < self._per_shape]
        return sorted(short, key=self._count)

    def _count(self, pair: tuple[int, Shape]) -> int:
        return len(self._ready.get(pair, ()))


class Keeper:
    """Fills the stock in the background. A job that comes meanwhile waits for at most one preparation."""

    def __init__(
        self, parties: Sequence[PartyDoor], lanes: LanePool, stock: Stock, clock: Clock, timeout_s: float
    ) -> None:
        self._parties = parties
        self._lanes = lanes
        self._stock = stock
        self._clock = clock
        self._timeout_s = timeout_s
        self._wake = asyncio.Event()
        self._resting: dict[Shape, float] = {}

    def wake(self) -> None:
        """A lane became idle."""
        self._wake.set()

    async def run(self) -> None:
        """Prepare whenever a lane is idle: the body of a background task."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await asyncio.sleep(IDLE_S)
            while not self._wake.is_set() and await self._prepare_one():
                pass

    async def _prepare_one(self) -> bool:
        now = asyncio.get_running_loop().time()
        for lane, shape in self._stock.wanting():
            if self._resting.get(shape, 0.0) > now:
                continue
            ticket = self._lanes.try_take(lane)
            if ticket is not None:
                await self._prepare(ticket, lane, shape)
                return True
        return False

    async def _prepare(self, ticket: Ticket, lane: int, shape: Shape) -> None:
        material_id = MaterialId(secrets.token_bytes(16))
        request = party_pb2.PrepareMaterialRequest(
            material_id=material_id,
            lane=lane,
            model_hash=shape.model_hash,
            rows=shape.rows,
            deadline_ms=self._clock.now_ms() + int(self._timeout_s * 1000),
        )
        try:
            await on_all(self._parties, lambda party: party.call("PrepareMaterial", request, self._timeout_s))
            self._stock.add(lane, shape, material_id)
        except MpcInferError as error:
            self._rest(shape)
            self._stock.drop_lane(lane)
            # The other parties may still wait for the one that failed: the lane must be free again everywhere.
            await abort_session(self._parties, SessionId(material_id), "the preparation failed elsewhere")
            _LOG.warning("no material could be prepared", reason=error.message, code=error.code, model=shape.model_hash)
        finally:
            self._lanes.leave(ticket)

    def _rest(self, shape: Shape) -> None:
        now = asyncio.get_running_loop().time()
        self._resting = {other: until for other, until in self._resting.items() if until > now}
        self._resting[shape] = now + REST_S
