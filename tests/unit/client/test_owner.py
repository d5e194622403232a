"""Publishing: each step once, continued after a failure, access in the owner's hand."""

from typing import Any

import pytest

from mpc_infer.chain.records import ModelStatus
from mpc_infer.errors import BadSignature, CorruptModel, InvalidRequest, TransactionFailed, Unavailable
from mpc_infer.identity.signer import Signer
from tests.unit.coordinator.simulation import IMPORTED, Network, Party


async def test_a_version_becomes_active_with_the_access_that_was_asked_for(net: Network) -> None:
    user = Signer.generate().address
    published = await net.client().publish(IMPORTED, "other", 3, public=False, users=[user])
    assert list(published.txs) == ["propose", "stage", "activate", f"user:{user}"]
    assert net.chain.models[published.model_hash].status is ModelStatus.ACTIVE
    assert (published.model_hash, user) in net.chain.users
    await net.client().deny(published.model_hash, user)
    assert (published.model_hash, user) not in net.chain.users
    await net.client().allow(published.model_hash, user)
    assert (published.model_hash, user) in net.chain.users


async def test_publishing_a_package_again_continues_where_it_stopped(net: Network) -> None:
    async def unreachable(party: Party, request: Any) -> Any:
        raise Unavailable("down")

    client = net.client()
    package = await client._owner.package(IMPORTED, "other", 1)
    net.parties[1].hooks["InstallModel"] = unreachable
    with pytest.raises(Unavailable):
        await client.publish(package, "other", 1)
    net.parties[1].hooks.clear()
    assert list((await client.publish(package, "other", 1)).txs) == ["stage", "activate", "public"]
    assert list((await client.publish(package, "other", 1)).txs) == ["public"]
    with pytest.raises(InvalidRequest):
        await client.publish(package, "other", 2)


async def test_a_transaction_that_fails_ends_the_publication(net: Network) -> None:
    def refuse(*_: Any) -> Any:
        raise TransactionFailed("VersionTaken")

    net.chain.propose = refuse
    with pytest.raises(TransactionFailed):
        await net.client().publish(IMPORTED, "other", 1)
    assert [manifest.name for manifest in await net.client().models()] == ["shift"]


async def test_a_holding_signed_by_somebody_else_is_refused(net: Network) -> None:
    async def forged(party: Party, request: Any) -> Any:
        answer = await party.on_InstallModel(request)
        answer.holding.signature = Signer.generate().sign_digest(bytes(32))
        return answer

    net.parties[2].hooks["InstallModel"] = forged
    with pytest.raises(BadSignature):
        await net.client().publish(IMPORTED, "other", 1)
    assert [manifest.name for manifest in await net.client().models()] == ["shift"]


async def test_a_file_that_is_no_model_is_refused_before_anything_happens(net: Network) -> None:
    height = net.chain.height
    with pytest.raises(CorruptModel):
        await net.client().publish(b"not a model", "other", 1)
    assert net.chain.height == height
