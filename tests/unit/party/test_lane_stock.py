"""A lane's stock by itself: what stays in memory, and what is left when making material fails."""

import secrets
from pathlib import Path

import pytest

from mpc_infer.errors import MaterialUnusable, PeerFailed, StockFull
from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.party.lane.models import LoadedModel
from mpc_infer.party.lane.stock import LaneStock, StockPlace
from mpc_infer.party.stock_files import StockFiles
from mpc_infer.preprocessing import Batch, Plan, Square, corrections_length
from tests.unit.party.conftest import imported

MODEL = ModelHash(b"m" * 32)
LOADED = LoadedModel(imported().graph, {}, {})


class NothingAhead:
    """Like the crypten engine: nothing can be done before the input exists."""

    name = "none"

    def prepare(self, graph, model, material, rank):
        pass


def plan_of(rows: int) -> Plan:
    return Plan("none", bytes(32), rows, 2, 16, 0, 0, (Square((100,)),))


def batches(plan: Plan, ids) -> list[Batch]:
    return [Batch(each, secrets.token_bytes(32), bytearray(corrections_length(plan, 1))) for each in ids]


class Lane:
    def __init__(self, directory: Path, **bounds) -> None:
        self.files, self.ready = StockFiles(directory), []
        place = StockPlace(0, 1, self.files, bytes(32), **{"batches": 9, "bytes": 1 << 20, **bounds})
        self.stock = LaneStock(place, NothingAhead(), self.ready.append)

    def make(self, rows: int, count: int) -> list[MaterialId]:
        plan, ids = plan_of(rows), [MaterialId(secrets.token_bytes(16)) for _ in range(count)]
        with self.stock.receiving(MODEL, LOADED, plan, ids) as keep:
            keep(batches(plan, ids))
        return ids

    def work(self) -> None:
        while self.stock.work_ahead():
            pass

    def names(self) -> list[str]:
        return sorted(path.name for path in self.files.directory.glob("*/*"))


@pytest.mark.parametrize("bounds", [{"batches": 2}, {"bytes": 2 * plan_of(1).material_bytes}])
def test_every_shape_has_its_oldest_in_memory_and_the_bounds_hold(tmp_path, bounds):
    first = Lane(tmp_path)
    ones, twos = first.make(1, 3), first.make(2, 3)
    again = Lane(tmp_path, **bounds)
    again.stock.adopt(MODEL, LOADED, plan_of, [*((each, 1) for each in ones), *((each, 2) for each in twos)])
    again.work()
    assert again.ready == [ones[0], twos[0]]
    again.stock.take(ones[0], MODEL, LOADED, plan_of(1))
    again.work()
    assert again.ready == [ones[0], twos[0], ones[1]]


def test_one_batch_stays_in_memory_however_large(tmp_path):
    lane = Lane(tmp_path, bytes=1)
    ids = lane.make(1, 2)
    lane.work()
    assert lane.ready == ids[:1]
    lane.stock.claim(ids[1], MODEL, LOADED, plan_of(1))
    assert lane.ready == ids


def test_what_fails_leaves_nothing(tmp_path):
    lane, plan = Lane(tmp_path), plan_of(1)
    ids = [MaterialId(secrets.token_bytes(16)) for _ in range(2)]

    def fail(given: int) -> None:
        with lane.stock.receiving(MODEL, LOADED, plan, ids) as keep:
            keep(batches(plan, ids[:given]))
            raise PeerFailed("the other party went away after this one had written", party=0)

    for given in (1, 2):
        with pytest.raises(PeerFailed):
            fail(given)
    assert lane.names() == []
    with pytest.raises(MaterialUnusable):
        lane.stock.take(ids[0], MODEL, LOADED, plan)


def test_a_batch_is_taken_once_even_while_its_file_is_there(tmp_path):
    lane, plan = Lane(tmp_path), plan_of(1)
    (material_id,) = lane.make(1, 1)
    assert lane.stock.take(material_id, MODEL, LOADED, plan).material_id == material_id
    assert lane.names() == [material_id.hex()]
    for _ in range(2):
        with pytest.raises(MaterialUnusable, match="used before"):
            lane.stock.take(material_id, MODEL, LOADED, plan)


def test_material_for_other_rows_or_of_a_forgotten_model(tmp_path):
    lane = Lane(tmp_path)
    (one,), (other,) = lane.make(1, 1), lane.make(1, 1)
    with pytest.raises(MaterialUnusable):
        lane.stock.take(one, MODEL, LOADED, plan_of(2))
    lane.stock.forget_model(MODEL)
    # It is on the disk still, and comes back with its model.
    lane.stock.adopt(MODEL, LOADED, plan_of, [(other, 1)])
    assert lane.stock.take(other, MODEL, LOADED, plan_of(1)).material_id == other


def test_more_bytes_than_there_is_room_for_are_refused_before_they_are_made(tmp_path):
    lane, plan = Lane(tmp_path), plan_of(1)
    size = lane.stock.file_bytes(plan)
    lane.stock.check_room(plan, 2, 2 * size)
    with pytest.raises(StockFull):
        lane.stock.check_room(plan, 2, 2 * size - 1)
    lane.make(1, 1)
    assert [path.stat().st_size for path in lane.files.directory.glob("*/*")] == [size]


def test_nothing_secret_in_its_text(tmp_path):
    place = StockPlace(0, 1, StockFiles(tmp_path), b"secret key", 1, 1)
    assert repr(place) == "StockPlace(lane 0)"
