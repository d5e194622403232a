"""Publishing: each step once, continued after a failure, access in the owner's hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpc_infer.chain.records import ModelStatus
from mpc_infer.errors import (
    BadSignature,
    ChainUnavailable,
    CorruptModel,
    InvalidRequest,
    ModelNotFound,
    NotPermitted,
    OutOfRange,
    TransactionFailed,
    Unavailable,
)
from mpc_infer.evidence.eip712 import ModelHolding, sign
from mpc_infer.graph.input_ranges import InputRange, UnitRange
from mpc_infer.identity.signer import Signer
from mpc_infer.model.manifest import Manifest
from tests.unit.coordinator.simulated_chain import PARTY_SET
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
    package = await client.package(IMPORTED, "other", 1)
    net.parties[1].hooks["InstallModel"] = unreachable
    with pytest.raises(Unavailable):
        await client.publish(package, "other", 1)
    net.parties[1].hooks.clear()
    net.chain.down = True
    with pytest.raises(ChainUnavailable):
        await client.publish(package, "other", 1)
    net.chain.down = False
    assert list((await client.publish(package, "other", 1)).txs) == ["propose", "stage", "activate", "public"]
    assert list((await client.publish(package, "other", 1)).txs) == ["public"]
    with pytest.raises(InvalidRequest):
        await client.publish(package, "other", 2)


async def test_a_version_that_is_somebody_elses_in_the_registry_is_not_published(net: Network) -> None:
    client, stranger = net.client(), Signer.generate().address
    package = await client._owner.package(IMPORTED, "other", 1)
    published = await client.publish(package, "other", 1)
    net.chain.models[published.model_hash] = replace(net.chain.models[published.model_hash], owner=stranger)
    with pytest.raises(NotPermitted, match=stranger):
        await client.publish(package, "other", 1)


async def test_a_holding_signed_for_another_owner_is_refused(net: Network) -> None:
    async def for_another(party: Party, request: Any) -> Any:
        answer = await party.on_InstallModel(request)
        model_hash = Manifest.from_bytes(request.manifest).hash
        holding = ModelHolding(model_hash, PARTY_SET, Signer.generate().address)
        answer.holding.signature = sign(holding, party.model_domain, party.signer)
        return answer

    net.parties[1].hooks["InstallModel"] = for_another
    with pytest.raises(BadSignature):
        await net.client().publish(IMPORTED, "other", 1)
    assert [manifest.name for manifest in await net.client().models()] == ["shift"]


async def test_inputs_beyond_the_declared_limit_are_refused_by_the_sdk(net: Network) -> None:
    client = net.client()
    published = await client.publish(IMPORTED, "narrow", 1, input_limit=64)
    assert published.manifest.input_limit == 64
    result = await client.infer("narrow", {"x": [[63.5, -63.5, 0.0]]})
    np.testing.assert_array_equal(result.outputs["y"], [[64.0, -64.5, 2.0]])
    sent = len(client.core.door.sent)
    for value in (64.0, -64.0, 1e6):
        with pytest.raises(OutOfRange, match=r"input 'x': feature 1 of row 0 .*'narrow' takes, -63.99\d+ to 63.99\d+"):
            await client.infer("narrow", {"x": [[0.0, value, 0.0]]})
    assert len(client.core.door.sent) == sent


async def test_every_feature_has_its_own_range(net: Network) -> None:
    """What is refused is named by its place; its value is in no message."""
    client, sides = net.client(), InputRange(np.array([-1.0, 0.0, 100.0]), np.array([1.0, 5000.0, 100.0]))
    published = await client.publish(IMPORTED, "sided", 1, ranges={"x": sides})
    assert published.manifest.input_ranges == (UnitRange((-65536, 0, 6553600), (65536, 327680000, 6553600)),)
    result = await client.infer("sided", {"x": [[1.0, 5000.0, 100.0], [-1.0, 0.0, 100.0]]})
    np.testing.assert_array_equal(result.outputs["y"], [[1.5, 4999.0, 102.0], [-0.5, -1.0, 102.0]])
    sent = len(client.core.door.sent)
    for place, value in ((0, 1.25), (0, -1.0001), (1, -0.25), (1, 31337.0), (2, 99.5)):
        rows = [[0.0, 1.0, 100.0], [0.0, 1.0, 100.0]]
        rows[1][place] = value
        with pytest.raises(OutOfRange, match=f"input 'x': feature {place} of row 1 ") as caught:
            await client.infer("sided", {"x": rows})
        assert f"{value:g}" not in str(caught.value)
    assert len(client.core.door.sent) == sent


async def test_a_limit_and_ranges_are_one_too_many(net: Network) -> None:
    with pytest.raises(InvalidRequest, match="both given"):
        await net.client().publish(IMPORTED, "sided", 1, input_limit=4, ranges=8)


async def test_a_package_keeps_its_input_limit(net: Network) -> None:
    client = net.client()
    package = await client._owner.package(IMPORTED, "narrow", 1, 64)
    with pytest.raises(InvalidRequest, match="input ranges"):
        await client.publish(package, "narrow", 1, input_limit=65)
    assert (await client.publish(package, "narrow", 1, input_limit=64)).manifest.input_limit == 64


async def test_a_party_that_is_down_leaves_name_and_version_free(net: Network) -> None:
    async def unreachable(party: Party, request: Any) -> Any:
        raise Unavailable("down")

    client = net.client()
    net.parties[1].hooks["InstallModel"] = unreachable
    height = net.chain.height
    with pytest.raises(Unavailable):
        await client.publish(IMPORTED, "other", 1)
    assert net.chain.height == height
    net.parties[1].hooks.clear()
    published = await client.publish(IMPORTED, "other", 1)  # packaged anew: another hash, the same name and version
    assert net.chain.models[published.model_hash].status is ModelStatus.ACTIVE


async def test_a_publication_that_stopped_on_the_chain_goes_on_with_the_same_package(net: Network) -> None:
    def lost(*_: Any) -> Any:
        raise ChainUnavailable("no answer")

    client = net.client()
    package = await client.package(IMPORTED, "other", 1)
    stage, net.chain.stage = net.chain.stage, lost
    with pytest.raises(ChainUnavailable):
        await client.publish(package, "other", 1)
    net.chain.stage = stage
    assert list((await client.publish(package, "other", 1)).txs) == ["stage", "activate", "public"]


async def test_a_transaction_that_fails_ends_the_publication(net: Network) -> None:
    def refuse(*_: Any) -> Any:
        raise TransactionFailed("VersionTaken")

    net.chain.propose = refuse
    with pytest.raises(TransactionFailed):
        await net.client().publish(IMPORTED, "other", 1)
    with pytest.raises(ModelNotFound):
        await net.client().infer("other", {"x": [[1.0, 2.0, 3.0]]})


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
