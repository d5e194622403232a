"""The ledger of a party's material: what is ready, and that what was used or given up never is again."""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from sqlalchemy import bindparam, select, text, update
from sqlalchemy.dialects.sqlite import insert

from mpc_infer.errors import InvalidRequest, MaterialUnusable, StoreError
from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.store.database import Database, prepared
from mpc_infer.store.tables import PARTY_APPLICATION_ID, party_material


class MaterialState(IntEnum):
    """READY → CONSUMED (a session was begun with it) or DROPPED (given up). The table refuses every other change."""

    READY = 1
    CONSUMED = 2
    DROPPED = 3


@dataclass(frozen=True)
class MaterialRecord:
    """One batch of material.

    Attributes:
        material_id: 16 bytes.
        lane: where it was made and can be used.
        model_hash: what it is for.
        opening_digest: what the model's weights were opened to; empty with an engine that opens no models.
        plan_digest: 32 bytes.
        rows: of the session that it is for.
        bytes: of its file.
    """

    material_id: MaterialId
    lane: int
    model_hash: ModelHash
    opening_digest: bytes
    plan_digest: bytes
    rows: int
    bytes: int


@dataclass(frozen=True)
class MaterialCount:
    """What there is and was of one model for sessions of so many rows.

    Attributes:
        ready, ready_bytes: batches, and bytes of their files.
        oldest_ms: when the oldest of them was made, in Unix milliseconds; None: there is none.
        consumed, dropped: batches, ever.
        consumed_since: of these, since the time that was asked for.
    """

    model_hash: ModelHash
    rows: int
    ready: int
    ready_bytes: int
    oldest_ms: int | None
    consumed: int
    consumed_since: int
    dropped: int


_COLUMNS = tuple(party_material.c[name] for name in MaterialRecord.__dataclass_fields__)
_READY = select(*_COLUMNS).where(party_material.c.state == MaterialState.READY.value).order_by(party_material.c.number)
_ADD = prepared(insert(party_material).on_conflict_do_nothing())
_END = prepared(
    update(party_material)
    .where(party_material.c.material_id == bindparam("its_id"), party_material.c.state == bindparam("was"))
    .values(state=bindparam("now"), ended_ms=bindparam("ended_ms"))
)
_KNOWN = select(party_material.c.material_id).where(party_material.c.material_id.in_(bindparam("ids", expanding=True)))
_COUNTS = """
    SELECT model_hash, rows, count(*) FILTER (WHERE state = 1), coalesce(sum(bytes) FILTER (WHERE state = 1), 0),
        min(made_ms) FILTER (WHERE state = 1), count(*) FILTER (WHERE state = 2),
        count(*) FILTER (WHERE state = 2 AND ended_ms >= :since_ms), count(*) FILTER (WHERE state = 3)
    FROM material GROUP BY model_hash, rows ORDER BY model_hash, rows
"""


class MaterialLedger:
    """Every batch of material that a party ever made. Thread-safe; every call is one short transaction.

    Args:
        database: the party's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, records: Sequence[MaterialRecord], now_ms: int) -> None:
        """Material is ready.

        Raises:
            InvalidRequest: an id was used before; nothing was added.
        """
        with self._database.direct() as connection:
            for record in records:
                state = {"number": None, "state": MaterialState.READY.value, "made_ms": now_ms, "ended_ms": None}
                if connection.execute(_ADD, {**vars(record), **state}).rowcount != 1:
                    raise InvalidRequest("there was material of this id before", remedy="choose a fresh id")

    def known(self, ids: Sequence[MaterialId]) -> bool:
        """Whether there is or was material of one of these ids."""
        with self._database.read() as connection:
            return connection.execute(_KNOWN, {"ids": list(ids)}).first() is not None

    def ready(self) -> list[MaterialRecord]:
        """What may still be used, oldest first."""
        with self._database.read() as connection:
            return [MaterialRecord(*row) for row in connection.execute(_READY)]

    def consume(self, material_id: MaterialId, now_ms: int) -> None:
        """As the function `consume`, in a transaction of its own."""
        with self._database.direct() as connection:
            consume(connection, material_id, now_ms)

    def drop(self, ids: Iterable[MaterialId], now_ms: int) -> None:
        """Give up material. Ids of what is not ready are passed over."""
        with self._database.direct() as connection:
            for material_id in ids:
                _end(connection, material_id, MaterialState.DROPPED, now_ms)

    def counts(self, since_ms: int) -> list[MaterialCount]:
        """What there is and was, by model and rows."""
        with self._database.read() as connection:
            return [MaterialCount(*row) for row in connection.execute(text(_COUNTS), {"since_ms": since_ms})]


def consume(connection: sqlite3.Connection, material_id: MaterialId, now_ms: int) -> None:
    """Mark material as used, within a transaction of `Database.direct` that must be durable before its first use.

    Raises:
        MaterialUnusable: it was used or given up before, or never made. The transaction must be undone.
    """
    if not _end(connection, material_id, MaterialState.CONSUMED, now_ms):
        raise MaterialUnusable("the material was used or dropped before, or never made")


def _end(connection: sqlite3.Connection, material_id: MaterialId, state: MaterialState, now_ms: int) -> bool:
    row = {"its_id": material_id, "was": MaterialState.READY.value, "now": state.value, "ended_ms": now_ms}
    return connection.execute(_END, row).rowcount == 1


def look(path: Path, since_ms: int) -> tuple[list[MaterialCount], dict[ModelHash, bytes]]:
    """The counts in a party's database and its models' manifests, beside whoever writes it or while nobody does.

    Raises:
        StoreError: there is no such database, or it is another role's or of another version.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            if connection.execute("PRAGMA application_id").fetchone()[0] != PARTY_APPLICATION_ID:
                raise StoreError(f"{path} is not a party's database")
            counts = [MaterialCount(*row) for row in connection.execute(_COUNTS, {"since_ms": since_ms})]
            manifests = dict(connection.execute("SELECT model_hash, manifest FROM models"))
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise StoreError(f"the database {path} cannot be read: {error}", remedy="start the party once") from error
    return counts, manifests
