"""The ledger of material: used once, whoever asks and whatever crashes."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mpc_infer.errors import InvalidRequest, MaterialUnusable, StoreError
from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.store import CoordinatorStore, PartyStore, StoredModel
from mpc_infer.store.material import MaterialCount, MaterialRecord, look
from tests.unit.store.conftest import KEY

MODEL, OTHER_MODEL = ModelHash(b"m" * 32), ModelHash(b"n" * 32)


def record(number: int, model: ModelHash = MODEL, rows: int = 4) -> MaterialRecord:
    return MaterialRecord(MaterialId(bytes([number]) * 16), 0, model, b"o" * 32, b"p" * 32, rows, 100 + number)


FIRST, SECOND, THIRD = (record(number) for number in (1, 2, 3))


def test_what_was_made_is_ready_in_its_order_and_stays_so(path: Path, party: PartyStore) -> None:
    party.material.add([SECOND, FIRST], 5)
    party.material.add([THIRD], 5)
    party.close()
    again = PartyStore(path, KEY)
    assert again.material.ready() == [SECOND, FIRST, THIRD]
    assert again.material.known([THIRD.material_id])
    assert not again.material.known([MaterialId(b"x" * 16)])


def test_material_is_consumed_once(path: Path, party: PartyStore) -> None:
    party.material.add([FIRST, SECOND], 5)
    party.material.consume(FIRST.material_id, 6)
    for store in (party, PartyStore(path, KEY)):
        with pytest.raises(MaterialUnusable, match="used or dropped before"):
            store.material.consume(FIRST.material_id, 7)
        assert store.material.ready() == [SECOND]
    with pytest.raises(MaterialUnusable):
        party.material.consume(MaterialId(b"never made......"), 7)


def test_of_many_who_want_it_one_gets_it(party: PartyStore) -> None:
    party.material.add([FIRST], 5)

    def wins(_: int) -> bool:
        try:
            party.material.consume(FIRST.material_id, 6)
        except MaterialUnusable:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(wins, range(32))) == 1


def test_dropped_material_is_gone_and_used_material_stays_used(party: PartyStore) -> None:
    party.material.add([FIRST, SECOND], 5)
    party.material.consume(SECOND.material_id, 6)
    party.material.drop([FIRST.material_id, SECOND.material_id, MaterialId(b"unknown.........")], 7)
    with pytest.raises(MaterialUnusable):
        party.material.consume(FIRST.material_id, 8)
    assert party.material.counts(0) == [MaterialCount(MODEL, 4, 0, 0, None, 1, 1, 1)]


def test_an_id_is_never_used_again(party: PartyStore) -> None:
    party.material.add([FIRST, SECOND], 5)
    party.material.consume(FIRST.material_id, 6)
    for known in (FIRST, SECOND):
        with pytest.raises(InvalidRequest):
            party.material.add([THIRD, known], 7)
    assert party.material.ready() == [SECOND]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE material SET state = 1",
        "UPDATE OR IGNORE material SET state = 1, ended_ms = NULL WHERE state = 2",
        "DELETE FROM material",
        f"UPDATE material SET material_id = x'{bytes([9] * 16).hex()}'",
        "REPLACE INTO material (material_id, lane, model_hash, opening_digest, plan_digest, rows, bytes, state,"
        f" made_ms) VALUES (x'{bytes([1] * 16).hex()}', 0, x'00', x'00', x'00', 1, 1, 1, 1)",
    ],
)
def test_the_table_itself_refuses(path: Path, party: PartyStore, statement: str) -> None:
    party.material.add([FIRST], 5)
    party.material.consume(FIRST.material_id, 6)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA recursive_triggers = ON")
    with pytest.raises(sqlite3.IntegrityError), connection:
        connection.execute(statement)
    connection.close()
    assert party.material.ready() == []


def test_consumption_survives_a_kill_before_the_use(path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from mpc_infer.store import PartyStore\n"
        "from tests.unit.store.test_material import FIRST, SECOND\n"
        "store = PartyStore(pathlib.Path(sys.argv[1]), bytes(range(32)))\n"
        "store.material.add([FIRST, SECOND], 5)\n"
        "store.material.consume(FIRST.material_id, 6)\n"
        "os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=False, env=environment)
    assert done.returncode == -9
    store = PartyStore(path, KEY)
    assert store.material.ready() == [SECOND]
    with pytest.raises(MaterialUnusable):
        store.material.consume(FIRST.material_id, 7)


def test_counts_by_model_and_rows(path: Path, party: PartyStore) -> None:
    others = [record(4, OTHER_MODEL), record(5, MODEL, rows=8)]
    party.material.add([FIRST, SECOND], 5)
    party.material.add([THIRD, *others], 10)
    for each, now_ms in ((FIRST, 20), (THIRD, 30)):
        party.material.consume(each.material_id, now_ms)
    expected = [
        MaterialCount(MODEL, 4, 1, 102, 5, 2, 1, 0),
        MaterialCount(MODEL, 8, 1, 105, 10, 0, 0, 0),
        MaterialCount(OTHER_MODEL, 4, 1, 104, 10, 0, 0, 0),
    ]
    assert party.material.counts(30) == expected
    party.put_model(StoredModel(MODEL, b"manifest", b"graph", b"share"))
    assert look(path, 30) == (expected, {MODEL: b"manifest"})
    party.close()
    assert look(path, 30)[0] == expected


def test_looking_changes_nothing_and_needs_a_party(path: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        look(path, 0)
    assert not path.exists()
    CoordinatorStore(path, KEY).close()
    with pytest.raises(StoreError, match="not a party's"):
        look(path, 0)
