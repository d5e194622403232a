"""Splitting a model's weights into sealed shares, one per party. Runs at the model owner's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import ModelRefused, NotFinite, OutOfRange
from mpc_infer.graph.ir import Graph
from mpc_infer.graph.onnx_import import ImportedModel
from mpc_infer.graph.ranges import check_ranges, widest_input_limit
from mpc_infer.ids import Address, PartySetId
from mpc_infer.model.manifest import Manifest, check_input_limit
from mpc_infer.sharing.commitment import fresh_salt, join_opening, model_context, share_commitment
from mpc_infer.sharing.contexts import sealed_model_context
from mpc_infer.sharing.fixed import FRAC_BITS, LIMIT, Ring, encode
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
    """What is published: the manifest, the graph, and one sealed share per party in the party set's order."""

    manifest: Manifest
    graph: Graph
    sealed_shares: tuple[Sealed, ...]


def package_model(
    imported: ImportedModel,
    *,
    name: str,
    version: int,
    owner: Address,
    party_set: PartySetId,
    parties: Sequence[PartyKeys],
    input_limit: int | None = None,
) -> ModelPackage:
    """Encode, split, commit, and seal the weights.

    1. Encode every weight in fixed point (16 fractional bits).
    2. Check that for inputs below the limit no value leaves the range of fixed point. Without a limit take the largest
       power of two, at most 2^15, for which that holds.
    3. Split each weight into uniform shares; commit to each party's shares under a fresh salt.
    4. The manifest lists the commitments; its digest is the model hash.
    5. Seal salt and shares to each party, bound to the model hash and the party.

    Two packages of the same weights differ: shares, salts and hash are fresh each time.

    Raises:
        ModelRefused: a weight, or what a node may compute, does not fit the fixed-point range; the message names it.
        CorruptModel: the name, version, owner, input limit or number of parties is not allowed.
    """
    graph = imported.graph
    encoded = {weight: _encode(weight, values) for weight, values in imported.weights.items()}
    limit = _input_limit(imported, input_limit)
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
        frac_bits=FRAC_BITS,
        input_limit=limit,
        inputs=graph.inputs,
        outputs=graph.outputs,
    )
    manifest.check()
    openings = map(join_opening, salts, shares)
    sealed = (_seal_share(manifest, party, opening) for party, opening in zip(parties, openings, strict=True))
    return ModelPackage(manifest, graph, tuple(sealed))


def _seal_share(manifest: Manifest, party: PartyKeys, opening: bytes) -> Sealed:
    return seal(opening, party.sealing_key, sealed_model_context(manifest.hash, party.address))


def _input_limit(imported: ImportedModel, wanted: int | None) -> int:
    """The limit, with every value in range below it."""
    if wanted is None:
        return widest_input_limit(imported.graph, imported.weights, LIMIT, FRAC_BITS)
    check_ranges(imported.graph, imported.weights, check_input_limit(wanted), FRAC_BITS)
    return wanted


def _split_weights(weights: Mapping[str, Ring], parties: int) -> list[bytes]:
    """Canonical bytes of each party's shares of all weights."""
    if parties < 2:
        raise ModelRefused(f"a model is shared among at least two parties, not {parties}")
    split_weights = {name: split(values, parties) for name, values in weights.items()}
    return [encode_tensors({name: pieces[party] for name, pieces in split_weights.items()}) for party in range(parties)]


def _encode(name: str, values: NDArray[np.float64]) -> Ring:
    try:
        return encode(values)
    except (NotFinite, OutOfRange) as error:
        raise ModelRefused(
            f"weight {name!r} does not fit fixed point: {error.message}", remedy="rescale the model"
        ) from error
