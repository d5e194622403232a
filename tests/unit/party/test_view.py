"""The party's view of the chain: what is read when, and what is refused."""

import asyncio

import pytest

from mpc_infer import errors
from mpc_infer.chain.records import ModelStatus
from mpc_infer.party.view import RegistryView

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


async def test_a_failing_chain_does_not_end_the_watch(view, world, monkeypatch):
    owner = world.owner.address
    await view.check_model(100, world.model_hash, owner, PARTY_SET)
    world.registry.models.clear()
    world.registry.number = 101
    await until(lambda: world.registry.reads >= 2)
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
