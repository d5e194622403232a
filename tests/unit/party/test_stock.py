"""Material at parties with real lanes: on the disk, used once, and there again after a restart."""

import asyncio
import dataclasses
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from mpc_infer import errors
from mpc_infer.party.lane_host import LaneHost
from tests.unit.party.conftest import run_job

pytestmark = pytest.mark.asyncio(loop_scope="module")
X = np.random.default_rng(11).normal(size=(2, 4))


def job(network, material_id):
    return [dataclasses.replace(call, material_id=material_id) for call in network.world.job(X)]


async def assert_usable(network, material_id):
    answers = await network.run(job(network, material_id))
    shares = [answer.opening.share for answer in answers]
    np.testing.assert_allclose(network.world.revealed(shares), network.world.expected(X), atol=2e-3)
    assert all(material_id not in ids_of(party) for party in network.parties)


def ids_of(party):
    return [record.material_id for record in party.material()]


def files_of(network, index):
    return sorted(path for path in network.world.directory.glob(f"party{index}.material/*/*") if path.is_file())


async def until(condition):
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 (it is another process that changes it)
            await asyncio.sleep(0.01)


async def kill_lanes(network):
    """Takes seconds: a lane imports torch."""
    for one in network.wired:
        one.lanes[0]._process.send_signal(signal.SIGKILL)
    await until(lambda: not any(one.lanes[0].ready for one in network.wired))
    await asyncio.gather(*(one.lanes[0].wait_until_ready(60) for one in network.wired))


@pytest_asyncio.fixture(autouse=True, loop_scope="module")  # the parties' tasks go on only while their loop runs
async def nothing_left(network):
    yield
    for party in network.parties:
        await party.drop_material(ids_of(party))
    await until(lambda: not files_of(network, 0) + files_of(network, 1))  # nobody waits for the deletion of used ones


async def test_files_are_private_and_deleted_after_use(network):
    ids = [os.urandom(16) for _ in range(2)]
    await network.prepare(*ids)
    for index in range(2):
        paths = files_of(network, index)
        assert [path.name for path in paths] == sorted(each.hex() for each in ids)
        assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
        assert paths[0].parent.stat().st_mode & 0o777 == 0o700
        records = network.parties[index].material()
        assert [record.material_id for record in records] == ids
        assert [record.bytes for record in records] == [paths[0].stat().st_size] * 2
    # The last party has the dealer's corrections besides its seed.
    assert files_of(network, 1)[0].stat().st_size > files_of(network, 0)[0].stat().st_size
    await assert_usable(network, ids[0])
    await until(lambda: [path.name for path in files_of(network, 1)] == [ids[1].hex()])


async def test_more_than_stays_in_memory_is_read_from_the_disk(network):
    ids = await in_files_alone(network, 3)
    for material_id in (ids[4], ids[0]):
        await assert_usable(network, material_id)
    await until(lambda: all(one.lanes[0].ready_material == set(ids[1:3]) for one in network.wired))
    for material_id in ids[1:4]:
        await assert_usable(network, material_id)


async def test_what_was_not_begun_survives_the_restart_of_lanes_and_parties(network):
    ids = [os.urandom(16) for _ in range(4)]
    await network.prepare(*ids)
    await assert_usable(network, ids[0])
    await kill_lanes(network)
    await assert_usable(network, ids[1])
    await network.close()
    await network.start()
    assert [ids_of(party) for party in network.parties] == [ids[2:], ids[2:]]
    await assert_usable(network, ids[2])
    for used in ids[:3]:
        outcomes = await network.run(job(network, used), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [errors.MaterialUnusable] * 2
    with pytest.raises(errors.InvalidRequest, match="before"):
        await network.prepare(os.urandom(16), ids[0])
    await assert_usable(network, ids[3])


async def in_files_alone(network, count):
    """Ids of as many batches as stay in memory, and of some more that do not."""
    ids = [os.urandom(16) for _ in range(2 + count)]
    await network.prepare(*ids)
    await until(lambda: all(one.lanes[0].ready_material == set(ids[:2]) for one in network.wired))
    return ids


def flipped(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [flipped, lambda path: os.truncate(path, 50), Path.unlink, lambda path: path.chmod(0o644)],
    ids=["changed", "cut off", "gone", "open to others"],
)
async def test_a_damaged_file_is_noticed_before_anything_is_spent(network, damage):
    *_, material_id = await in_files_alone(network, 1)
    damage(network.wired[1].stock._files.path(0, material_id))
    calls = job(network, material_id)
    with pytest.raises(errors.MaterialUnusable):
        await run_job(network.parties[1], calls[1])
    assert material_id not in ids_of(network.parties[1])
    assert material_id.hex() not in [path.name for path in files_of(network, 1)]
    assert len(await network.run([dataclasses.replace(call, material_id=b"") for call in calls])) == 2


async def test_one_batch_in_the_place_of_another_is_refused(network):
    ids = await in_files_alone(network, 2)
    first, second = (network.wired[1].stock._files.path(0, each) for each in ids[-2:])
    second.write_bytes(first.read_bytes())
    with pytest.raises(errors.MaterialUnusable):
        await run_job(network.parties[1], job(network, ids[-1])[1])


async def test_too_much_is_refused_and_nothing_forgotten(network):
    ids = [os.urandom(16) for _ in range(7)]
    await network.prepare(*ids)
    with pytest.raises(errors.StockFull, match="holds 7"):
        await network.parties[0].prepare(network.prepare_call(os.urandom(16), os.urandom(16)))
    assert ids_of(network.parties[0]) == ids
    await network.parties[0].drop_material([ids[0], os.urandom(16)])
    assert ids_of(network.parties[0]) == ids[1:]
    with pytest.raises(errors.MaterialUnusable):
        await run_job(network.parties[0], job(network, ids[0])[0])


async def test_a_model_opened_anew_needs_new_material(network):
    material_id = os.urandom(16)
    await network.prepare(material_id)
    await network.open()
    assert [ids_of(party) for party in network.parties] == [[], []]
    outcomes = await network.run(job(network, material_id), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.MaterialUnusable] * 2
    fresh = os.urandom(16)
    await network.prepare(fresh)
    await assert_usable(network, fresh)


async def test_a_caller_who_hangs_up_while_a_lane_looks_for_material_does_not_end_it(network, monkeypatch):
    material_id, party, lane = os.urandom(16), network.parties[0], network.wired[0].lanes[0]
    await network.prepare(material_id)
    calls = job(network, material_id)
    asked, looked, ask, life = asyncio.Event(), asyncio.Event(), LaneHost.ask, lane.life

    async def busy(host, message, seconds):
        if message.kind == "claim" and host is lane:
            asked.set()
            await asyncio.sleep(0.2)
            looked.set()
        return await ask(host, message, seconds)

    monkeypatch.setattr(LaneHost, "ask", busy)
    monkeypatch.setattr(lane, "ready_material", set())
    hanging_up = asyncio.create_task(run_job(party, calls[0]))
    await asked.wait()
    hanging_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging_up
    assert len(await network.run(calls)) == 2
    assert looked.is_set()
    assert lane.life == life


async def test_a_worker_that_is_replaced_while_a_session_is_judged_costs_nothing(network, monkeypatch):
    material_id, one = os.urandom(16), network.wired[0]
    await network.prepare(material_id)
    await until(lambda: material_id in one.lanes[0].ready_material)
    call, judged = job(network, material_id)[0], one.party._sessions._judged

    async def slowly(*arguments):
        found = await judged(*arguments)
        await kill_lanes(network)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(one.party._sessions, "_judged", slowly)
        with pytest.raises(errors.SessionAborted, match="ended before the session began"):
            await run_job(one.party, call)
    assert not network.is_admitted(0, call)
    assert material_id in ids_of(one.party)
    await assert_usable(network, material_id)
