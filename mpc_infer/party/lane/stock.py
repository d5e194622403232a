"""The material of one lane: every batch in a file, the next ones in memory and ready for their input."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mpc_infer.encoding import same_digest
from mpc_infer.engine.api import Engine, digest_of
from mpc_infer.engine.session import KeepBatches
from mpc_infer.errors import MaterialUnusable, MpcInferError, StockFull, StoreError
from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.party.lane.models import LoadedModel
from mpc_infer.party.stock_files import StockFiles, file_context
from mpc_infer.preprocessing import Batch, Material, Plan, corrections_length
from mpc_infer.sharing.stream import SEED_BYTES
from mpc_infer.store import sealed_file
from mpc_infer.telemetry import Log

_LOG = Log("party.lane.stock")
_REMEMBERED = 4096


@dataclass(frozen=True)
class StockPlace:
    """Whose material it is and how much of it stays in memory.

    Attributes:
        lane, rank: which lane of which party.
        files: where it lies.
        key: 32 bytes (see `files_key`).
        batches, bytes: most that is kept in memory; one batch always is.
    """

    lane: int
    rank: int
    files: StockFiles
    key: bytes
    batches: int
    bytes: int

    def __repr__(self) -> str:
        return f"StockPlace(lane {self.lane})"


@dataclass(repr=False)
class _Held:
    """A batch on the disk; `material` is it in memory, `ready` says that nothing is left to do before the input."""

    model_hash: ModelHash
    model: LoadedModel
    plan: Plan
    material: Material | None = None
    ready: bool = False

    @property
    def shape(self) -> tuple[bytes, int]:
        return self.model_hash, self.plan.batch


class LaneStock:
    """Material between its making and its use. First made, first made ready; what does not fit in memory is read again.

    Args:
        place: see `StockPlace`.
        engine: the lane's.
        on_ready: told the id of every batch that became ready in memory.

    Raises:
        StoreError: the lane's folder cannot be made.
    """

    def __init__(self, place: StockPlace, engine: Engine, on_ready: Callable[[MaterialId], None]) -> None:
        self._place = place
        self._engine = engine
        self._on_ready = on_ready
        self._held: OrderedDict[MaterialId, _Held] = OrderedDict()
        self._taken: OrderedDict[MaterialId, None] = OrderedDict()
        """What was used lately. The ledger keeps it from being asked for again; until its file is gone, so do we."""
        try:
            (place.files.directory / str(place.lane)).mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be made: {error.strerror}") from error

    def file_bytes(self, plan: Plan) -> int:
        """How long the file of one batch is."""
        return sealed_file.file_bytes(self._lengths(plan))

    def check_room(self, plan: Plan, batches: int, room: int) -> None:
        """Refuse to make what would not fit.

        Raises:
            StockFull: it would take more bytes on the disk than there is room for.
        """
        size = batches * self.file_bytes(plan)
        if size > room:
            raise StockFull(f"{batches} batches of material take {size} bytes, and there is room for {room}")

    @contextmanager
    def receiving(
        self, model_hash: ModelHash, model: LoadedModel, plan: Plan, ids: Sequence[MaterialId]
    ) -> Iterator[KeepBatches]:
        """Inside, batches are written as they come; they are in the stock if all goes well, and nowhere otherwise."""
        made: dict[MaterialId, _Held] = {}

        def keep(batches: Iterable[Batch]) -> None:
            for batch in batches:
                self._write(batch, model_hash, model, plan)
                held = made[batch.material_id] = _Held(model_hash, model, plan)
                if self._fits(plan, made.values()):
                    held.material = batch.expand(plan, self._place.rank)
            sealed_file.finish([self._path(material_id) for material_id in made])

        with ExitStack() as undo:
            for material_id in ids:
                undo.callback(sealed_file.discard, self._path(material_id))
            yield keep
            undo.pop_all()
        self._held.update(made)

    def adopt(
        self,
        model_hash: ModelHash,
        model: LoadedModel,
        plans: Callable[[int], Plan],
        ready: Sequence[tuple[MaterialId, int]],
    ) -> None:
        """Take over what an earlier life of the lane left on the disk, instead of what is known of this model.

        Args:
            plans: the model's plan for a number of rows.
            ready: ids and rows, oldest first.
        """
        self.forget_model(model_hash)
        for material_id, rows in ready:
            self._held[material_id] = _Held(model_hash, model, plans(rows))

    def claim(self, material_id: MaterialId, model_hash: ModelHash, model: LoadedModel, plan: Plan) -> None:
        """Have a batch in memory and ready, before anything is spent for the session that wants it.

        Raises:
            MaterialUnusable: it is not there, damaged, or was made for something else.
        """
        if material_id in self._taken:
            raise MaterialUnusable("the material was used before", party=self._place.rank)
        held = self._held.setdefault(material_id, _Held(model_hash, model, plan))
        try:
            _check_made_for(held, model, plan)
            self._make_ready(material_id, held)
        except MaterialUnusable:
            self.forget([material_id])
            raise

    def take(self, material_id: MaterialId, model_hash: ModelHash, model: LoadedModel, plan: Plan) -> Material:
        """A batch, once. Raises as `claim`."""
        self.claim(material_id, model_hash, model, plan)
        material = self._held.pop(material_id).material
        self._taken[material_id] = None
        while len(self._taken) > _REMEMBERED:
            self._taken.popitem(last=False)
        if material is None:
            raise MaterialUnusable("the material is gone", party=self._place.rank)
        return material

    @property
    def any_ready(self) -> bool:
        """Whether a session could begin at once."""
        return any(held.ready for held in self._held.values())

    def work_ahead(self) -> bool:
        """Make one more batch ready. Whether there was anything to do, and room to do it in."""
        material_id = self._next()
        if material_id is None:
            return False
        try:
            self._make_ready(material_id, self._held[material_id])
        except MpcInferError as error:
            _LOG.error("material cannot be made ready", exception=error, material=material_id)
            self.forget([material_id])
        return True

    def forget(self, ids: Iterable[MaterialId]) -> None:
        """Have some batches in memory no more. Their files are the main process's to delete."""
        for material_id in ids:
            held = self._held.pop(material_id, None)
            if held is not None and held.material is not None:
                held.material.discard()

    def forget_model(self, model_hash: bytes) -> None:
        """The same for all batches of a model."""
        self.forget([material_id for material_id, held in self._held.items() if held.model_hash == model_hash])

    def _next(self) -> MaterialId | None:
        """Of the shapes of which the fewest batches are ready, the oldest."""
        ready = Counter(held.shape for held in self._held.values() if held.ready)
        room = self._room(())
        waiting = [key for key, held in self._held.items() if not held.ready and (held.material or room(held.plan))]
        return min(waiting, key=lambda key: ready[self._held[key].shape], default=None)

    def _fits(self, plan: Plan, more: Iterable[_Held]) -> bool:
        return self._room(more)(plan)

    def _room(self, more: Iterable[_Held]) -> Callable[[Plan], bool]:
        loaded = [held.plan.material_bytes for held in (*self._held.values(), *more) if held.material is not None]
        count, size = len(loaded), sum(loaded)
        place = self._place
        return lambda plan: not count or (count < place.batches and size + plan.material_bytes <= place.bytes)

    def _make_ready(self, material_id: MaterialId, held: _Held) -> None:
        if held.ready:
            return
        if held.material is None:
            held.material = self._read(material_id, held)
        self._engine.prepare(held.model.graph, held.model.open, held.material, self._place.rank)
        held.ready = True
        self._on_ready(material_id)

    def _write(self, batch: Batch, model_hash: ModelHash, model: LoadedModel, plan: Plan) -> None:
        context = self._context(batch.material_id, model_hash, model, plan)
        sealed_file.write(self._path(batch.material_id), self._place.key, context, [batch.seed, batch.corrections])

    def _read(self, material_id: MaterialId, held: _Held) -> Material:
        context = self._context(material_id, held.model_hash, held.model, held.plan)
        try:
            parts = sealed_file.read(self._path(material_id), self._place.key, context, self._lengths(held.plan))
        except StoreError as error:
            raise MaterialUnusable(f"material cannot be used: {error.message}", party=self._place.rank) from error
        return Batch(material_id, bytes(parts[0]), parts[1]).expand(held.plan, self._place.rank)

    def _path(self, material_id: MaterialId) -> Path:
        return self._place.files.path(self._place.lane, material_id)

    def _context(self, material_id: MaterialId, model_hash: ModelHash, model: LoadedModel, plan: Plan) -> bytes:
        return file_context(material_id, model_hash, digest_of(model.open), plan.digest, self._place.rank)

    def _lengths(self, plan: Plan) -> tuple[int, int]:
        return SEED_BYTES, corrections_length(plan, self._place.rank)


def _check_made_for(held: _Held, model: LoadedModel, plan: Plan) -> None:
    fits = held.plan.digest == plan.digest and same_digest(digest_of(held.model.open), digest_of(model.open))
    if not fits:
        raise MaterialUnusable("the material was made for another model, opening or number of rows")
