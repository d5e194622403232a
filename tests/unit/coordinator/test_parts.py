"""Small parts: states, faults, stock, head, board, configuration."""

import asyncio
from pathlib import Path

import pytest

from mpc_infer.coordinator.board import MAX_WATCHERS, Board
from mpc_infer.coordinator.config import CoordinatorConfig
from mpc_infer.coordinator.faults import fault
from mpc_infer.coordinator.material import NO_MATERIAL, Marks, Pace, Shape, Stock
from mpc_infer.coordinator.state import MOVES, TERMINAL, move
from mpc_infer.errors import (
    ConfigError,
    DeadlineExpired,
    InternalError,
    ModelInactive,
    MpcInferError,
    PeerFailed,
    PeerTimeout,
    SealingFailed,
    SessionAborted,
    Unavailable,
)
from mpc_infer.ids import JobId, MaterialId, ModelHash
from mpc_infer.store import JobState


def test_every_state_has_its_moves_and_no_other_is_made() -> None:
    assert set(MOVES) == set(JobState)
    assert frozenset({JobState.ANCHORED, JobState.FAILED}) == TERMINAL
    for current in JobState:
        for following in JobState:
            if following in MOVES[current]:
                assert move(current, following) is following
            else:
                with pytest.raises(InternalError):
                    move(current, following)


@pytest.mark.parametrize(
    ("errors", "silent", "kind", "party"),
    [
        ({0: PeerTimeout("", party=2), 1: PeerTimeout("", party=2)}, {2}, PeerTimeout, 2),
        ({0: PeerFailed("", party=1), 1: Unavailable(""), 2: PeerFailed("", party=1)}, set(), PeerFailed, 1),
        ({0: Unavailable(""), 1: PeerFailed("", party=2)}, set(), PeerFailed, 0),
        ({0: PeerFailed("", party=1), 1: SessionAborted(""), 2: PeerFailed("", party=1)}, set(), PeerFailed, 1),
        ({0: PeerFailed("", party=1), 1: SealingFailed("")}, set(), SealingFailed, 1),
        ({0: ModelInactive(""), 1: ModelInactive("")}, set(), ModelInactive, None),
        ({0: SessionAborted(""), 1: SessionAborted("")}, set(), SessionAborted, None),
        ({}, {1}, PeerTimeout, 1),
        ({}, set(), DeadlineExpired, None),
    ],
)
def test_the_party_at_fault(
    errors: dict[int, MpcInferError], silent: set[int], kind: type[MpcInferError], party: int | None
) -> None:
    found = fault(errors, silent)
    assert (type(found), found.party) == (kind, party)


SHAPE, OTHER = Shape(ModelHash(bytes(32)), 1), Shape(ModelHash(bytes(32)), 64)


def _stock(lanes: int = 1, **marks: int) -> Stock:
    return Stock(lanes, Marks(**marks))


def test_stock_is_kept_for_what_was_used_lately_and_handed_out_once() -> None:
    stock = _stock(lanes=2, low=1, high=1, shapes=1)
    assert stock.wanting() == []
    stock.used(SHAPE)
    assert stock.wanting() == [(0, SHAPE), (1, SHAPE)]
    stock.add(0, SHAPE, [MaterialId(b"m")])
    assert stock.wanting() == [(1, SHAPE)]
    assert stock.take(1, SHAPE) == NO_MATERIAL
    assert stock.take(0, SHAPE) == b"m"
    assert stock.take(0, SHAPE) == NO_MATERIAL


def test_stock_gives_up_old_shapes_and_forgets_lanes_models_and_everything() -> None:
    stock = _stock(lanes=2, high=4, shapes=1)
    stock.used(SHAPE)
    stock.add(0, SHAPE, [MaterialId(b"m")])
    stock.used(OTHER)
    stock.add(0, SHAPE, [MaterialId(b"late")])
    assert stock.take(0, SHAPE) == NO_MATERIAL
    assert stock.unwanted() == [b"m", b"late"]
    assert stock.unwanted() == []
    for forget in (lambda: stock.drop_lane(0), lambda: stock.drop_model(OTHER.model_hash), stock.drop_all):
        stock.add(0, OTHER, [MaterialId(b"n")])
        forget()
        assert stock.take(0, OTHER) == NO_MATERIAL


def test_stock_is_filled_from_below_the_low_mark_up_to_the_high_one() -> None:
    stock = _stock(low=2, high=8)
    stock.used(SHAPE)
    stock.add(0, SHAPE, [MaterialId(bytes([each])) for each in range(8)])
    for left in (7, 6, 5, 4, 3, 2):
        assert stock.take(0, SHAPE)
        assert (stock.wanting(), stock.missing(0, SHAPE)) == ([], 8 - left)
    stock.take(0, SHAPE)
    assert stock.wanting() == stock.empty() == [(0, SHAPE)]
    stock.add(0, SHAPE, [MaterialId(b"x")] * 4)
    assert (stock.wanting(), stock.empty()) == ([(0, SHAPE)], [])
    stock.add(0, SHAPE, [MaterialId(b"x")] * 3)
    assert stock.wanting() == []


def test_stock_of_large_material_is_smaller() -> None:
    stock = _stock(high=8, max_bytes=400)
    stock.used(SHAPE)
    assert stock.missing(0, SHAPE) == 1
    stock.add(0, SHAPE, [MaterialId(b"m")], material_bytes=100)
    assert stock.missing(0, SHAPE) == 3
    stock.add(0, SHAPE, [], material_bytes=1000)
    assert stock.missing(0, SHAPE) == 0


def test_material_for_a_few_more_rows_serves_where_there_is_none_exactly() -> None:
    stock = _stock(high=2)
    model = SHAPE.model_hash
    for rows in (1, 4, 32):
        stock.used(Shape(model, rows))
    stock.add(0, Shape(model, 4), [MaterialId(b"4")])
    stock.add(0, Shape(model, 32), [MaterialId(b"32")])
    assert stock.nearest(0, SHAPE) == Shape(model, 4)
    assert stock.nearest(0, Shape(model, 2)) == Shape(model, 4)
    assert stock.nearest(0, Shape(model, 16)) == Shape(model, 32)
    stock.take(0, Shape(model, 4))
    assert stock.nearest(0, SHAPE) == SHAPE


def test_where_a_party_has_no_room_one_shape_makes_way_for_another() -> None:
    stock = _stock(high=4, shapes=2)
    stock.used(SHAPE)
    stock.used(OTHER)
    stock.add(0, SHAPE, [MaterialId(b"a"), MaterialId(b"b")])
    stock.full(OTHER)
    assert stock.unwanted() == [b"a"]
    assert stock.missing(0, OTHER) == 1
    stock.add(0, OTHER, [MaterialId(b"c")])
    assert stock.wanting() == []


def test_the_pace_follows_how_long_making_took() -> None:
    pace = Pace()
    pace.took(1, 0.001)
    pace.took(2, 0.001)
    assert pace.batches == 4
    pace.took(1, 0.001)
    assert pace.batches == 4
    pace.took(4, 10.0)
    assert pace.batches == 2


async def test_a_bell_keeps_a_ring_that_nobody_waited_for() -> None:
    board, job_id = Board(), JobId(bytes(32))
    with board.watched(job_id) as bell:
        assert await bell.wait(1.0)
        await board.changed(job_id)
        assert await bell.wait(1.0)
        assert not await bell.wait(0.01)
        waiter = asyncio.create_task(bell.wait(5.0))
        await asyncio.sleep(0)
        await board.all_changed()
        assert await waiter


def test_watchers_are_limited_and_leave_no_trace() -> None:
    board, entered = Board(), []
    for number in range(MAX_WATCHERS):
        watch = board.watched(JobId(number.to_bytes(32, "big")))
        watch.__enter__()
        entered.append(watch)
    with pytest.raises(Unavailable), board.watched(JobId(bytes(32))):
        pytest.fail("one watcher too many")
    for watch in entered:
        watch.__exit__(None, None, None)
    with board.watched(JobId(bytes(32))):
        assert len(board._bells) == 1


CONFIG = """
[coordinator]
listen = "127.0.0.1:7000"
keystore = "keystore"
database = "coordinator.sqlite"
party_set = "{party_set}"

[[parties]]
index = 0
address = "0x{zero}"
target = "127.0.0.1:7100"
lanes = 2

[[parties]]
index = {second}
address = "0x{zero}"
target = "127.0.0.1:7101"
lanes = 3

[chain]
rpc_url = "http://127.0.0.1:8545"
party_registry = "0x{zero}"
model_registry = "0x{zero}"
receipt_anchor = "0x{zero}"
"""


def _write(directory: Path, **values: object) -> Path:
    fields = {"party_set": "0x" + "ab" * 32, "zero": "0" * 40, "second": 1, **values}
    path = directory / "coordinator.toml"
    path.write_text(CONFIG.format(**fields))
    return path


def test_a_configuration_file_is_read_with_paths_relative_to_it(tmp_path: Path) -> None:
    config = CoordinatorConfig.load(_write(tmp_path))
    assert config.coordinator.keystore == tmp_path / "keystore"
    assert config.party_set == bytes.fromhex("ab" * 32)
    assert config.lanes == 2


@pytest.mark.parametrize("wrong", [{"second": 2}, {"party_set": "abc"}, {"zero": "z" * 40}])
def test_a_wrong_configuration_is_refused(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        CoordinatorConfig.load(_write(tmp_path, **wrong))
