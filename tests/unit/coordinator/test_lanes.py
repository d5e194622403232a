"""Lane groups: one session each, owners in turn, nothing lost."""

import asyncio

import pytest

from mpc_infer.coordinator.lanes import LanePool, Ticket
from mpc_infer.errors import DeadlineExpired, Unavailable
from mpc_infer.ids import Address

ANN, BEN = Address("0xann"), Address("0xben")


def _called(tickets: list[Ticket]) -> list[bool]:
    return [ticket.lane.done() and not ticket.lane.cancelled() for ticket in tickets]


async def test_owners_take_turns_and_each_keeps_its_order() -> None:
    pool = LanePool(1, 10)
    running = pool.enter(ANN)
    waiting = [pool.enter(ANN), pool.enter(ANN), pool.enter(BEN), pool.enter(ANN)]
    order = []
    for _ in waiting:
        pool.leave(running)
        running = next(ticket for ticket in waiting if _called([ticket]) == [True] and ticket not in order)
        order.append(running)
    assert [waiting.index(ticket) for ticket in order] == [0, 2, 1, 3]


async def test_a_lane_runs_one_at_a_time() -> None:
    pool, inside, most = LanePool(2, 100), 0, 0

    async def job(owner: Address) -> None:
        nonlocal inside, most
        async with pool.lane(pool.enter(owner), 10.0):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(job(owner) for owner in (ANN, BEN) * 20))
    assert most == 2
    assert pool.waiting == 0
    assert {pool.enter(ANN).lane.result() for _ in range(2)} == {0, 1}


async def test_a_full_queue_is_said() -> None:
    pool = LanePool(1, 1)
    pool.enter(ANN)
    pool.enter(ANN)
    with pytest.raises(Unavailable):
        pool.enter(BEN)


async def test_a_wait_that_is_too_long_gives_its_place_back() -> None:
    pool = LanePool(1, 1)
    first = pool.enter(ANN)
    with pytest.raises(DeadlineExpired):
        async with pool.lane(pool.enter(BEN), 0.01):
            pytest.fail("there is no lane")
    assert pool.waiting == 0
    pool.leave(first)
    assert pool.enter(BEN).lane.result() == 0


async def test_leaving_twice_does_not_free_a_lane_twice() -> None:
    pool = LanePool(1, 5)
    first, second, third = (pool.enter(ANN) for _ in range(3))
    pool.leave(first)
    pool.leave(first)
    assert _called([second, third]) == [True, False]


async def test_a_cancelled_wait_after_the_call_passes_the_lane_on() -> None:
    pool = LanePool(1, 5)
    first, second = pool.enter(ANN), pool.enter(BEN)

    async def wait() -> None:
        async with pool.lane(second, 10.0):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    pool.leave(first)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert pool.enter(ANN).lane.result() == 0


async def test_background_work_takes_only_a_free_lane() -> None:
    pool = LanePool(1, 5)
    ticket = pool.try_take(0)
    assert ticket is not None
    assert pool.try_take(0) is None
    job = pool.enter(ANN)
    pool.leave(ticket)
    assert job.lane.result() == 0
