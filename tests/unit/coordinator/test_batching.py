"""Which jobs run together: owners in turn, models and large jobs in theirs, company no longer than allowed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from mpc_infer.coordinator.batching import MAX_JOBS, Batching, Place, Queue, session_rows
from mpc_infer.errors import Unavailable

FAR = 1e9


async def _nothing() -> None:
    return None


def _place(name: str, rows: int = 1, model: bytes = b"m", *, ripe: float = 0.0, late: float = FAR) -> Place:
    """A job whose owner is the first letter of its name."""
    request = SimpleNamespace(owner=name[0], rows=rows, model_hash=model)
    job: Any = SimpleNamespace(request=request, name=name)
    return Place(job, late, ripe, _nothing, asyncio.get_running_loop().create_future())


def _queue(places: list[Place], max_rows: int = 4, max_waiting: int = 1000) -> Queue:
    queue = Queue(Batching(max_rows), max_waiting)
    for place in places:
        queue.enter(place)
    return queue


def _drained(queue: Queue, now: float = 1.0) -> list[str]:
    sessions = []
    while places := queue.take(now):
        sessions.append(" ".join(place.job.name for place in places))  # type: ignore[attr-defined]
    return sessions


async def test_owners_take_turns_and_each_keeps_its_order() -> None:
    queue = _queue([_place(name) for name in ("a1", "a2", "a3", "a4", "a5", "b1", "b2", "c1")])
    assert _drained(queue) == ["a1 b1 c1 a2", "a3 b2 a4 a5"]
    assert len(queue) == 0


async def test_an_owner_that_was_served_goes_behind_the_others() -> None:
    queue = _queue([_place("a1"), _place("a2"), _place("b1"), _place("c1")], max_rows=1)
    assert _drained(queue) == ["a1", "b1", "c1", "a2"]


async def test_a_session_has_one_model_and_no_model_is_passed_over_twice() -> None:
    names = [("a1", b"m"), ("b1", b"n"), ("a2", b"m"), ("c1", b"m"), ("b2", b"n"), ("a3", b"m"), ("a4", b"m")]
    queue = _queue([_place(name, model=model) for name, model in names], max_rows=2)
    assert _drained(queue) == ["a1 c1", "b1 b2", "a2 a3", "a4"]


async def test_what_does_not_fit_is_first_the_next_time() -> None:
    queue = _queue([_place("a1", 2), _place("b1", 3), _place("c1", 1), _place("a2", 1), _place("b2", 1)])
    assert _drained(queue) == ["a1 c1 a2", "b1 b2"]


async def test_a_job_that_is_too_large_runs_alone() -> None:
    queue = _queue([_place("a1", 9), _place("b1"), _place("c1")])
    assert _drained(queue) == ["a1", "b1 c1"]


async def test_a_job_in_a_hurry_runs_alone_and_holds_up_nobody() -> None:
    queue = _queue([_place("a1"), _place("b1", late=0.5), _place("c1")])
    assert _drained(queue) == ["a1 c1", "b1"]


async def test_a_job_waits_for_company_until_it_is_ripe_or_a_session_is_full() -> None:
    queue = _queue([_place("a1", ripe=5.0), _place("b1", ripe=6.0)])
    assert queue.due() == 5.0
    assert _drained(queue, now=4.9) == []
    assert _drained(queue, now=5.0) == ["a1 b1"]
    full = _queue([_place(name, ripe=5.0) for name in ("a1", "b1", "c1", "d1", "e1")])
    assert _drained(full, now=0.0) == ["a1 b1 c1 d1"]
    other = _queue([_place("a1", ripe=5.0), _place("b1", model=b"n", ripe=0.0)])
    assert _drained(other, now=1.0) == ["b1"]


async def test_a_full_queue_is_said_and_a_place_can_be_given_up() -> None:
    place, other = _place("a1"), _place("b1")
    queue = _queue([place], max_waiting=1)
    with pytest.raises(Unavailable):
        queue.enter(other)
    assert queue.leave(place)
    assert not queue.leave(place)
    queue.enter(other)
    assert other in queue


async def test_a_session_has_no_more_jobs_than_a_party_takes() -> None:
    queue = _queue([_place(f"a{number}") for number in range(MAX_JOBS + 10)], max_rows=1024)
    assert len(queue.take(1.0)) == MAX_JOBS


@pytest.mark.parametrize(
    ("rows", "max_rows", "session"),
    [(1, 64, 1), (3, 64, 4), (33, 64, 64), (64, 64, 64), (65, 64, 65), (40, 48, 40), (3, 1, 3), (1, 1, 1)],
)
def test_rows_of_a_session_are_powers_of_two_up_to_the_limit(rows: int, max_rows: int, session: int) -> None:
    assert session_rows(rows, max_rows) == session
