"""The party's view of the chain: what is read when, and what is refused."""

import asyncio

import pytest

from mpc_infer import errors
from mpc_infer.chain.records import ModelStatus
from mpc_infer.party.view import RegistryView
from mpc_infer.rpc.background import Background

PARTY_SET = bytes(range(32))


@pytest.fixture
async def view(world):
    made = RegistryView(world.registry, max_lag=3, poll_s=0.02)
    await made.start(PARTY_SET, world.addresses)
    yield made
    await made.close()


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_another_order_of_members_is_a_configuration_error(world):
    view = RegistryView(world.registry, max_lag=3, poll_s=0.02)
    with pytest.raises(errors.ConfigError, match="party set"):
        await view.start(PARTY_SET, world.addresses[::-1])


async def test_verdicts_are_kept_per_block(view, world):
    owner = world.owner.address
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.register(ModelStatus.REVOKED)
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.registry.number = 101
    await view.check_block(101)
    with pytest.raises(errors.ModelInactive, match="revoked at block 101"):
        await view.check_model(101, world.model_hash, owner, PARTY_SET)


async def test_a_new_block_is_read_before_it_is_asked_for(view, world):
    owner = world.owner.address
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.registry.number = 105
    await until(lambda: view.head == 105 and world.registry.reads == 2)
    await view.check_model(105, world.model_hash, owner, PARTY_SET)
    assert world.registry.reads == 2


async def test_blocks_without_a_change_cost_no_reads(view, world):
    owner, registry = world.owner.address, world.registry
    registry.logs = set()
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    for registry.number in (101, 103):
        await view.check_block(registry.number)
        await view.check_model(registry.number, world.model_hash, owner, PARTY_SET)
    assert registry.reads == 1


async def test_a_change_among_several_new_blocks_is_seen(view, world):
    owner, registry = world.owner.address, world.registry
    registry.logs = {102}
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.register(ModelStatus.REVOKED)
    registry.number = 103
    await view.check_block(103)
    with pytest.raises(errors.ModelInactive, match="revoked at block 103"):
        await view.check_model(103, world.model_hash, owner, PARTY_SET)


async def test_what_was_carried_over_to_a_block_that_was_taken_back_is_forgotten(view, world):
    owner, registry = world.owner.address, world.registry
    registry.logs = set()
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    registry.number = 101
    await view.check_block(101)
    world.register(ModelStatus.REVOKED)
    registry.take_back(1)
    registry.number = 102
    await view.check_block(102)
    with pytest.raises(errors.ModelInactive):
        await view.check_model(101, world.model_hash, owner, PARTY_SET)


async def test_a_failing_chain_does_not_end_the_watch(view, world, monkeypatch):
    owner = world.owner.address
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.registry.models.clear()
    world.registry.number = 101
    await until(lambda: view.head == 101)
    world.registry.number = 102
    await until(lambda: view.head == 102)
    with pytest.raises(errors.ModelNotFound):
        await view.check_model(102, world.model_hash, owner, PARTY_SET)


async def test_blocks_are_judged_by_the_own_head(view, world):
    await view.check_block(97)
    with pytest.raises(errors.RegistryTooOld):
        await view.check_block(96)
    with pytest.raises(errors.RegistryTooOld):
        await view.check_block(101)


async def test_a_model_revoked_since_the_block_that_was_named_is_refused(view, world):
    owner = world.owner.address
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.register(ModelStatus.REVOKED)
    world.registry.number = 101
    await until(lambda: view.head == 101)
    with pytest.raises(errors.ModelInactive, match="revoked at block 101"):
        await view.check_model(100, world.model_hash, owner, PARTY_SET)


async def test_a_user_sent_away_since_the_block_that_was_named_is_refused(view, world):
    owner = world.owner.address
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.registry.users.clear()
    world.registry.number = 102
    await until(lambda: view.head == 102)
    with pytest.raises(errors.NotPermitted, match="at block 102"):
        await view.check_model(100, world.model_hash, owner, PARTY_SET)


async def test_a_user_admitted_after_the_block_that_was_named_is_refused(view, world):
    owner = world.owner.address
    users = set(world.registry.users)
    world.registry.users.clear()
    with pytest.raises(errors.NotPermitted, match="at block 100"):
        await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.registry.users |= users
    world.registry.number = 101
    await view.check_block(101)
    with pytest.raises(errors.NotPermitted, match="at block 100"):
        await view.check_model(100, world.model_hash, owner, PARTY_SET)
    assert await view.check_model(101, world.model_hash, owner, PARTY_SET)


@pytest.mark.parametrize("further", [0, 1, 2], ids=["as long", "one longer", "two longer"])
async def test_a_grant_in_a_block_that_was_taken_back_is_gone(view, world, further):
    owner = world.owner.address
    world.registry.number = 101
    await view.check_block(101)
    await view.check_model(101, world.model_hash, owner, PARTY_SET)
    world.registry.users.clear()
    world.registry.take_back(1)
    world.registry.number += further
    changed = world.registry.head().hash
    await until(lambda: view._head.hash == changed)
    with pytest.raises(errors.NotPermitted):
        await view.check_model(101, world.model_hash, owner, PARTY_SET)


async def test_a_shorter_chain_has_a_lower_head(view, world):
    world.registry.number = 101
    await view.check_block(101)
    world.registry.take_back(2)
    world.registry.number = 100
    await until(lambda: view.head == 100)
    with pytest.raises(errors.RegistryTooOld, match="ahead"):
        await view.check_block(101)


async def test_blocks_that_follow_take_nothing_back(view, world):
    owner = world.owner.address
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    for number in (101, 105):
        world.registry.number = number
        await until(lambda: view.head == number)  # noqa: B023 - awaited at once
    world.register(ModelStatus.REVOKED)
    await view.check_model(100, world.model_hash, owner, PARTY_SET)


async def test_nothing_is_judged_by_a_chain_that_was_not_seen_for_long(world, monkeypatch):
    view = RegistryView(world.registry, max_lag=3, poll_s=0.02, stale_s=0.1)
    await view.start(PARTY_SET, world.addresses)
    await view.check_block(100)

    def unreachable():
        raise errors.ChainUnavailable("no answer")

    monkeypatch.setattr(world.registry, "head", unreachable)
    await asyncio.sleep(0.2)
    with pytest.raises(errors.ChainUnavailable, match="has not seen the chain"):
        await view.check_block(100)
    monkeypatch.undo()
    await asyncio.sleep(0.1)
    await view.check_block(100)
    await view.close()


async def test_a_watch_that_fails_is_an_error_and_not_silence(world, monkeypatch, caplog):
    background = Background()
    view = RegistryView(world.registry, max_lag=3, poll_s=0.02, background=background)
    await view.start(PARTY_SET, world.addresses)

    def broken():
        raise ValueError("nobody expected this")

    monkeypatch.setattr(world.registry, "head", broken)
    await asyncio.wait_for(background.failed.wait(), 10)
    assert [record.levelname for record in caplog.records if record.name == "mpc_infer.rpc.background"] == ["ERROR"]
    with pytest.raises(errors.InternalError, match="registry-view"):
        background.check()
    await view.close()
