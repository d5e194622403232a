"""The stock's ledger and its files, whatever happened to either of them."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mpc_infer.clock import SystemClock
from mpc_infer.encoding import to_address
from mpc_infer.errors import InvalidRequest, MaterialUnusable, StockFull
from mpc_infer.ids import JobId, MaterialId, ModelHash, SessionId
from mpc_infer.party.config import PartyLimits
from mpc_infer.party.stock import Stock
from mpc_infer.party.stock_files import StockFiles, files_key
from mpc_infer.store import Admission, MaterialRecord, PartyStore, sealed_file

KEY = bytes(range(32))
MODEL, OPENING = ModelHash(b"m" * 32), b"o" * 32
OWNER = to_address(b"\xaa" * 20)
SIZE = sealed_file.file_bytes([32])


def session(number: int) -> tuple[SessionId, list[Admission]]:
    """A session of one job, as it is admitted."""
    word = bytes([number]) * 32
    return SessionId(word[:16]), [Admission(OWNER, JobId(word), word, b"r" * 32)]


def record(number: int, lane: int = 0, opening: bytes = OPENING) -> MaterialRecord:
    return MaterialRecord(MaterialId(bytes([number]) * 16), lane, MODEL, opening, b"p" * 32, 2, SIZE)


class Place:
    """A party's database and directory of material."""

    def __init__(self, directory: Path) -> None:
        self.store = PartyStore(directory / "party.sqlite", KEY)
        self.files = StockFiles(directory / "material")

    def stock(self, **limits) -> Stock:
        openings = {MODEL: OPENING}
        stock = Stock(self.store.material, self.files, PartyLimits(**limits), SystemClock(), openings.get)
        stock.reconcile()
        return stock

    def write(self, *records: MaterialRecord) -> None:
        """What a lane does."""
        for each in records:
            path = self.files.path(each.lane, each.material_id)
            path.parent.mkdir(parents=True, exist_ok=True)
            sealed_file.write(path, files_key(KEY), b"c" * 32, [bytes(32)])
            sealed_file.finish([path])

    def names(self) -> set[str]:
        return {path.name for path in self.files.directory.glob("*/*")}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_at_start_files_and_ledger_are_brought_together(place: Place) -> None:
    kept, lost, short, older, orphan = (record(number) for number in range(1, 6))
    older = record(4, opening=b"O" * 32)
    place.write(kept, short, older, orphan)
    place.store.material.add([kept, lost, short, older], 5)
    os.truncate(place.files.path(0, short.material_id), 10)
    (place.files.directory / "0" / "half.unfinished").write_bytes(b"half")
    stock = place.stock()
    assert stock.records() == [kept] == place.store.material.ready()
    assert place.names() == {kept.material_id.hex()}
    assert place.store.material.counts(0)[0].dropped == 3
    for gone in (lost, short, older, orphan):
        with pytest.raises(MaterialUnusable):
            stock.find(gone.material_id, 0, MODEL, 2)


def test_a_kill_between_consumption_and_use_burns_the_material(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "from tests.unit.party.test_stock_ledger import Place, record, session\n"
        "place = Place(pathlib.Path(sys.argv[1]))\n"
        "place.write(record(1), record(2))\n"
        "place.store.material.add([record(1), record(2)], 5)\n"
        "assert place.stock().find(record(1).material_id, 0, record(1).model_hash, 2)\n"
        "place.store.admit(*session(1), record(1).material_id, 6)\n"
        "os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], timeout=120, check=False, env=environment)
    assert done.returncode == -9
    place = Place(tmp_path)
    assert place.names() == {bytes([number] * 16).hex() for number in (1, 2)}
    stock = place.stock()
    assert stock.records() == [record(2)]
    assert place.names() == {record(2).material_id.hex()}
    with pytest.raises(MaterialUnusable):
        place.store.admit(*session(2), record(1).material_id, 7)
    assert place.store.admit(*session(2), record(2).material_id, 7) == [None]


async def test_of_two_jobs_for_one_batch_the_second_spends_nothing(place: Place) -> None:
    place.store.material.add([record(1)], 5)
    assert place.store.admit(*session(1), record(1).material_id, 6) == [None]
    with pytest.raises(MaterialUnusable):
        place.store.admit(*session(2), record(1).material_id, 7)
    assert place.store.admit(*session(2)) == [None]


async def test_what_is_in_use_is_not_ready_and_its_file_goes_afterwards(place: Place) -> None:
    stock = place.stock()
    place.write(record(1))
    await stock.add([record(1)])
    stock.begin(record(1).material_id)
    assert stock.records() == []
    assert place.names()
    await stock.used(record(1).material_id)
    assert not place.names()


@pytest.mark.parametrize(
    "wanted", [(1, MODEL, 2), (0, ModelHash(b"n" * 32), 2), (0, MODEL, 3)], ids=["lane", "model", "rows"]
)
async def test_material_is_for_one_purpose(place: Place, wanted: tuple) -> None:
    stock = place.stock()
    await stock.add([record(1)])
    assert stock.find(record(1).material_id, 0, MODEL, 2) == record(1)
    with pytest.raises(MaterialUnusable, match="for another"):
        stock.find(record(1).material_id, *wanted)


async def test_limits_of_batches_are_per_lane_and_of_bytes_for_all(place: Place) -> None:
    stock = place.stock(max_material=2, max_material_bytes=3 * SIZE)
    await stock.add([record(1), record(2)])
    with pytest.raises(StockFull):
        await stock.check_new(0, [record(3).material_id])
    await stock.check_new(1, [record(3).material_id])
    two = [record(3, lane=1), record(4, lane=1)]
    place.write(*two)
    with pytest.raises(StockFull):
        await stock.add(two)
    assert not place.names() & {each.material_id.hex() for each in two}
    await stock.add(two[:1])
    with pytest.raises(StockFull):
        await stock.check_new(2, [record(5).material_id])
    await stock.drop([record(1).material_id])
    await stock.check_new(2, [record(5).material_id])
    with pytest.raises(InvalidRequest):
        await stock.check_new(0, [record(1).material_id])


async def test_many_at_once_spend_each_batch_once(place: Place) -> None:
    ids = [record(number).material_id for number in range(8)]
    place.store.material.add([record(number) for number in range(8)], 5)

    def admit(number: int) -> bool:
        try:
            return place.store.admit(*session(number), ids[number % 8], 6) == [None]
        except MaterialUnusable:
            return False

    assert sum(await asyncio.gather(*(asyncio.to_thread(admit, number) for number in range(32)))) == 8
