"""Installing models, and what happens when the database was changed behind the party's back."""

import dataclasses
import sqlite3

import pytest

from mpc_infer import errors
from mpc_infer.evidence.eip712 import ModelHolding, ModelPublication, check_signer, sign
from mpc_infer.identity.signer import Signer
from mpc_infer.party.calls import OwnerSignature
from mpc_infer.sharing.commitment import join_opening
from mpc_infer.sharing.contexts import sealed_model_context
from mpc_infer.sharing.sealing import seal
from mpc_infer.store import StoredModel
from mpc_infer.store.cipher import Cipher


async def test_a_party_signs_that_it_holds_a_model_and_does_so_again(party, world):
    for _ in range(2):
        holding, signature = await party.party.install(world.install_call(0))
        assert holding == ModelHolding(world.model_hash, world.package.manifest.party_set_id, world.owner.address)
        check_signer(holding.digest(world.registry.model_domain), signature, world.addresses[0])


async def test_a_publication_by_somebody_else_is_refused(party, world):
    stranger = Signer.generate()
    signature = sign(ModelPublication(world.model_hash), world.registry.model_domain, stranger)
    for signer in (stranger.address, world.owner.address):
        call = dataclasses.replace(world.install_call(0), owner_signature=OwnerSignature(signer, signature))
        with pytest.raises(errors.BadSignature):
            await party.party.install(call)


async def test_a_manifest_that_is_not_canonical_is_refused(party, world):
    call = world.install_call(0)
    with pytest.raises(errors.CorruptModel):
        await party.party.install(dataclasses.replace(call, manifest=call.manifest + b" "))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"party_set": "00" * 32}, errors.PartySetMismatch),
        ({"share_commitments": (bytes(32),) * 3}, errors.PartySetMismatch),
        ({"frac_bits": 12}, errors.CorruptModel),
        ({"share_commitments": (bytes(32),) * 2}, errors.SealingFailed),
        ({"version": 2}, errors.SealingFailed),
    ],
)
async def test_another_manifest_with_a_valid_signature_is_refused(party, world, change, error):
    manifest = dataclasses.replace(world.package.manifest, **change)
    signature = sign(ModelPublication(manifest.hash), world.registry.model_domain, world.owner)
    call = dataclasses.replace(
        world.install_call(0),
        manifest=manifest.to_bytes(),
        owner_signature=OwnerSignature(world.owner.address, signature),
    )
    with pytest.raises(error):
        await party.party.install(call)


async def test_another_graph_is_refused(party, world):
    graph = world.package.graph
    renamed = dataclasses.replace(graph, nodes=(dataclasses.replace(graph.nodes[0], name="else"), *graph.nodes[1:]))
    with pytest.raises(errors.CorruptModel, match="graph"):
        await party.party.install(dataclasses.replace(world.install_call(0), graph=renamed.to_bytes()))


async def test_another_partys_share_is_refused(party, world):
    call = dataclasses.replace(world.install_call(0), sealed_share=world.package.sealed_shares[1])
    with pytest.raises(errors.SealingFailed):
        await party.party.install(call)


async def test_a_share_that_does_not_open_its_commitment_is_refused(party, world):
    keys = world.keystores[0].sealing_keys
    context = sealed_model_context(world.model_hash, world.addresses[0])
    weights = party.shelf.open(world.model_hash).weights
    sealed = seal(join_opening(bytes(32), weights), keys.public(), context)
    with pytest.raises(errors.ModelShareMismatch):
        await party.party.install(dataclasses.replace(world.install_call(0), sealed_share=sealed))


def change(world, column, value):
    with sqlite3.connect(world.directory / "party0.sqlite") as database:
        database.execute(f"UPDATE models SET {column} = ?", (value,))


async def test_a_share_swapped_for_another_valid_ciphertext_is_noticed(party, world):
    stored = party.store.model(world.model_hash)
    tampered = bytearray(stored.share)
    tampered[-1] ^= 1
    cipher = Cipher(world.keystores[0].storage_key)
    change(world, "share", cipher.encrypt(bytes(tampered), "models.share", world.model_hash))
    with pytest.raises(errors.ModelShareMismatch):
        party.shelf.open(world.model_hash)


async def test_a_share_whose_ciphertext_was_changed_is_noticed(party, world):
    change(world, "share", bytes(200))
    with pytest.raises(errors.StoreError, match="changed"):
        party.shelf.open(world.model_hash)


@pytest.mark.parametrize("column", ["manifest", "graph"])
async def test_a_changed_manifest_or_graph_is_noticed(party, world, column):
    stored: StoredModel = party.store.model(world.model_hash)
    for value in (getattr(stored, column) + b" ", b"{}", b""):
        change(world, column, value)
        with pytest.raises(errors.ModelShareMismatch):
            party.shelf.open(world.model_hash)


async def test_the_share_is_not_in_the_database_in_the_clear(party, world):
    weights = party.shelf.open(world.model_hash).weights
    party.store.close()
    for file in world.directory.glob("party0.sqlite*"):
        assert weights[40:72] not in file.read_bytes()


@pytest.fixture
def open_world(world):
    """The same network, its model's matrix public."""
    world.package = world.packaged(public_weights=["W"])
    world.model_hash = world.package.manifest.hash
    return world


async def test_public_weights_are_checked_before_a_model_is_held(party, open_world):
    call = open_world.install_call(0)
    assert open_world.package.graph.public_weights
    changed = bytearray(call.public_weights)
    changed[-1] ^= 1
    for data in (bytes(changed), b"", call.public_weights + b"\0"):
        with pytest.raises(errors.ModelShareMismatch, match="public weights"):
            await party.party.install(dataclasses.replace(call, public_weights=data))
    with pytest.raises(errors.ModelNotFound):
        party.shelf.open(open_world.model_hash)
    await party.party.install(call)
    assert party.shelf.open(open_world.model_hash).public_weights == call.public_weights


async def test_public_weights_for_a_model_without_any_are_refused(party, world):
    with pytest.raises(errors.ModelShareMismatch, match="public weights"):
        await party.party.install(dataclasses.replace(world.install_call(0), public_weights=b"MPT1" + bytes(4)))


async def test_public_weights_that_were_changed_in_the_database_are_noticed(party, open_world):
    await party.party.install(open_world.install_call(0))
    change(open_world, "public_weights", b"MPT1" + bytes(4))
    with pytest.raises(errors.ModelShareMismatch, match="public weights"):
        party.shelf.open(open_world.model_hash)
