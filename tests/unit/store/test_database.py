"""The file: durability settings, mode, kinds, versions, and what an error says."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import MetaData

from mpc_infer.errors import StoreError
from mpc_infer.store import CoordinatorStore, LateSync, PartyStore
from mpc_infer.store.cipher import Cipher
from mpc_infer.store.database import Database, open_engine
from mpc_infer.store.tables import COORDINATOR_MIGRATIONS, PARTY_MIGRATIONS, coordinator, party
from tests.unit.store.conftest import KEY

ITEMS = (("CREATE TABLE a (x INTEGER) STRICT",),)


def pragma(path: Path, name: str) -> object:
    database = Database(path, PARTY_MIGRATIONS, 7)
    try:
        with database.read() as connection:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
    finally:
        database.close()


def test_every_commit_is_durable(path: Path) -> None:
    assert pragma(path, "journal_mode") == "wal"
    assert pragma(path, "synchronous") == 2
    assert pragma(path, "foreign_keys") == 1


def test_only_the_owner_may_read_the_file(path: Path, party: PartyStore) -> None:
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


@pytest.mark.parametrize(("migrations", "tables"), [(PARTY_MIGRATIONS, party), (COORDINATOR_MIGRATIONS, coordinator)])
def test_migrations_lead_to_the_tables(path: Path, migrations: tuple[tuple[str, ...], ...], tables: MetaData) -> None:
    Database(path, migrations, 7).close()
    found = MetaData()
    engine = open_engine(path)
    found.reflect(engine)
    engine.dispose()
    assert found.tables.keys() == tables.tables.keys()
    for name, table in tables.tables.items():
        assert [column.name for column in found.tables[name].columns] == [column.name for column in table.columns]
        for column in table.columns:
            assert found.tables[name].c[column.name].nullable == column.nullable, f"{name}.{column.name}"


def test_later_migrations_run_once_and_keep_the_data(path: Path) -> None:
    first = (("CREATE TABLE a (x INTEGER) STRICT", "INSERT INTO a VALUES (1)"),)
    Database(path, first, 7).close()
    for _ in range(2):
        database = Database(path, (*first, ("ALTER TABLE a ADD COLUMN y INTEGER DEFAULT 5",)), 7)
        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT x, y FROM a").all() == [(1, 5)]
        database.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(path: Path) -> None:
    Database(path, (("CREATE TABLE a (x INTEGER) STRICT",),), 7).close()
    broken = (("CREATE TABLE a (x INTEGER) STRICT",), ("CREATE TABLE b (x INTEGER) STRICT", "no SQL"))
    with pytest.raises(StoreError):
        Database(path, broken, 7)
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("a",)]
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


def test_a_file_of_a_newer_version(path: Path, party: PartyStore) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="newer version"):
        PartyStore(path, KEY)


def test_a_file_of_another_role(path: Path, party: PartyStore) -> None:
    with pytest.raises(StoreError, match="another kind of role"):
        CoordinatorStore(path, KEY)


def test_a_file_that_is_no_database(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 100)
    with pytest.raises(StoreError, match="not a database"):
        PartyStore(path, KEY)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        PartyStore(tmp_path / "nowhere" / "role.db", KEY)


def test_a_transaction_that_raises_is_undone(path: Path) -> None:
    database = Database(path, (("CREATE TABLE a (x INTEGER) STRICT",),), 7)

    def write_and_fail() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO a VALUES (1)")
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM a").scalar_one() == 0
    database.close()


def test_an_error_does_not_repeat_values(path: Path) -> None:
    database = Database(path, (("CREATE TABLE a (x TEXT PRIMARY KEY) STRICT",),), 7)

    def insert() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO a VALUES (?)", ("a secret",))

    insert()
    with pytest.raises(StoreError) as caught:
        insert()
    assert "UNIQUE" in str(caught.value)
    assert "secret" not in str(caught.value)
    database.close()


def test_cipher_binds_place_and_key() -> None:
    cipher = Cipher(KEY)
    data = cipher.encrypt(b"secret", "t.c", b"row")
    assert cipher.decrypt(data, "t.c", b"row") == b"secret"
    assert cipher.encrypt(b"secret", "t.c", b"row") != data
    for other, column, row in [(cipher, "t.d", b"row"), (cipher, "t.c", b"wor"), (Cipher(bytes(32)), "t.c", b"row")]:
        with pytest.raises(StoreError, match=r"t\.[cd] cannot be decrypted"):
            other.decrypt(data, column, row)


@pytest.mark.parametrize("change", [b"", b"x", b"x" * 11, b"x" * 40])
def test_cipher_refuses_changed_bytes(change: bytes) -> None:
    with pytest.raises(StoreError):
        Cipher(KEY).decrypt(change, "t.c", b"row")


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_key_of_another_length(length: int) -> None:
    with pytest.raises(StoreError, match="32 bytes"):
        Cipher(bytes(length))


def test_a_cipher_does_not_show_its_key() -> None:
    assert KEY.hex() not in repr(Cipher(KEY))
    assert str(KEY) not in repr(Cipher(KEY))


def test_what_does_not_wait_for_the_disk_survives_the_process(path: Path) -> None:
    Database(path, ITEMS, 7).close()
    script = (
        "import os, sys; from pathlib import Path; from mpc_infer.store.database import Database\n"
        f"database = Database(Path(sys.argv[1]), {ITEMS!r}, 7)\n"
        "with database.direct(durable=False) as connection:\n"
        "    connection.execute('INSERT INTO a VALUES (1)')\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", script, str(path)], check=False, timeout=60).returncode == -9
    database = Database(path, ITEMS, 7)
    assert database.exists("SELECT 1 FROM a WHERE x = :x", {"x": 1})
    database.close()


def test_only_transactions_that_say_so_do_not_wait_for_the_disk(path: Path) -> None:
    database = Database(path, ITEMS, 7)
    for durable, level in ((True, 2), (False, 1), (True, 2)):
        with database.direct(durable=durable) as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (level,)
    database.close()


async def test_a_late_sync_follows_every_commit_and_many_share_one(path: Path) -> None:
    database, syncs = Database(path, ITEMS, 7), []

    async def sync() -> None:
        await asyncio.to_thread(database.sync)
        syncs.append(database.exists("SELECT 1 FROM a WHERE x = :x", {"x": 9}))

    late = LateSync(sync)
    for number in range(10):
        with database.direct(durable=False) as connection:
            connection.execute("INSERT INTO a VALUES (?)", (number,))
        late.soon()
    await late.close()
    assert syncs == [True]
    late.soon()
    await late.close()
    assert len(syncs) == 2
    database.close()
