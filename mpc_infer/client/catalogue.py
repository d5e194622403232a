"""Model versions as coordinator and chain have them, and whether a file is what was published."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mpc_infer.chain.records import ModelRecord, ModelStatus, PartyRecord
from mpc_infer.chain.registry import Registry
from mpc_infer.client.core import Core
from mpc_infer.client.facts import ModelFacts, check_record
from mpc_infer.errors import ModelNotFound, ModelShareMismatch
from mpc_infer.graph.ir import Graph
from mpc_infer.graph.public import marked
from mpc_infer.ids import Address, ModelHash
from mpc_infer.model.manifest import Manifest
from mpc_infer.model.shares import open_model_share
from mpc_infer.sharing.fixed import Ring, encode
from mpc_infer.sharing.shares import combine
from mpc_infer.sharing.tensors import encode_tensors

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class ModelVersion:
    """A version that the coordinator lists.

    Attributes:
        manifest, graph: consistent in themselves.
        record: what the chain has under the manifest's hash; None: nothing.
    """

    manifest: Manifest
    graph: Graph
    record: ModelRecord | None

    @property
    def status(self) -> str:
        """Where it stands on the chain, in one word; "unknown": the chain has no such hash."""
        return "unknown" if self.record is None else self.record.status.name.lower()


@dataclass(frozen=True)
class VerifiedModel:
    """What a file was found to belong to.

    Attributes:
        version: it.
        steps: what was checked, in words.
        weights_shown: whether the weights, too, all of them, are those that were published.
    """

    version: ModelVersion
    steps: tuple[str, ...]
    weights_shown: bool


@dataclass(frozen=True)
class Evidence:
    """What an owner has: the graph, the weights where the file holds them, and what the sealed shares hold.

    Attributes:
        openings: secret: for every party salt and tensor bytes (`ModelPackage.openings`); empty: not kept.
    """

    graph: Graph
    weights: Mapping[str, Reals] | None = field(default=None, repr=False)
    openings: Sequence[bytes] = field(default=(), repr=False)


class Catalogue:
    """Reads versions, and compares files with them."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def versions(self, name: str = "") -> tuple[ModelVersion, ...]:
        """All that the coordinator lists, with what the chain says of each."""
        listed = await self._core.facts.summaries(name)
        return await asyncio.to_thread(lambda: tuple(_version(self._core.registry, each) for each in listed))

    async def version(self, name: str, number: int | None = None) -> ModelVersion:
        """One version of a name: the active one, unless a number is given.

        Raises:
            ModelNotFound: there is none.
        """
        for each in await self.versions(name):
            if each.status == "active" if number is None else each.manifest.version == number:
                return each
        what = "active version" if number is None else f"version {number}"
        raise ModelNotFound(
            f"the coordinator lists no {what} of {name!r}", remedy="`mpc-infer model list` shows what there is"
        )

    async def parties(self, manifest: Manifest) -> tuple[PartyRecord, ...]:
        """Who holds the shares, in order, as the chain has them."""
        registry = self._core.registry

        def read() -> tuple[PartyRecord, ...]:
            members = registry.party_set(manifest.party_set_id).members
            return tuple(registry.party(member) for member in members)

        return await asyncio.to_thread(read)

    async def verify(self, name: str, evidence: Evidence, number: int | None = None) -> VerifiedModel:
        """Check that a file is what was published under a name.

        1. The manifest's hash is on the chain, under the manifest's owner, name, version and party set.
        2. The graph is the one that the manifest names, the same weights marked as public.
        3. With the weights: the encodings of the public ones have the manifest's digest.
        4. With the owner's openings: each opens its party's commitment in the manifest, and holds the secret weights.
        5. With both: the openings sum to the encodings of these, and so nothing else was shared.

        Raises:
            ModelNotFound: the coordinator or the chain does not know the version.
            InvalidRequest: the chain has other facts under the hash.
            CorruptModel: the graph is another one.
            ModelShareMismatch: an opening or a weight is another one.
        """
        version = await self.version(name, number)
        manifest = version.manifest
        if version.record is None or version.record.status is ModelStatus.NONE:
            raise ModelNotFound(f"the chain does not know model {manifest.hash.hex()}")
        check_record(manifest, version.record)
        steps = [f"the chain has the manifest's hash, {version.status}, under its owner, name, version and party set"]
        if evidence.weights is not None:
            # A file of a model does not say what its owner made public: the version does, and its hash is on the chain.
            evidence = replace(evidence, graph=marked(evidence.graph, version.graph.public_weights))
        manifest.check_graph(evidence.graph)
        steps.append("the graph is the one that the manifest names")
        if evidence.weights is not None and manifest.public_digest is not None:
            await asyncio.to_thread(check_public_weights, manifest, evidence.graph, evidence.weights)
            steps.append("the file's public weights are those whose digest is in the manifest")
        if evidence.openings:
            members = [party.address for party in await self.parties(manifest)]
            steps += await asyncio.to_thread(check_openings, manifest, evidence, members)
        secret = len(evidence.graph.public_weights) < len(evidence.graph.weights)
        shown = evidence.weights is not None and (bool(evidence.openings) or not secret)
        return VerifiedModel(version, tuple(steps), shown)


def check_public_weights(manifest: Manifest, graph: Graph, weights: Mapping[str, Reals]) -> None:
    """Check that a file's weights, those that the graph marks as public, are the ones of a manifest.

    Args:
        graph: the manifest's.
        weights: reals by name; those that are secret are not looked at.

    Raises:
        ModelShareMismatch: they are others.
    """
    known = {name: encode(weights[name], frac_bits=manifest.frac_bits) for name in graph.public_weights}
    manifest.check_public(encode_tensors(known) if known else b"")


def check_openings(manifest: Manifest, evidence: Evidence, members: Sequence[Address]) -> list[str]:
    """Steps 4 and 5 of :meth:`Catalogue.verify`."""
    if len(evidence.openings) != manifest.parties:
        raise ModelShareMismatch(f"there are {len(evidence.openings)} openings for {manifest.parties} parties")
    opened = [
        open_model_share(opening, manifest, evidence.graph, index, address)
        for index, (opening, address) in enumerate(zip(evidence.openings, members, strict=True))
    ]
    steps = ["every opening opens its party's commitment, and holds the graph's secret weights"]
    if evidence.weights is not None:
        known = evidence.graph.public_weights
        _check_weights(
            manifest, {name: evidence.weights[name] for name in evidence.weights if name not in known}, opened
        )
        steps.append(f"they sum to the file's secret weights with {manifest.frac_bits} fractional bits")
    return steps


def _check_weights(manifest: Manifest, weights: Mapping[str, Reals], opened: Sequence[Mapping[str, Ring]]) -> None:
    for name, values in weights.items():
        total = combine([share[name] for share in opened])
        if not np.array_equal(total, encode(values, frac_bits=manifest.frac_bits)):
            raise ModelShareMismatch(
                f"weight {name!r} of the file is not what was shared",
                remedy="give the file that this version was published from",
            )


def _version(registry: Registry, listed: ModelFacts) -> ModelVersion:
    record: ModelRecord | None
    try:
        record = registry.model(ModelHash(listed.manifest.hash))
    except ModelNotFound:
        record = None
    return ModelVersion(listed.manifest, listed.graph, record)
