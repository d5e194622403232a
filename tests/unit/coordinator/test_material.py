"""Material is made while lanes are idle, and used once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.coordinator.lanes import LanePool
from mpc_infer.coordinator.material import Marks
from mpc_infer.errors import DeadlineExpired, MpcInferError, SessionAborted
from tests.unit.coordinator.simulation import IMPORTED, Network, Party, hang, until

ROWS = np.array([[1.0, 2.0, 3.0]])


async def test_after_a_job_the_stock_is_filled_and_the_next_jobs_use_it(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 2, "high": 2})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await net.client().infer("shift", {"x": ROWS})
        await until(lambda: all(len(party.material) == 2 for party in net.parties))
        assert len({frozenset(party.material) for party in net.parties}) == 1
        before = set(net.parties[0].material)
        await net.client().infer("shift", {"x": ROWS})
        assert len(before - set(net.parties[0].material)) == 1
        await until(lambda: len(net.parties[0].material) == 2)


async def test_a_failed_preparation_holds_no_job_up(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 1, "high": 1})

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
    net = Network(tmp_path, material={"low": 1, "high": 1})

    async def fail(party: Party, request: Any) -> Any:
        raise SessionAborted("gone", party=party.index)

    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await net.client().infer("shift", {"x": ROWS})
        await until(lambda: all(party.material for party in net.parties))
        stale = set(net.parties[0].material)
        net.parties[1].hooks["RunSession"] = fail
        await asyncio.gather(net.client().infer("shift", {"x": ROWS}), return_exceptions=True)
        net.parties[1].hooks.clear()
        for material_id in stale:
            net.parties[1].material.pop(material_id, None)
        await net.client().infer("shift", {"x": ROWS})
        assert not stale & set(net.parties[1].material)


async def test_a_job_that_finds_the_stock_empty_has_several_batches_made_first(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 8, "high": 8})
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
    net = Network(tmp_path, material={"low": 1, "high": 1, "prepare_s": 600.0})
    async with net.run():
        await _stands_still_while_it_prepares(net)
        await net.client().infer("shift", {"x": ROWS}, deadline_s=4.0)
        assert "AbortSession" in net.parties[0].calls


@pytest.mark.slow
async def test_the_party_that_stands_still_is_named_by_the_job(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 1, "high": 1, "prepare_s": 600.0})
    async with net.run():
        await _stands_still_while_it_prepares(net)
        net.parties[1].hooks["RunSession"] = hang
        with pytest.raises(MpcInferError) as caught:
            await net.client().infer("shift", {"x": ROWS}, deadline_s=10.0)
    assert caught.value.party == 1


async def test_a_job_whose_time_ends_in_the_queue_names_who_kept_the_lane(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 1, "high": 1, "prepare_s": 600.0})
    async with net.run():
        await _stands_still_while_it_prepares(net)
        net.parties[1].hooks["RunSession"] = hang
        first = asyncio.create_task(net.client().infer("shift", {"x": ROWS}, deadline_s=8.0))
        await until(lambda: net.parties[1].calls.count("RunSession") == 2)
        with pytest.raises(DeadlineExpired) as caught:
            await net.client().infer("shift", {"x": ROWS}, deadline_s=0.5)
        first.cancel()
    assert caught.value.party == 1


def _kept(net: Network) -> list[set[bytes]]:
    return [set(party.material) for party in net.parties]


async def test_a_model_is_opened_and_prepared_for_as_soon_as_it_is_published(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 2, "high": 2})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await until(lambda: all(len(kept) == 2 for kept in _kept(net)))
        assert len({party.opened[model] for party in net.parties for model in party.opened}) == 1
        before = net.parties[0].calls.count("OpenModel")
        await net.client().infer("shift", {"x": ROWS})
        assert net.parties[0].calls.count("OpenModel") == before


async def test_after_a_restart_what_all_parties_have_is_used_and_the_rest_given_up(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 3, "high": 3})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await until(lambda: all(len(kept) == 3 for kept in _kept(net)))
    lost, *common = net.parties[0].material
    net.parties[2].material.pop(lost)
    other = net.parties[1].material[common[0]]
    net.parties[1].material[common[0]] = (other[0], other[1], 64)
    net.config = net.config.model_copy(update={"material": net.config.material.model_copy(update={"low": 0})})
    async with net.run():
        await until(lambda: _kept(net) == [{common[1]}] * 3)
        opened = dict(net.parties[0].opened)
        await net.client().infer("shift", {"x": ROWS})
        assert net.parties[0].opened == opened
        assert common[1] not in net.parties[0].material


async def test_a_party_that_comes_back_is_asked_what_it_has_and_what_is_open(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 2, "high": 2})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await until(lambda: all(len(kept) == 2 for kept in _kept(net)))
        before = _kept(net)[0]
        net.parties[1].opened.clear()
        net.parties[1].material.clear()
        net.parties[1].lost()
        await until(lambda: all(len(kept) == 2 and not kept & before for kept in _kept(net)))
        assert len({party.opened[model] for party in net.parties for model in party.opened}) == 1
        await net.client().infer("shift", {"x": ROWS})


@pytest.mark.parametrize("lost", ["material", "opened"])
async def test_a_job_runs_although_a_party_silently_lost_what_it_had(tmp_path: Path, lost: str) -> None:
    net = Network(tmp_path, material={"low": 1, "high": 1})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await until(lambda: all(_kept(net)))
        getattr(net.parties[2], lost).clear()
        await net.client().infer("shift", {"x": ROWS})


async def test_what_a_party_has_no_room_for_is_not_counted_on(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 4, "high": 4})
    net.parties[1].max_material = 2
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        for _ in range(6):
            await net.client().infer("shift", {"x": ROWS})
        assert all(len(kept) <= 4 for kept in _kept(net))
        assert net.parties[0].calls.count("AbortSession") <= 2


async def test_shapes_that_are_no_longer_used_give_their_material_up(tmp_path: Path) -> None:
    net = Network(tmp_path, material={"low": 1, "high": 1, "shapes": 1})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await until(lambda: all(_kept(net)))
        await net.client().infer("shift", {"x": np.ones((4, 3))})
        await until(lambda: [{each[2] for each in party.material.values()} for party in net.parties] == [{4}] * 3)


class _Making:
    """Preparations that take until the test says so; `asked`: a job has lost patience and asked for the lane."""

    def __init__(self, net: Network, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go, self.asked = asyncio.Event(), asyncio.Event()
        self.net, self._ask = net, LanePool.ask_for_way
        monkeypatch.setattr(LanePool, "ask_for_way", lambda pool, *shape: self._watched(pool, *shape))
        for party in net.parties:
            party.hooks["PrepareMaterial"] = self._slowly

    async def _slowly(self, party: Party, request: Any) -> Any:
        await self.go.wait()
        return await party.on_PrepareMaterial(request)

    def _watched(self, pool: LanePool, *shape: Any) -> Any:
        self.asked.set()
        return self._ask(pool, *shape)

    async def begun(self) -> None:
        await until(lambda: all("PrepareMaterial" in party.calls for party in self.net.parties))


@pytest.fixture
async def making(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[_Making]:
    net = Network(tmp_path, material={"low": 1, "high": 1})
    async with net.run():
        yield _Making(net, monkeypatch)


def _used(net: Network) -> list[bytes]:
    """The material of every session from now on."""
    used: list[bytes] = []

    async def noted(party: Party, request: Any) -> Any:
        used.append(request.material_id)
        return await party.on_RunSession(request)

    net.parties[0].hooks["RunSession"] = noted
    return used


async def test_a_job_waits_for_material_that_it_would_have_to_make_itself(
    making: _Making,
) -> None:
    net, used = making.net, _used(making.net)
    await net.client().publish(IMPORTED, "shift", 1)
    await making.begun()
    job = asyncio.create_task(net.client().infer("shift", {"x": ROWS}, deadline_s=4.0))
    await making.asked.wait()
    making.go.set()
    await job
    assert [bool(material) for material in used] == [True]
    assert "AbortSession" not in net.parties[0].calls


async def test_what_another_model_needs_makes_way_for_a_job(making: _Making) -> None:
    net = making.net
    making.go.set()
    await net.client().publish(IMPORTED, "first", 1)
    await until(lambda: all(_kept(net)))
    making.go.clear()
    await net.client().publish(IMPORTED, "second", 1)
    await until(lambda: net.parties[0].calls.count("PrepareMaterial") == 2)
    await net.client().infer("first", {"x": ROWS}, deadline_s=4.0)
    assert net.parties[0].calls.count("AbortSession") == 1


async def test_material_makes_way_for_a_job_that_has_some_already(making: _Making) -> None:
    net = making.net
    net.service._floor.stock._marks = Marks(2, 2)
    making.go.set()
    await net.client().publish(IMPORTED, "shift", 1)
    await until(lambda: all(_kept(net)))
    making.go.clear()
    net.service._floor.keeper.wake()
    await until(lambda: net.parties[0].calls.count("PrepareMaterial") == 2)
    await net.client().infer("shift", {"x": ROWS}, deadline_s=4.0)
    assert net.parties[0].calls.count("AbortSession") == 1


async def test_a_job_waits_for_the_opening_of_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = Network(tmp_path, material={"low": 1, "high": 1})
    async with net.run():
        making = _Making(net, monkeypatch)

        async def slowly(party: Party, request: Any) -> Any:
            if request.session_id:
                await making.go.wait()
            return await party.on_OpenModel(request)

        for party in net.parties:
            party.hooks = {"OpenModel": slowly}
        await net.client().publish(IMPORTED, "shift", 1)
        await until(lambda: net.parties[0].calls.count("OpenModel") == 2)
        job = asyncio.create_task(net.client().infer("shift", {"x": ROWS}, deadline_s=4.0))
        await making.asked.wait()
        making.go.set()
        await job
        assert "AbortSession" not in net.parties[0].calls
