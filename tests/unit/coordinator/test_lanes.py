"""Lane groups: one session each; work in the background takes only what is free, and makes way."""

from mpc_infer.coordinator.lanes import LanePool
from mpc_infer.coordinator.material import Shape
from mpc_infer.ids import ModelHash

SHAPE = Shape(ModelHash(bytes(32)), 1)


def test_a_lane_is_held_by_one_at_a_time_and_its_freeing_is_told() -> None:
    freed: list[int] = []
    pool = LanePool(2, lambda: freed.append(1))
    assert {pool.take(), pool.take()} == {0, 1}
    assert pool.take() is None
    assert pool.take_background(1) is None
    pool.give_back(1)
    assert (pool.take(), len(freed)) == (1, 1)


def test_background_work_takes_only_a_free_lane_and_is_asked_once_to_make_way() -> None:
    pool = LanePool(2)
    first, second = pool.take_background(0), pool.take_background(1)
    assert first is not None
    assert second is not None
    assert pool.take() is None
    pool.ask_for_way(SHAPE)
    assert [first.is_set(), second.is_set()] == [True, False]
    pool.ask_for_way(SHAPE)
    pool.ask_for_way(SHAPE)
    assert second.is_set()
    pool.give_back(0)
    assert pool.take() == 0


def test_work_that_a_job_needs_is_left_alone_for_one_job_and_until_that_is_tired_of_waiting() -> None:
    pool = LanePool(2)
    needed, other = pool.take_background(0, SHAPE.__eq__), pool.take_background(1)
    assert needed is not None
    assert other is not None
    waits = pool.ask_for_way(SHAPE)
    assert waits is not None
    assert [needed.is_set(), other.is_set()] == [False, False]
    assert pool.ask_for_way(SHAPE) is None
    assert [needed.is_set(), other.is_set()] == [False, True]
    waits.release(call_off=False)
    again = pool.ask_for_way(SHAPE)
    assert again is waits
    again.release(call_off=True)
    assert needed.is_set()
    assert pool.ask_for_way(SHAPE) is None
