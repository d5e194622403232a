"""Material made ahead: while a lane is idle, the parties are asked to prepare for what was run lately."""

import asyncio
import secrets
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass

from mpc_infer.clock import Clock
from mpc_infer.coordinator.lanes import LanePool
from mpc_infer.coordinator.parties import PartyDoor, drop, on_all
from mpc_infer.coordinator.session import ABORT_S, abort_session
from mpc_infer.errors import MpcInferError, SessionAborted
from mpc_infer.ids import MaterialId, ModelHash, SessionId
from mpc_infer.telemetry import Log
from mpc_infer.v1 import party_pb2

_LOG = Log("coordinator.material")
IDLE_S = 0.02
"""A lane must have been idle for so long before its stock is filled up: a client that sends one job after the other
is not made to wait. Where the stock runs low it is filled at once, several batches in one go."""
HOLD_S = 0.2
"""How long making material should hold a lane at most. Longer, and the few jobs that come meanwhile wait longer;
shorter, and under steady load more jobs wait."""
MAX_BATCHES = 32
MAX_PACES = 256
REST_S = 5.0
"""How long nothing is prepared for a shape after that failed."""
MAKE_WAY_S = 0.3
"""How long a party has to answer the order to stop while a job waits for the lane."""
DEFAULT_BYTES = 64 << 20
NO_MATERIAL = MaterialId(b"")
Answers = tuple[party_pb2.PrepareMaterialResponse, ...]


@dataclass(frozen=True)
class Shape:
    """What material is for: a model and a number of rows."""

    model_hash: ModelHash
    rows: int


class Stock:
    """Which material is ready on which lane. An id is handed out once and never comes back.

    Args:
        lanes: how many there are.
        per_shape: batches per lane and shape, if they are small.
        shapes: how many recently used shapes are kept ready.
        max_bytes: of material at a party per lane and shape, where that is less.
    """

    def __init__(self, lanes: int, per_shape: int, shapes: int, max_bytes: int = DEFAULT_BYTES) -> None:
        self._lanes = lanes
        self._per_shape = per_shape
        self._max_shapes = shapes
        self._max_bytes = max_bytes
        self._targets: dict[Shape, int] = {}
        self._ready: dict[tuple[int, Shape], deque[MaterialId]] = {}
        self._recent: dict[Shape, None] = {}

    def used(self, shape: Shape) -> None:
        """A job of this shape ran: keep some material ready for the next. The least recently used shape is dropped."""
        self._recent.pop(shape, None)
        self._recent[shape] = None
        while len(self._recent) > self._max_shapes:
            oldest = next(iter(self._recent))
            del self._recent[oldest]
            self._targets.pop(oldest, None)
            for lane in range(self._lanes):
                self._ready.pop((lane, oldest), None)

    def take(self, lane: int, shape: Shape) -> MaterialId:
        """Material for one session, or `NO_MATERIAL`."""
        ready = self._ready.get((lane, shape))
        return ready.popleft() if ready else NO_MATERIAL

    def add(self, lane: int, shape: Shape, ids: Sequence[MaterialId], material_bytes: int = 0) -> None:
        """Batches are ready, each of this size at a party."""
        if shape in self._recent:
            self._targets[shape] = max(1, min(self._per_shape, self._max_bytes // max(1, material_bytes)))
            self._ready.setdefault((lane, shape), deque()).extend(ids)

    def drop_lane(self, lane: int) -> None:
        """Trust nothing that was ready on a lane: a party failed there and may have lost it."""
        for key in [key for key in self._ready if key[0] == lane]:
            del self._ready[key]

    def drop_all(self) -> None:
        """Trust nothing that was ready: a party was restarted."""
        self._ready.clear()

    def keeps(self, shape: Shape) -> bool:
        """Whether some material for this shape should be ready."""
        return shape in self._recent and self._per_shape > 0

    def missing(self, lane: int, shape: Shape) -> int:
        """How many batches are wanting on a lane."""
        return max(0, self._target(shape) - self._count((lane, shape)))

    def wanting(self) -> list[tuple[int, Shape]]:
        """Lanes and shapes of which half is used up, the emptiest first, then the most recently used.

        Not sooner: filling up takes hardly longer for many batches than for one.
        """
        pairs = [(lane, shape) for shape in reversed(self._recent) for lane in range(self._lanes)]
        short = [pair for pair in pairs if self.missing(*pair) >= max(1, self._target(pair[1]) // 2)]
        return sorted(short, key=self._count)

    def low(self) -> list[tuple[int, Shape]]:
        """Those of them where less than a quarter is left: a client that does not pause will soon have used it up."""
        return [pair for pair in self.wanting() if 4 * self._count(pair) < self._target(pair[1])]

    def _target(self, shape: Shape) -> int:
        # One to begin with: how much a batch takes is known when the first was made.
        return self._targets.get(shape, min(1, self._per_shape))

    def _count(self, pair: tuple[int, Shape]) -> int:
        return len(self._ready.get(pair, ()))


@dataclass
class Pace:
    """What making material for one shape took lately.

    Attributes:
        batches: how many to make at once, so that a job that comes meanwhile does not wait long.
        resting_until: nothing is prepared before, on the event loop's clock.
    """

    batches: int = 1
    resting_until: float = 0.0

    def took(self, batches: int, seconds: float) -> None:
        """Making this many took so long: make more or fewer the next time."""
        if seconds > HOLD_S:
            self.batches = max(1, batches // 2)
        elif batches == self.batches and seconds < HOLD_S / 2:
            self.batches = min(2 * batches, MAX_BATCHES)


class Keeper:
    """Fills the stock in the background. A job that comes meanwhile waits for at most one preparation, and calls that
    one off if it takes too long: a party that stands still must not keep jobs from a lane."""

    def __init__(
        self, parties: Sequence[PartyDoor], lanes: LanePool, stock: Stock, clock: Clock, timeout_s: float
    ) -> None:
        self._parties = parties
        self._lanes = lanes
        self._stock = stock
        self._clock = clock
        self._timeout_s = timeout_s
        self._wake = asyncio.Event()
        self._paces: dict[Shape, Pace] = {}
        self._suspect: tuple[float, int | None] = (0.0, None)

    @property
    def suspect(self) -> int | None:
        """The party that lately kept material from being made, if one is known."""
        until, party = self._suspect
        return party if asyncio.get_running_loop().time() < until else None

    def wake(self) -> None:
        """A lane became idle."""
        self._wake.set()

    async def run(self) -> None:
        """Prepare whenever a lane is idle: the body of a background task."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while await self._prepare_one(self._stock.low()):
                pass
            await asyncio.sleep(IDLE_S)
            while not self._wake.is_set() and await self._prepare_one(self._stock.wanting()):
                pass

    async def material(self, lane: int, shape: Shape, timeout_s: float) -> MaterialId:
        """Material for a job that holds a lane: from the stock, which is filled first where it is empty.

        Args:
            timeout_s: how long that may take.

        Returns:
            Its id, or `NO_MATERIAL`: the session makes its own.
        """
        ready = self._stock.take(lane, shape)
        if ready or not self._stock.keeps(shape) or self._rests(shape):
            return ready
        await self._prepare(lane, shape, min(timeout_s, self._timeout_s), asyncio.Event())
        return self._stock.take(lane, shape)

    async def _prepare_one(self, pairs: Sequence[tuple[int, Shape]]) -> bool:
        for lane, shape in pairs:
            ticket = None if self._rests(shape) else self._lanes.try_take(lane)
            if ticket is not None:
                try:
                    await self._prepare(lane, shape, self._timeout_s, ticket.wanted)
                finally:
                    self._lanes.leave(ticket)
                return True
        return False

    async def _prepare(self, lane: int, shape: Shape, timeout_s: float, wanted: asyncio.Event) -> None:
        """Make material on a lane that is ours, and note how long it took, or that it failed.

        Args:
            wanted: when it is set, the making is called off: a job waits for the lane.
        """
        loop, pace = asyncio.get_running_loop(), self._pace(shape)
        batches = max(1, min(pace.batches, self._stock.missing(lane, shape)))
        ids = [MaterialId(secrets.token_bytes(16)) for _ in range(batches)]
        began = loop.time()
        try:
            answers = await _unless(wanted, self._ask(lane, shape, ids, timeout_s))
        except MpcInferError as error:
            pace.resting_until = loop.time() + REST_S
            await self._failed(lane, ids[0], error, MAKE_WAY_S if wanted.is_set() else ABORT_S)
            return
        pace.took(batches, loop.time() - began)
        self._stock.add(lane, shape, ids, max(answer.material_bytes for answer in answers))

    async def _ask(self, lane: int, shape: Shape, ids: list[MaterialId], timeout_s: float) -> Answers:
        request = party_pb2.PrepareMaterialRequest(
            material_id=ids[0],
            further_ids=ids[1:],
            lane=lane,
            model_hash=shape.model_hash,
            rows=shape.rows,
            deadline_ms=self._clock.now_ms() + int(timeout_s * 1000),
        )
        return await on_all(self._parties, lambda party: party.call("PrepareMaterial", request, timeout_s))

    async def _failed(self, lane: int, material_id: MaterialId, error: MpcInferError, abort_s: float) -> None:
        self._stock.drop_lane(lane)
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


async def _unless(wanted: asyncio.Event, asking: Coroutine[None, None, Answers]) -> Answers:
    """The parties' answers, unless the lane is wanted before they are there.

    Raises:
        SessionAborted: it is.
    """
    answers, way = asyncio.ensure_future(asking), asyncio.ensure_future(wanted.wait())
    try:
        await asyncio.wait({answers, way}, return_when=asyncio.FIRST_COMPLETED)
        if answers.done():
            return answers.result()
        raise SessionAborted("a job waits for the lane, and the parties have not made the material yet")
    finally:
        await drop([answers, way])
