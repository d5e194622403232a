"""Versions as coordinator and chain have them, and files that are, or are not, what was published."""

from dataclasses import replace

import pytest

from mpc_infer.chain.records import ModelStatus
from mpc_infer.client.catalogue import Evidence, check_openings
from mpc_infer.errors import CorruptModel, InvalidRequest, ModelNotFound, ModelShareMismatch
from mpc_infer.graph import ImportedModel, Node, TensorSpec
from tests.unit.coordinator.simulation import BIAS, IMPORTED, Network


async def test_versions_carry_their_status(net: Network) -> None:
    client = net.client()
    first = await client.publish(IMPORTED, "twice", 1)
    await client.deprecate(first.model_hash)
    second = await client.publish(IMPORTED, "twice", 2)
    found = {each.manifest.version: each.status for each in await client.versions("twice")}
    assert found == {1: "deprecated", 2: "active"}
    assert [party.address for party in await client.parties(second.manifest)] == [
        party.address for party in await client.parties(first.manifest)
    ]


async def test_a_file_is_verified_as_far_as_its_owner_can(net: Network) -> None:
    client = net.client()
    package = await client.package(IMPORTED, "shown", 1, keep_openings=True)
    await client.publish(package, "shown", 1)
    found = await client.verify_model("shown", Evidence(IMPORTED.graph))
    assert (len(found.steps), found.weights_shown) == (2, False)
    found = await client.verify_model("shown", Evidence(IMPORTED.graph, IMPORTED.weights, package.openings))
    assert (len(found.steps), found.weights_shown) == (4, True)
    found = await client.verify_model("shown", Evidence(IMPORTED.graph, None, package.openings))
    assert (len(found.steps), found.weights_shown) == (3, False)
    node = replace(IMPORTED.graph.nodes[0], name="another")
    with pytest.raises(CorruptModel, match="not the one"):
        await client.verify_model("shown", Evidence(replace(IMPORTED.graph, nodes=(node, *IMPORTED.graph.nodes[1:]))))
    with pytest.raises(ModelNotFound, match="version 2"):
        await client.verify_model("shown", Evidence(IMPORTED.graph), 2)


async def test_other_weights_and_other_openings_are_noticed(net: Network) -> None:
    client = net.client()
    package = await client.package(IMPORTED, "shown", 1, keep_openings=True)
    members = [party.address for party in (await client.core.facts.network()).parties]
    name = next(iter(IMPORTED.weights))
    changed = {**IMPORTED.weights, name: IMPORTED.weights[name] + 2.0**-16}
    with pytest.raises(ModelShareMismatch, match=f"{name!r}"):
        check_openings(package.manifest, Evidence(IMPORTED.graph, changed, package.openings), members)
    for openings in (package.openings[:1], package.openings[::-1], (bytes(40),) * len(members)):
        with pytest.raises(ModelShareMismatch):
            check_openings(package.manifest, Evidence(IMPORTED.graph, IMPORTED.weights, openings), members)


async def test_a_version_that_the_chain_does_not_know(net: Network) -> None:
    client = net.client()
    published = await client.publish(IMPORTED, "gone", 1)
    record = net.chain.models.pop(published.model_hash)
    (found,) = await client.versions("gone")
    assert (found.status, found.record) == ("unknown", None)
    with pytest.raises(ModelNotFound):
        await client.verify_model("gone", Evidence(IMPORTED.graph), 1)
    net.chain.models[published.model_hash] = replace(record, version=7, status=ModelStatus.ACTIVE)
    with pytest.raises(InvalidRequest, match="another version"):
        await client.verify_model("gone", Evidence(IMPORTED.graph))


async def test_public_weights_are_verified_without_openings(net: Network) -> None:
    client = net.client()
    published = await client.publish(IMPORTED, "known", 1, public_weights=["*"])
    assert len(published.manifest.share_commitments) == len((await client.core.facts.network()).parties)
    found = await client.verify_model("known", Evidence(IMPORTED.graph, IMPORTED.weights))
    assert (len(found.steps), found.weights_shown) == (3, True)
    assert found.version.graph.public_weights == tuple(IMPORTED.weights)
    name = next(iter(IMPORTED.weights))
    changed = {**IMPORTED.weights, name: IMPORTED.weights[name] + 2.0**-16}
    with pytest.raises(ModelShareMismatch, match="public weights"):
        await client.verify_model("known", Evidence(IMPORTED.graph, changed))
    with pytest.raises(CorruptModel, match="not the one"):
        # A graph as parties store it says itself which weights are public.
        await client.verify_model("known", Evidence(IMPORTED.graph))
    assert not (await client.verify_model("known", Evidence(found.version.graph))).weights_shown


async def test_some_weights_public_and_the_openings_of_the_others(net: Network) -> None:
    client = net.client()
    name, secret = "known", "secret"
    nodes = (Node("first", "Add", ("x", name), ("z",)), Node("second", "Add", ("z", secret), ("y",)))
    specs = (TensorSpec(name, (3,)), TensorSpec(secret, (3,)))
    graph = replace(IMPORTED.graph, weights=specs, nodes=nodes)
    mixed = ImportedModel(graph, {name: BIAS, secret: 2 * BIAS})
    options = {"public_weights": [name], "keep_openings": True}
    package = await client.package(mixed, "mixed", 1, **options)
    await client.publish(package, "mixed", 1, public_weights=[name])
    with pytest.raises(InvalidRequest, match="public weights"):
        await client.publish(package, "mixed", 1, public_weights=[secret])
    found = await client.verify_model("mixed", Evidence(graph, mixed.weights))
    assert (len(found.steps), found.weights_shown) == (3, False)
    found = await client.verify_model("mixed", Evidence(graph, mixed.weights, package.openings))
    assert (len(found.steps), found.weights_shown) == (5, True)
    changed = {**mixed.weights, secret: mixed.weights[secret] + 2.0**-16}
    with pytest.raises(ModelShareMismatch, match=f"{secret!r}"):
        await client.verify_model("mixed", Evidence(graph, changed, package.openings))
