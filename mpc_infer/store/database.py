"""One SQLite file (WAL): durable at every commit unless its writer says otherwise, one writer at a time, migrated when
opened."""

import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, ClauseElement, Connection, Engine, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection

from mpc_infer.errors import StoreError

BUSY_TIMEOUT_S = 10
POOL_SIZE = 8
POOL_OVERFLOW = 56
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "trusted_schema=OFF", "secure_delete=ON")

Migrations = Sequence[Sequence[str]]
"""For each version, the statements that lead to it from the version before."""


class Database:
    """Transactions on one file. Thread-safe.

    Args:
        path: the file; made with mode 0600 if missing.
        migrations: the whole history of the schema.
        application_id: what kind of database this is; a file of another kind is refused.

    Raises:
        StoreError: not a database, of another kind, or written by a newer version.
    """

    def __init__(self, path: Path, migrations: Migrations, application_id: int) -> None:
        self._path = path
        # Writers queue here: SQLite's own queue polls with sleeps of milliseconds.
        self._writer = threading.Lock()
        self._reader = threading.Lock()
        self._engine = open_engine(path)
        try:
            with self.write() as connection:
                _migrate(connection, migrations, application_id)
        except StoreError:
            self._engine.dispose()
            raise
        self._direct: PoolProxiedConnection = self._engine.raw_connection()
        self._quick: PoolProxiedConnection = self._engine.raw_connection()
        _driver(self._quick).execute("PRAGMA synchronous=NORMAL")
        self._reading: PoolProxiedConnection = self._engine.raw_connection()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One snapshot of the database.

        Raises:
            StoreError: SQLite failed.
        """
        with _wrapped(self._path), self._engine.connect() as connection:
            yield connection.execution_options(read_only=True)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, durable when the block ends, undone when it raises.

        Raises:
            StoreError: SQLite failed.
        """
        with _wrapped(self._path), self._writer, self._engine.begin() as connection:
            yield connection

    @contextmanager
    def direct(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """As `write`, on the driver's own connection: for the calls that every job makes, with `prepared` statements.

        It takes a third of the CPU time; what is left is the commit.

        Args:
            durable: wait for the disk. If not, the transaction survives the end of this process at once, and a loss of
                power after the next durable one, or `sync`; those before it are never lost without it. One in some
                hundred waits nevertheless: it is the one that empties the log.

        Raises:
            StoreError: SQLite failed.
        """
        with self._writer:
            try:
                with _transaction(self._direct if durable else self._quick) as connection:
                    yield connection
            except sqlite3.Error as error:
                raise StoreError(f"the database {self._path} failed: {error}") from error

    def exists(self, query: str, parameters: dict[str, object]) -> bool:
        """Whether a `prepared` query finds a row, on the driver's own connection for reading; waits for no writer.

        Raises:
            StoreError: SQLite failed.
        """
        with self._reader:
            try:
                return _driver(self._reading).execute(query, parameters).fetchone() is not None
            except sqlite3.Error as error:
                raise StoreError(f"the database {self._path} failed: {error}") from error

    @property
    def busy(self) -> bool:
        """Whether a transaction is being written: another one would wait for it."""
        return self._writer.locked()

    def sync(self) -> None:
        """Wait until the disk has all that was committed: it lies in the log, or was synced when the log was emptied.

        Raises:
            StoreError: the disk failed.
        """
        try:
            descriptor = os.open(f"{self._path}-wal", os.O_RDONLY)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"the log of {self._path} cannot be opened: {error.strerror}") from error
        try:
            os.fsync(descriptor)
        except OSError as error:
            raise StoreError(f"the log of {self._path} cannot be synced: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Close all connections."""
        for connection in (self._direct, self._quick, self._reading):
            connection.close()
        self._engine.dispose()


def _driver(connection: PoolProxiedConnection) -> Any:
    return connection.driver_connection


@contextmanager
def _transaction(pooled: PoolProxiedConnection) -> Iterator[sqlite3.Connection]:
    connection = _driver(pooled)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.commit()
    finally:
        if connection.in_transaction:
            connection.rollback()


def prepared(statement: ClauseElement) -> str:
    """A statement's text for `Database.direct`; its parameters are named as in the statement."""
    return str(statement.compile(dialect=sqlite.dialect(paramstyle="named")))


def open_engine(path: Path) -> Engine:
    """A pool of connections to a file, each with our pragmas; transactions begin as SQLAlchemy says.

    Raises:
        StoreError: the file cannot be made.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreError(f"the database {path} cannot be opened: {error.strerror}") from error
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=POOL_SIZE,
        max_overflow=POOL_OVERFLOW,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, _record: Any) -> None:
    # Python's driver must not begin or commit by itself.
    connection.isolation_level = None
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # A writer takes the lock at once: a reader that wants to write later could be refused in the middle.
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def _wrapped(path: Path) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        # The driver's message and not SQLAlchemy's: the latter repeats parameters.
        cause = getattr(error, "orig", None) or type(error).__name__
        raise StoreError(f"the database {path} failed: {cause}") from error


def _migrate(connection: Connection, migrations: Migrations, application_id: int) -> None:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    kind = connection.exec_driver_sql("PRAGMA application_id").scalar_one()
    if version and kind != application_id:
        raise StoreError("the database belongs to another kind of role", remedy="name another file")
    if version > len(migrations):
        raise StoreError("the database was written by a newer version", remedy="upgrade this software")
    for statement in (statement for step in migrations[version:] for statement in step):
        connection.exec_driver_sql(statement)
    connection.exec_driver_sql(f"PRAGMA application_id = {application_id}")
    connection.exec_driver_sql(f"PRAGMA user_version = {len(migrations)}")
