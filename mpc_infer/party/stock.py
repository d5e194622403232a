"""A party's stock of material, as the main process sees it: a ledger that decides, files that follow it.

What the ledger says is durable before anything is used. A file without a row that is ready is deleted when the party
starts; a row without its file is dropped. So whatever crashes, material is used once or never.
"""

import asyncio
from collections.abc import Callable, Sequence

from mpc_infer.clock import Clock
from mpc_infer.encoding import same_digest
from mpc_infer.errors import InvalidRequest, MaterialUnusable, StockFull, StoreError
from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.party.config import PartyLimits
from mpc_infer.party.stock_files import StockFiles
from mpc_infer.store import MaterialLedger, MaterialRecord
from mpc_infer.telemetry import Log

_LOG = Log("party.stock")
DELETE_AFTER_S = 0.05
"""Files of used material are deleted so long after the session: right after it the processors have better to do."""


class Stock:
    """All material that is ready. To be used from one event loop; waits for the disk in threads.

    Args:
        ledger: what was made, used and dropped.
        files: the material itself, written and read by the lanes.
        limits: see PartyLimits.
        clock: the party's.
        opening: what a model is opened to now; None: it is not.
    """

    def __init__(
        self,
        ledger: MaterialLedger,
        files: StockFiles,
        limits: PartyLimits,
        clock: Clock,
        opening: Callable[[ModelHash], bytes | None],
    ) -> None:
        self._ledger = ledger
        self._files = files
        self._limits = limits
        self._clock = clock
        self._opening = opening
        self._ready: dict[MaterialId, MaterialRecord] = {}
        self._in_use: dict[MaterialId, MaterialRecord] = {}
        self._used: list[MaterialRecord] = []

    def reconcile(self) -> None:
        """Bring ledger and files together after whatever happened. Blocking; before the lanes start.

        Raises:
            StoreError: database or directory cannot be read.
        """
        records = self._ledger.ready()
        lost = self._files.sweep(records) + [record for record in records if not self._is_current(record)]
        gone = {record.material_id for record in lost}
        self._ledger.drop(gone, self._clock.now_ms())
        self._files.delete(lost)
        self._ready = {record.material_id: record for record in records if record.material_id not in gone}
        if records:
            _LOG.info("material found", ready=len(self._ready), dropped=len(gone))

    def records(self) -> list[MaterialRecord]:
        """What is ready, oldest first."""
        return list(self._ready.values())

    def on_lane(self, lane: int, model_hash: ModelHash) -> list[MaterialRecord]:
        """What is ready on a lane for a model, oldest first."""
        return [record for record in self.records() if record.lane == lane and record.model_hash == model_hash]

    def room(self) -> int:
        """Bytes that may still be written."""
        return self._limits.max_material_bytes - sum(record.bytes for record in self._ready.values())

    def check_room(self, lane: int, batches: int) -> None:
        """Refuse to make material for which there is no room.

        Raises:
            StockFull: the lane has as many batches as it may have, or the disk as many bytes.
        """
        held, most = sum(record.lane == lane for record in self._ready.values()), self._limits.max_material
        if held + batches > most:
            raise StockFull(f"lane {lane} holds {held} batches of material and may hold {most}; {batches} were wanted")
        if self.room() <= 0:
            raise StockFull(f"this party's material takes {self._limits.max_material_bytes} bytes, as many as it may")

    async def check_new(self, lane: int, ids: Sequence[MaterialId]) -> None:
        """Refuse to make material for which there is no room, or under ids that were used.

        Raises:
            StockFull: as `check_room`.
            InvalidRequest: an id comes twice, or was used before.
        """
        self.check_room(lane, len(ids))
        if len(set(ids)) != len(ids) or await asyncio.to_thread(self._ledger.known, ids):
            raise InvalidRequest("there was material of such an id before", remedy="choose fresh ids")

    async def add(self, records: Sequence[MaterialRecord]) -> None:
        """Material was made and written: note it, or undo it.

        Raises:
            StockFull: it is too much; another lane was faster.
            InvalidRequest, StoreError: it could not be noted.
        """
        try:
            if sum(record.bytes for record in records) > self.room():
                raise StockFull("there is no room for the material that was made")
            await asyncio.to_thread(self._ledger.add, records, self._clock.now_ms())
        except (StockFull, InvalidRequest, StoreError):
            await asyncio.to_thread(self._files.delete, records)
            raise
        self._ready.update((record.material_id, record) for record in records)

    def find(self, material_id: MaterialId, lane: int, model_hash: ModelHash, rows: int) -> MaterialRecord:
        """Material for a session, by all that must fit.

        Raises:
            MaterialUnusable: there is none of that id, or it is for something else.
        """
        record = self._ready.get(material_id)
        if record is None:
            raise MaterialUnusable("there is no material of that id: it was used or dropped, or never made")
        if (record.lane, record.model_hash, record.rows) != (lane, model_hash, rows) or not self._is_current(record):
            raise MaterialUnusable("the material of that id is for another lane, model, opening or number of rows")
        return record

    def begin(self, material_id: bytes) -> None:
        """A session has consumed this material, as the ledger knows already. Empty: it has none."""
        record = self._ready.pop(MaterialId(material_id), None)
        if record is not None:
            self._in_use[record.material_id] = record

    async def used(self, material_id: bytes) -> None:
        """The session is over, well or not: delete the file, a moment later and together with others'."""
        record = self._in_use.pop(MaterialId(material_id), None)
        if record is None:
            return
        self._used.append(record)
        if len(self._used) == 1:
            await asyncio.sleep(DELETE_AFTER_S)
            records, self._used = self._used, []
            await self._delete(records)

    async def drop(self, ids: Sequence[MaterialId]) -> None:
        """Give up material, durably. Ids of what is not ready are passed over.

        Raises:
            StoreError: it could not be noted.
        """
        found = [self._ready.pop(material_id) for material_id in ids if material_id in self._ready]
        if found:
            ids = [record.material_id for record in found]
            await asyncio.to_thread(self._ledger.drop, ids, self._clock.now_ms())
            await self._delete(found)

    async def drop_older(self, model_hash: ModelHash) -> None:
        """Give up what was made for an earlier opening of a model. Raises as `drop`."""
        records = [record for record in self.records() if record.model_hash == model_hash]
        await self.drop([record.material_id for record in records if not self._is_current(record)])

    async def _delete(self, records: list[MaterialRecord]) -> None:
        try:
            await asyncio.to_thread(self._files.delete, records)
        except StoreError as error:
            # It will not be used, whatever lies there; the next start sweeps it away.
            _LOG.error("used or dropped material could not be deleted", exception=error)

    def _is_current(self, record: MaterialRecord) -> bool:
        opening = self._opening(record.model_hash)
        return opening is not None and same_digest(record.opening_digest, opening)
