"""Material is made while lanes are idle, and used once."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.errors import DeadlineExpired, MpcInferError, SessionAborted
from tests.unit.coordinator.simulation import IMPORTED, Network, Party, hang, until

ROWS = np.array([[1.0, 2.0, 3.0]])


async def test_after_a_job_the_stock_is_filled_and_the_next_jobs_use_it(tmp_path: Path) -> None:
    net = Network(tmp_path, stock=2)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await net.client().infer("shift", {"x": ROWS})
        await until(lambda: all(len(party.material) == 2 for party in net.parties))
        assert len({frozenset(party.material) for party in net.parties}) == 1
        before = set(net.parties[0].material)
        await net.client().infer("shift", {"x": ROWS})
        assert len(before - net.parties[0].material) == 1
        await until(lambda: len(net.parties[0].material) == 2)


async def test_a_failed_preparation_holds_no_job_up(tmp_path: Path) -> None:
    net = Network(tmp_path, stock=1)

    async def fail(party: Party, request: Any) -> Any:
        raise SessionAborted("no dealer")

    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        net.parties[1].hooks["PrepareMaterial"] = fail
        await net.client().infer("shift", {"x": ROWS})
        await until(lambda: "PrepareMaterial" in net.parties[1].calls)
        for _ in range(3):
            await net.client().infer("shift", {"x": ROWS})


async def test_after_a_failed_session_nothing_prepared_on_that_lane_is_trusted(tmp_path: Path) -> None:
    net = Network(tmp_path, stock=1)

    async def fail(party: Party, request: Any) -> Any:
        raise SessionAborted("gone", party=party.index)

    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await net.client().infer("shift", {"x": ROWS})
        await until(lambda: all(party.material for party in net.parties))
        stale = set(net.parties[0].material)
        net.parties[1].hooks["RunJob"] = fail
        await asyncio.gather(net.client().infer("shift", {"x": ROWS}), return_exceptions=True)
        net.parties[1].hooks.clear()
        net.parties[1].material -= stale
        await net.client().infer("shift", {"x": ROWS})
        assert not stale & net.parties[1].material


async def test_a_job_that_finds_the_stock_empty_has_several_batches_made_first(tmp_path: Path) -> None:
    net = Network(tmp_path, stock=8)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        for _ in range(30):
            await net.client().infer("shift", {"x": ROWS})
        # The first job's session made its own; the others had theirs from exchanges that made more than one.
        assert net.parties[0].calls.count("PrepareMaterial") < 29
        await until(lambda: len(net.parties[0].material) >= 4)


async def _stands_still_while_it_prepares(net: Network) -> None:
    """Run a job; afterwards party 1 takes the order to prepare and says nothing more."""
    await net.client().publish(IMPORTED, "shift", 1)
    net.parties[1].hooks = {"PrepareMaterial": hang, "AbortSession": hang}
    await net.client().infer("shift", {"x": ROWS})
    await until(lambda: "PrepareMaterial" in net.parties[1].calls)


async def test_a_job_does_not_wait_for_a_party_that_stands_still_while_it_prepares(tmp_path: Path) -> None:
    net = Network(tmp_path, stock=1, prepare_s=600.0)
    async with net.run():
        await _stands_still_while_it_prepares(net)
        await net.client().infer("shift", {"x": ROWS}, deadline_s=4.0)
        assert "AbortSession" in net.parties[0].calls


async def test_the_party_that_stands_still_is_named_by_the_job(tmp_path: Path) -> None:
    net = Network(tmp_path, stock=1, prepare_s=600.0)
    async with net.run():
        await _stands_still_while_it_prepares(net)
        net.parties[1].hooks["RunJob"] = hang
        with pytest.raises(MpcInferError) as caught:
            await net.client().infer("shift", {"x": ROWS}, deadline_s=10.0)
    assert caught.value.party == 1


async def test_a_job_whose_time_ends_in_the_queue_names_who_kept_the_lane(tmp_path: Path) -> None:
    net = Network(tmp_path, stock=1, prepare_s=600.0)
    async with net.run():
        await _stands_still_while_it_prepares(net)
        net.parties[1].hooks["RunJob"] = hang
        first = asyncio.create_task(net.client().infer("shift", {"x": ROWS}, deadline_s=20.0))
        await until(lambda: net.parties[1].calls.count("RunJob") == 2)
        with pytest.raises(DeadlineExpired) as caught:
            await net.client().infer("shift", {"x": ROWS}, deadline_s=0.5)
        first.cancel()
    assert caught.value.party == 1
