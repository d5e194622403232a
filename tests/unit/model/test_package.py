"""From weights to sealed shares, and a party opening its own."""

from dataclasses import replace

import numpy as np
import pytest

from mpc_infer.errors import CorruptModel, InvalidInput, ModelRefused, ModelShareMismatch, SealingFailed
from mpc_infer.graph import ImportedModel
from mpc_infer.graph.input_ranges import Calibration, CalibrationRows
from mpc_infer.model.manifest import Manifest, weights_digest
from mpc_infer.model.package import ModelPackage
from mpc_infer.model.shares import open_model_share, open_public_weights
from mpc_infer.sharing import (
    Ring,
    combine,
    decode,
    encode,
    encode_tensors,
    join_opening,
    model_context,
    sealed_model_context,
    share_commitment,
)
from tests.unit.model.models import GRAPH, OWNER, Parties, imported, package


def unseal(parties: Parties, made: ModelPackage, index: int) -> bytes:
    context = sealed_model_context(made.manifest.hash, parties.addresses[index])
    return parties.keys[index].unseal(made.sealed_shares[index], context)


def open_share(parties: Parties, made: ModelPackage, index: int) -> dict[str, Ring]:
    return open_model_share(unseal(parties, made, index), made.manifest, made.graph, index, parties.addresses[index])


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_shares_sum_to_the_weights(count: int) -> None:
    parties = Parties(count)
    made = package(parties)
    shares = [open_share(parties, made, index) for index in range(count)]
    for name, weight in imported().weights.items():
        total = decode(combine([share[name] for share in shares]))
        assert np.abs(total - weight).max() <= 2**-17


def test_the_manifest_says_what_was_packaged() -> None:
    made = package(Parties(3), version=9)
    manifest = Manifest.from_bytes(made.manifest.to_bytes())
    assert (manifest.name, manifest.version, manifest.owner, manifest.parties) == ("digits", 9, OWNER, 3)
    assert (manifest.inputs, manifest.outputs, manifest.graph_digest) == (GRAPH.inputs, GRAPH.outputs, GRAPH.digest)
    assert (manifest.frac_bits, manifest.input_limit) == (16, 2**12)


def test_two_packages_share_nothing() -> None:
    parties = Parties(2)
    first, second = package(parties), package(parties)
    assert first.manifest.hash != second.manifest.hash
    assert not set(first.manifest.share_commitments) & set(second.manifest.share_commitments)
    assert not np.array_equal(open_share(parties, first, 0)["w"], open_share(parties, second, 0)["w"])


def test_a_share_opens_only_at_its_party_and_under_its_manifest() -> None:
    parties = Parties(2)
    made, other = package(parties), package(parties, version=2)
    with pytest.raises(SealingFailed):
        parties.keys[1].unseal(made.sealed_shares[0], sealed_model_context(made.manifest.hash, parties.addresses[0]))
    with pytest.raises(SealingFailed):
        parties.keys[0].unseal(made.sealed_shares[0], sealed_model_context(other.manifest.hash, parties.addresses[0]))


def test_a_share_of_another_place_does_not_open_the_commitment() -> None:
    parties = Parties(2)
    made = package(parties)
    plaintext = unseal(parties, made, 0)
    first, second = parties.addresses
    for manifest, index, address in [
        (made.manifest, 1, first),
        (made.manifest, 0, second),
        (made.manifest, 2, first),
        (made.manifest, -1, first),
        (replace(made.manifest, version=2), 0, first),
        (replace(made.manifest, name="other"), 0, first),
        (replace(made.manifest, owner=second), 0, first),
    ]:
        with pytest.raises(ModelShareMismatch):
            open_model_share(plaintext, manifest, GRAPH, index, address)


@pytest.mark.parametrize("place", [0, 31, 32, 40, -1])
def test_a_tampered_share(place: int) -> None:
    parties = Parties(2)
    made = package(parties)
    plaintext = bytearray(unseal(parties, made, 0))
    plaintext[place] ^= 1
    with pytest.raises(ModelShareMismatch):
        open_model_share(bytes(plaintext), made.manifest, GRAPH, 0, parties.addresses[0])


@pytest.mark.parametrize("length", [0, 31, 32, 100])
def test_a_truncated_share(length: int) -> None:
    parties = Parties(2)
    made = package(parties)
    with pytest.raises((ModelShareMismatch, SealingFailed)):
        open_model_share(unseal(parties, made, 0)[:length], made.manifest, GRAPH, 0, parties.addresses[0])


@pytest.mark.parametrize(
    "share",
    [
        b"no tensors",
        encode_tensors({"w": np.zeros((8, 4), np.uint64)}),
        encode_tensors({"w": np.zeros((4, 8), np.uint64), "b": np.zeros(4, np.uint64)}),
        encode_tensors({name: np.zeros((4,), np.uint64) for name in ("w", "b", "c")}),
    ],
)
def test_an_owner_that_commits_to_something_else(share: bytes) -> None:
    """The commitment holds, and what it opens to is not a share of this graph."""
    parties = Parties(2)
    manifest, address, salt = package(parties).manifest, parties.addresses[0], bytes(32)
    context = model_context(manifest.graph_digest, manifest.owner, manifest.name, manifest.version, address)
    commitments = (share_commitment(salt, context, share), manifest.share_commitments[1])
    with pytest.raises(ModelShareMismatch):
        open_model_share(join_opening(salt, share), replace(manifest, share_commitments=commitments), GRAPH, 0, address)


def test_another_graph() -> None:
    parties = Parties(2)
    made = package(parties)
    other = replace(GRAPH, nodes=(GRAPH.nodes[0], replace(GRAPH.nodes[1], op="Sigmoid")))
    with pytest.raises(CorruptModel):
        open_model_share(unseal(parties, made, 0), made.manifest, other, 0, parties.addresses[0])


@pytest.mark.parametrize("value", [2.0**15, -(2.0**15), 1e300, np.nan, np.inf])
def test_a_weight_that_does_not_fit_is_named(value: float) -> None:
    weights = {**imported().weights, "b": np.array([0.0, value, 0.0, 0.0])}
    with pytest.raises(ModelRefused, match="'b'"):
        package(Parties(2), ImportedModel(GRAPH, weights))


def wide(weight: float) -> ImportedModel:
    return ImportedModel(GRAPH, {"w": np.full((8, 4), weight), "b": np.zeros(4)})


def test_the_input_limit_is_the_owners_or_the_widest_that_fits() -> None:
    assert package(Parties(2), input_limit=50).manifest.input_limit == 50
    # What is compared stays below 2^16: 8 * 16 * 300 does, the double does not.
    assert package(Parties(2), wide(300.0)).manifest.input_limit == 16


def test_where_16_fractional_bits_are_too_many_the_most_that_hold_are_taken() -> None:
    parties = Parties(2)
    made = package(parties, wide(300.0), input_limit=100)
    # What is compared stays below 2^32 units: 8 * 100 * 300 needs 18 bits before the point.
    assert (made.manifest.frac_bits, made.manifest.input_limit) == (14, 100)
    shares = [open_share(parties, made, index)["w"] for index in range(2)]
    assert (decode(combine(shares), frac_bits=14) == 300.0).all()


def test_a_model_that_may_leave_the_range_is_refused_with_the_node() -> None:
    with pytest.raises(ModelRefused, match="'relu'"):
        package(Parties(2), wide(300.0), input_limit=2**13)


def test_openings_are_kept_only_where_that_is_asked() -> None:
    parties = Parties(2)
    assert package(parties).openings == ()
    made = package(parties, keep_openings=True)
    assert made.openings == tuple(unseal(parties, made, index) for index in range(2))
    assert made.openings[0].hex() not in repr(made)


def test_calibration_is_in_the_manifest() -> None:
    rows = np.random.default_rng(1).normal(size=(50, 8))
    manifest = package(Parties(2), declared=CalibrationRows({"x": rows}, 50)).manifest
    assert manifest.calibration == Calibration(50, 50)
    (given,) = manifest.input_ranges
    span = rows.max(axis=0) - rows.min(axis=0)
    np.testing.assert_allclose(np.array(given.low) / 2**16, rows.min(axis=0) - span / 2, atol=2**-16)
    np.testing.assert_allclose(np.array(given.high) / 2**16, rows.max(axis=0) + span / 2, atol=2**-16)
    assert manifest.error_bounds[0] is not None
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


@pytest.mark.parametrize("limit", [0, -1, 2**15 + 1])
def test_an_input_limit_that_is_none(limit: int) -> None:
    with pytest.raises(CorruptModel, match=f"input limit.*{limit}"):
        package(Parties(2), input_limit=limit)


def test_one_party_is_no_sharing() -> None:
    with pytest.raises(ModelRefused):
        package(Parties(1))


@pytest.mark.parametrize("names", [("w",), ("b",), ("w", "b"), ("*",)])
def test_public_weights_are_in_the_clear_and_the_others_shared(names: tuple[str, ...]) -> None:
    parties = Parties(3)
    made = package(parties, public_weights=names)
    known = set(("w", "b") if names == ("*",) else names)
    assert set(made.graph.public_weights) == known
    assert made.manifest.graph_digest == made.graph.digest != GRAPH.digest
    public = open_public_weights(made.public_weights, Manifest.from_bytes(made.manifest.to_bytes()), made.graph)
    shares = [open_share(parties, made, index) for index in range(3)]
    assert public.keys() == known
    for name, weight in imported().weights.items():
        value = public[name] if name in known else combine([share[name] for share in shares])
        assert all((name in share) != (name in known) for share in shares)
        assert np.array_equal(value, encode(weight))


def test_a_share_of_a_model_without_secrets_holds_no_tensor() -> None:
    parties = Parties(2)
    made = package(parties, public_weights=["*"])
    opening = unseal(parties, made, 0)
    assert opening[32:] == encode_tensors({})
    assert len(set(made.manifest.share_commitments)) == 2


def test_other_public_weights_are_refused() -> None:
    made, none = package(Parties(2), public_weights=["w"]), package(Parties(2))
    assert (none.manifest.public_digest, none.public_weights) == (None, b"")
    assert open_public_weights(b"", none.manifest, none.graph) == {}
    changed = bytearray(made.public_weights)
    changed[-1] ^= 1
    for manifest, data in [
        (made.manifest, bytes(changed)),
        (made.manifest, b""),
        (made.manifest, package(Parties(2), public_weights=["b"]).public_weights),
        (none.manifest, made.public_weights),
    ]:
        with pytest.raises(ModelShareMismatch, match="public weights"):
            open_public_weights(data, manifest, made.graph)
    # A digest over what is not the graph's public weights.
    for data in (encode_tensors({}), encode_tensors({"w": np.zeros((4, 8), np.uint64)}), b"MPT1"):
        with pytest.raises(ModelShareMismatch, match="public weights"):
            open_public_weights(data, replace(made.manifest, public_digest=weights_digest(data)), made.graph)


def test_a_digest_of_public_weights_stands_where_the_graph_has_some() -> None:
    made = package(Parties(2), public_weights=["w"])
    with pytest.raises(CorruptModel, match="digest of public weights"):
        replace(made.manifest, public_digest=None).check_graph(made.graph)
    with pytest.raises(CorruptModel, match="digest of public weights"):
        replace(package(Parties(2)).manifest, public_digest=bytes(32)).check_graph(GRAPH)


def test_a_public_weight_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no weight 'v'"):
        package(Parties(2), public_weights=["v"])
