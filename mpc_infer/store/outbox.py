"""Receipts on their way to the chain: collected in batches, signed by the parties, anchored. Survives a crash anywhere.

A receipt is put in one batch, once; a batch is kept until its root is on the chain.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, Row, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from mpc_infer.errors import NotFound, StoreError
from mpc_infer.ids import PartySetId
from mpc_infer.store.database import Database
from mpc_infer.store.records import BatchRecord, BatchState, JobState, ReceiptRecord
from mpc_infer.store.tables import batches, jobs, receipts

MAX_BATCH = 65_536

_UNBATCHED = (
    select(receipts).where(receipts.c.batch_root.is_(None)).order_by(receipts.c.number).limit(bindparam("limit"))
)
_COUNT = select(func.count()).select_from(receipts).where(receipts.c.batch_root.is_(None))
_ASSIGN = (
    update(receipts)
    .where(receipts.c.digest == bindparam("its_digest"))
    .where(receipts.c.batch_root.is_(None), receipts.c.party_set == bindparam("its_party_set"))
    .values(batch_root=bindparam("root"), batch_index=bindparam("index"))
)
_BATCH = select(batches).where(batches.c.root == bindparam("root"))
_OPEN = select(batches).where(batches.c.state < BatchState.ANCHORED).order_by(batches.c.number)
_MEMBERS = select(receipts.c.digest).where(receipts.c.batch_root == bindparam("root")).order_by(receipts.c.batch_index)
_SIGNED_RECEIPTS = (
    select(receipts.c.signed).where(receipts.c.batch_root == bindparam("root")).order_by(receipts.c.batch_index)
)
_SIGNED = (
    update(batches)
    .where(batches.c.root == bindparam("its_root"), batches.c.state < BatchState.ANCHORED)
    .values(state=BatchState.SIGNED, signatures=bindparam("signatures"))
)
_ANCHORED = (
    update(batches)
    .where(batches.c.root == bindparam("its_root"), batches.c.state == BatchState.SIGNED)
    .values(
        state=BatchState.ANCHORED,
        transaction_hash=bindparam("transaction"),
        block=bindparam("block"),
        gas_used=bindparam("gas_used"),
    )
)
_RECENT = (
    select(batches)
    .where(batches.c.state == BatchState.ANCHORED)
    .order_by(batches.c.number.desc())
    .limit(bindparam("limit"))
)
_REOPENED = (
    update(batches)
    .where(batches.c.root == bindparam("its_root"), batches.c.state == BatchState.ANCHORED)
    .values(state=BatchState.SIGNED, transaction_hash=None, block=None, gas_used=None)
)
_RELEASED = (
    update(receipts).where(receipts.c.batch_root == bindparam("its_root")).values(batch_root=None, batch_index=None)
)
_DISSOLVED = delete(batches).where(batches.c.root == bindparam("its_root"), batches.c.state < BatchState.ANCHORED)
_JOBS_ANCHORED = (
    update(jobs)
    .where(jobs.c.job_id.in_(select(receipts.c.job_id).where(receipts.c.batch_root == bindparam("its_root"))))
    .where(jobs.c.state == JobState.DONE)
    .values(state=JobState.ANCHORED, updated_ms=bindparam("now_ms"))
)


class Outbox:
    """The part of the coordinator's store that concerns batches. Every call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unbatched_receipts(self, limit: int) -> list[ReceiptRecord]:
        """Receipts that are in no batch yet, oldest first."""
        with self._database.read() as connection:
            return [read_receipt(row) for row in connection.execute(_UNBATCHED, {"limit": limit})]

    def unbatched_count(self) -> int:
        """How many receipts are in no batch yet."""
        with self._database.read() as connection:
            return connection.execute(_COUNT).scalar_one()

    def create_batch(self, root: bytes, party_set: PartySetId, digests: Sequence[bytes], now_ms: int) -> None:
        """Put receipts in a new PENDING batch, in this order.

        Raises:
            StoreError: too many, a receipt is unknown, doubled, of another party set, or in a batch already; or the
                root exists. Nothing is written then.
        """
        row = {"root": root, "party_set": party_set, "state": BatchState.PENDING, "created_ms": now_ms}
        with self._database.write() as connection:
            _fill(connection, row, digests)

    def signed_receipts(self, root: bytes) -> list[bytes]:
        """The serialised receipts of a batch, in its order, with their signatures."""
        with self._database.read() as connection:
            return list(connection.execute(_SIGNED_RECEIPTS, {"root": root}).scalars())

    def set_aside(self, batch: BatchRecord, disowned: Sequence[bytes], disowned_root: bytes, now_ms: int) -> None:
        """Take a batch apart that a party will not sign: what it disowns is never batched again, the rest is anew.

        Args:
            batch: PENDING or SIGNED, and not on the chain.
            disowned: digests of those of its receipts that a party says it did not sign.
            disowned_root: their Merkle root, under which they are kept.
            now_ms: unix time.

        Raises:
            StoreError: the batch is unknown or ANCHORED, or a receipt is not in it. Nothing is written then.
        """
        state = BatchState.DISOWNED
        row = {"root": disowned_root, "party_set": batch.party_set, "state": state, "created_ms": now_ms}
        with self._database.write() as connection:
            connection.execute(_RELEASED, {"its_root": batch.root})
            _expect_one(connection.execute(_DISSOLVED, {"its_root": batch.root}).rowcount, "taken apart")
            _fill(connection, row, disowned)

    def recent_anchored(self, limit: int) -> list[BatchRecord]:
        """Batches that are ANCHORED, the youngest first."""
        with self._database.read() as connection:
            return [_read_batch(connection, row) for row in connection.execute(_RECENT, {"limit": limit}).all()]

    def reopen_batch(self, root: bytes) -> None:
        """ANCHORED → SIGNED: the chain no longer has it. Its jobs stay ANCHORED, which is true again soon.

        Raises:
            StoreError: the batch is unknown or not ANCHORED.
        """
        with self._database.write() as connection:
            _expect_one(connection.execute(_REOPENED, {"its_root": root}).rowcount, "opened again")

    def batch(self, root: bytes) -> BatchRecord:
        """A batch with its receipts' digests in order.

        Raises:
            NotFound: there is none with this root.
        """
        with self._database.read() as connection:
            row = connection.execute(_BATCH, {"root": root}).one_or_none()
            if row is None:
                raise NotFound("there is no batch with that root")
            return _read_batch(connection, row)

    def open_batches(self) -> list[BatchRecord]:
        """Batches that are PENDING or SIGNED, oldest first."""
        with self._database.read() as connection:
            return [_read_batch(connection, row) for row in connection.execute(_OPEN).all()]

    def sign_batch(self, root: bytes, signatures: bytes) -> None:
        """PENDING → SIGNED, or other signatures in SIGNED (a key was rotated meanwhile).

        Raises:
            StoreError: the batch is unknown or ANCHORED.
        """
        with self._database.write() as connection:
            _expect_one(connection.execute(_SIGNED, {"its_root": root, "signatures": signatures}).rowcount, "signed")

    def anchor_batch(self, root: bytes, transaction: bytes, block: int, gas_used: int, now_ms: int) -> None:
        """SIGNED → ANCHORED, and its jobs DONE → ANCHORED, in one step.

        Raises:
            StoreError: the batch is unknown or not SIGNED.
        """
        values = {"its_root": root, "transaction": transaction, "block": block, "gas_used": gas_used}
        with self._database.write() as connection:
            _expect_one(connection.execute(_ANCHORED, values).rowcount, "anchored")
            connection.execute(_JOBS_ANCHORED, {"its_root": root, "now_ms": now_ms})


def read_receipt(row: Row[tuple[object, ...]]) -> ReceiptRecord:
    """A row of the table of receipts."""
    fields = dict(row._mapping)
    fields.pop("number")
    return ReceiptRecord(**fields)


def _read_batch(connection: Connection, row: Row[tuple[object, ...]]) -> BatchRecord:
    fields = dict(row._mapping)
    fields.pop("number")
    fields["transaction"] = fields.pop("transaction_hash")
    fields["digests"] = tuple(connection.execute(_MEMBERS, {"root": fields["root"]}).scalars())
    return BatchRecord(**{**fields, "state": BatchState(fields["state"])})


def _fill(connection: Connection, row: dict[str, object], digests: Sequence[bytes]) -> None:
    if not 0 < len(digests) <= MAX_BATCH:
        raise StoreError(f"a batch has 1 to {MAX_BATCH} receipts, not {len(digests)}")
    members = [
        {"its_digest": digest, "its_party_set": row["party_set"], "root": row["root"], "index": index}
        for index, digest in enumerate(digests)
    ]
    connection.execute(insert(batches), row)
    if connection.execute(_ASSIGN, members).rowcount != len(members):
        raise StoreError("a receipt of the batch is unknown, of another party set, or in a batch already")


def _expect_one(changed: int, what: str) -> None:
    if changed != 1:
        raise StoreError(f"there is no batch with that root that could be {what}")
