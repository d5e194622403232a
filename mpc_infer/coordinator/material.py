"""Material that the parties have ready, as far as the coordinator counts on it."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mpc_infer.ids import MaterialId, ModelHash

NO_MATERIAL = MaterialId(b"")
NEAR = 4
"""Material for at most so many times the rows serves where there is none for them exactly."""
HOLD_S = 0.2
"""How long making material should hold a lane at most. Longer, and the few jobs that come meanwhile wait longer;
shorter, and under steady load more jobs wait."""
MAX_BATCHES = 32


@dataclass(frozen=True)
class Shape:
    """What material is for: a model and a number of rows."""

    model_hash: ModelHash
    rows: int

    def near(self) -> "Iterator[Shape]":
        """Those whose material serves for this one: itself first, then those of more rows."""
        rows = self.rows
        while rows <= NEAR * self.rows:
            yield Shape(self.model_hash, rows)
            rows *= 2


@dataclass(frozen=True)
class Marks:
    """How much is kept ready per lane and shape.

    Attributes:
        low: with fewer batches than this it is filled up.
        high: up to so many.
        max_bytes: of material at one party, where that is less than `high` batches; one batch in any case.
        shapes: how many recently used (model, rows) are kept ready.
    """

    low: int = 8
    high: int = 16
    max_bytes: int = 64 << 20
    shapes: int = 8


class Stock:
    """Which material is ready on which lane. An id is handed out once.

    Args:
        lanes: how many there are.
        marks: how much is kept.
    """

    def __init__(self, lanes: int, marks: Marks) -> None:
        self._lanes = lanes
        self._marks = marks
        self._room: int | None = None
        self._targets: dict[Shape, int] = {}
        self._ready: dict[tuple[int, Shape], deque[MaterialId]] = {}
        self._recent: dict[Shape, None] = {}
        self._filling: set[tuple[int, Shape]] = set()
        self._unwanted: list[MaterialId] = []

    def used(self, shape: Shape) -> None:
        """A session of this shape ran: keep some material ready for the next. The least recently used is given up."""
        self._recent.pop(shape, None)
        self._recent[shape] = None
        while len(self._recent) > self._marks.shapes:
            self._forget(next(iter(self._recent)))

    def take(self, lane: int, shape: Shape) -> MaterialId:
        """Material for one session, or `NO_MATERIAL`."""
        ready = self._ready.get((lane, shape))
        return ready.popleft() if ready else NO_MATERIAL

    def has(self, lane: int, shape: Shape) -> bool:
        """Whether `take` would find something for a session of this shape, or of the nearest."""
        return self._count((lane, self.nearest(lane, shape))) > 0

    def nearest(self, lane: int, shape: Shape) -> Shape:
        """The shape itself, or if nothing of it is ready one of a few more rows of which something is."""
        return next((near for near in shape.near() if self._count((lane, near))), shape)

    def add(self, lane: int, shape: Shape, ids: Sequence[MaterialId], material_bytes: int = 0) -> None:
        """Batches are ready, each of this size at a party."""
        if shape not in self._recent:
            self._unwanted.extend(ids)
            return
        high = max(1, self._marks.high)
        self._targets[shape] = max(1, min(high, self._marks.max_bytes // max(1, material_bytes)))
        self._ready.setdefault((lane, shape), deque()).extend(ids)

    def replace(self, lane: int, found: Sequence[tuple[Shape, int, MaterialId]]) -> list[MaterialId]:
        """Count on just this on a lane, and on what it says was used lately if there is room for it.

        Args:
            found: shape, bytes and id of every batch that all parties have ready there, oldest first.

        Returns:
            The ids of those that are not wanted.
        """
        self.drop_lane(lane)
        for shape, material_bytes, material_id in found:
            if shape not in self._recent and len(self._recent) < self._marks.shapes and self._marks.high:
                self._recent[shape] = None
            self.add(lane, shape, [material_id], material_bytes)
        return self.unwanted()

    def unwanted(self) -> list[MaterialId]:
        """Ids that were given up since this was asked last: the parties need not keep them."""
        ids, self._unwanted = self._unwanted, []
        return ids

    def drop_lane(self, lane: int) -> None:
        """Count on nothing on a lane: a party failed there and may have lost it."""
        for key in [key for key in self._ready if key[0] == lane]:
            del self._ready[key]

    def drop_model(self, model_hash: ModelHash) -> None:
        """Count on nothing for a model: it was opened anew, and the parties dropped what they had."""
        for key in [key for key in self._ready if key[1].model_hash == model_hash]:
            del self._ready[key]

    def drop_all(self) -> None:
        """Count on nothing: a party was away, and may have other limits now."""
        self._ready.clear()
        self._room = None

    def full(self, wanted: Shape) -> None:
        """A party has no room for more: what there is now is all that there can be. Others make way for this shape."""
        self._room = max(1, self._total())
        for shape in self._recent:
            if shape != wanted and (pairs := [pair for pair in self._ready if pair[1] == shape and self._ready[pair]]):
                self._unwanted.append(self._ready[pairs[0]].popleft())
                return

    def keeps(self, shape: Shape) -> bool:
        """Whether some material for this shape should be ready."""
        return shape in self._recent and self._marks.high > 0

    def missing(self, lane: int, shape: Shape) -> int:
        """How many batches are wanting on a lane."""
        wanting = max(0, self._target(shape) - self._count((lane, shape)))
        return wanting if self._room is None else max(0, min(wanting, self._room - self._total()))

    def wanting(self) -> list[tuple[int, Shape]]:
        """Lanes and shapes that fell below the low mark and are not filled up yet: the emptiest first, then the most
        recently used."""
        pairs = [(lane, shape) for shape in reversed(self._recent) for lane in range(self._lanes)]
        self._filling = {pair for pair in pairs if self.missing(*pair) and (pair in self._filling or self._low(pair))}
        return sorted((pair for pair in pairs if pair in self._filling), key=self._count)

    def empty(self) -> list[tuple[int, Shape]]:
        """Those of them where hardly any is left: a client that does not pause will soon have used it up."""
        return [pair for pair in self.wanting() if 4 * self._count(pair) < self._target(pair[1])]

    def _low(self, pair: tuple[int, Shape]) -> bool:
        return self._count(pair) < min(max(1, self._marks.low), self._target(pair[1]))

    def _target(self, shape: Shape) -> int:
        # One to begin with: how much a batch takes is known when the first was made.
        return self._targets.get(shape, min(1, self._marks.high))

    def _count(self, pair: tuple[int, Shape]) -> int:
        return len(self._ready.get(pair, ()))

    def _total(self) -> int:
        return sum(len(ids) for ids in self._ready.values())

    def _forget(self, shape: Shape) -> None:
        del self._recent[shape]
        self._targets.pop(shape, None)
        for lane in range(self._lanes):
            self._unwanted.extend(self._ready.pop((lane, shape), ()))


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
