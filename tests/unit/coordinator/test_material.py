"""Material is made while lanes are idle, and used once."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from mpc_infer.errors import SessionAborted
from tests.unit.coordinator.simulation import IMPORTED, Network, Party, until

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
        net.parties[1].material.clear()
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
