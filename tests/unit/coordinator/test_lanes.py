"""Lane groups: one session each; work in the background takes only what is free, and makes way."""

from mpc_infer.coordinator.lanes import LanePool


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
    pool.ask_for_way()
    assert [first.is_set(), second.is_set()] == [True, False]
    pool.ask_for_way()
    pool.ask_for_way()
    assert second.is_set()
    pool.give_back(0)
    assert pool.take() == 0
