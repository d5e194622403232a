"""Splitting a model's weights into sealed shares, one per party. Runs at the model owner's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import ModelRefused, NotFinite, OutOfRange
from mpc_infer.graph.input_ranges import Declared
from mpc_infer.graph.ir import Graph
from mpc_infer.graph.numerics import ANALYSIS, choose
from mpc_infer.graph.onnx_import import ImportedModel
from mpc_infer.graph.public import with_public
from mpc_infer.ids import Address, PartySetId
from mpc_infer.model.manifest import MAX_MANIFEST_BYTES, Manifest, weights_digest
from mpc_infer.sharing.commitment import fresh_salt, join_opening, model_context, share_commitment
from mpc_infer.sharing.contexts import sealed_model_context
from mpc_infer.sharing.fixed import FRAC_BITS, Ring, encode
from mpc_infer.sharing.sealing import Sealed, SealingPublicKey, seal
from mpc_infer.sharing.shares import split
from mpc_infer.sharing.tensors import encode_tensors


@dataclass(frozen=True)
class PartyKeys:
    """One party as a model owner sees it: its identity and the key to seal to, both from the registry."""

    address: Address
    sealing_key: SealingPublicKey


@dataclass(frozen=True)
class ModelPackage:
    """What is published: the manifest, the graph, one sealed share per party in the party set's order, public weights.

    Attributes:
        public_weights: canonical tensor bytes, for everybody; empty where all weights are secret.
        openings: secret, and empty unless asked for: for every party what its sealed share holds (salt, then tensor
            bytes). Together they are the secret weights; with them the owner can show later what was published.
    """

    manifest: Manifest
    graph: Graph
    sealed_shares: tuple[Sealed, ...]
    public_weights: bytes = field(default=b"", repr=False)
    openings: tuple[bytes, ...] = field(default=(), repr=False)


def package_model(
    imported: ImportedModel,
    *,
    name: str,
    version: int,
    owner: Address,
    party_set: PartySetId,
    parties: Sequence[PartyKeys],
    declared: Declared | None = None,
    public_weights: Sequence[str] = (),
    keep_openings: bool = False,
) -> ModelPackage:
    """Encode, split, commit, and seal the weights; public ones are only encoded.

    1. Choose the fractional bits, 16 or as many as hold, such that for inputs inside the declared ranges no value
       leaves the range of fixed point. Without ranges take the largest power of two, at most 2^15, as a limit.
    2. Encode every weight.
    3. Split each secret weight into uniform shares; commit to each party's shares under a fresh salt.
    4. The manifest lists the commitments, and the digest of the public weights; its digest is the model hash.
    5. Seal salt and shares to each party, bound to the model hash and the party.

    Two packages of the same weights differ: shares, salts and hash are fresh each time. Where all weights are public,
    a share holds no tensor, and its commitment only says that a party was given this version.

    Args:
        public_weights: names, or patterns of names, of weights that everybody may know (`graph.public.with_public`).

    Raises:
        ModelRefused: a weight, or what a node may compute, does not fit the fixed-point range; the message names it.
        CorruptModel: the name, version, owner or number of parties is not allowed.
        InvalidInput: the calibration rows cannot be used, or a public weight does not exist.
    """
    graph = with_public(imported.graph, public_weights)
    # Weights that fit no fixed point are named as such, and not by the first node that multiplies with them.
    for weight, values in imported.weights.items():
        _encode(weight, values, FRAC_BITS)
    numerics = choose(graph, imported.weights, declared)
    encoded = {weight: _encode(weight, values, numerics.frac_bits) for weight, values in imported.weights.items()}
    known = {weight: encoded.pop(weight) for weight in graph.public_weights}
    public = encode_tensors(known) if known else b""
    shares = _split_weights(encoded, len(parties))
    salts = [fresh_salt() for _ in parties]
    contexts = [model_context(graph.digest, owner, name, version, party.address) for party in parties]
    manifest = Manifest(
        name=name,
        version=version,
        owner=owner,
        party_set=party_set.hex(),
        graph_digest=graph.digest,
        share_commitments=tuple(map(share_commitment, salts, contexts, shares)),
        public_digest=weights_digest(public) if public else None,
        frac_bits=numerics.frac_bits,
        input_ranges=tuple(numerics.inputs[spec.name] for spec in graph.inputs),
        calibration=numerics.calibration,
        analysis=ANALYSIS,
        error_bounds=numerics.outputs,
        value_bits=numerics.value_bits,
        inputs=graph.inputs,
        outputs=graph.outputs,
    )
    _check_size(manifest)
    sealed = []
    for party, salt, share in zip(parties, salts, shares, strict=True):
        sealed.append(_seal_share(manifest, party, join_opening(salt, share)))
    openings = tuple(map(join_opening, salts, shares)) if keep_openings else ()
    return ModelPackage(manifest, graph, tuple(sealed), public, openings)


def _check_size(manifest: Manifest) -> None:
    manifest.check()
    if (size := len(manifest.to_bytes())) > MAX_MANIFEST_BYTES:
        raise ModelRefused(
            f"the manifest has {size} bytes, {MAX_MANIFEST_BYTES} are allowed",
            remedy="declare one range for all elements of an input",
        )


def _seal_share(manifest: Manifest, party: PartyKeys, opening: bytes) -> Sealed:
    return seal(opening, party.sealing_key, sealed_model_context(manifest.hash, party.address))


def _split_weights(weights: Mapping[str, Ring], parties: int) -> list[bytes]:
    """Canonical bytes of each party's shares of these weights."""
    if parties < 2:
        raise ModelRefused(f"a model is shared among at least two parties, not {parties}")
    split_weights = {name: split(values, parties) for name, values in weights.items()}
    return [encode_tensors({name: pieces[party] for name, pieces in split_weights.items()}) for party in range(parties)]


def _encode(name: str, values: NDArray[np.float64], frac_bits: int) -> Ring:
    try:
        return encode(values, frac_bits=frac_bits)
    except (NotFinite, OutOfRange) as error:
        raise ModelRefused(
            f"weight {name!r} does not fit fixed point: {error.message}", remedy="rescale the model"
        ) from error
