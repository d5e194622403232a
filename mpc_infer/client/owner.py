"""What the owner of a model does: publish, decide who may use it, retire it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpc_infer.chain.records import ModelStatus, TxResult
from mpc_infer.client.core import Core
from mpc_infer.client.request import signature_message
from mpc_infer.encoding import address_bytes, same_digest, to_address
from mpc_infer.errors import BadSignature, InvalidRequest, ModelNotFound, NotPermitted, PartySetMismatch
from mpc_infer.evidence.eip712 import ModelHolding, ModelPublication, check_signer
from mpc_infer.graph.input_ranges import Declared, in_units, resolved
from mpc_infer.graph.onnx_import import ImportedModel, import_onnx
from mpc_infer.graph.public import with_public
from mpc_infer.ids import Address, ModelHash
from mpc_infer.model.manifest import Manifest
from mpc_infer.model.package import ModelPackage, PartyKeys, package_model
from mpc_infer.rpc.messages import sealed_to
from mpc_infer.v1 import coordinator_pb2

PUBLISH_TIMEOUT_S = 120.0
Source = ImportedModel | ModelPackage | Path | str | bytes


@dataclass(frozen=True)
class PublishedModel:
    """A model version that is active on the chain.

    Attributes:
        model_hash: the version's name everywhere.
        txs: the transactions that were sent, by step: propose, stage, activate, public, user:<address>.
        package: manifest, graph and sealed shares. Publishing this very package again continues where it stopped.
    """

    model_hash: ModelHash
    manifest: Manifest
    txs: dict[str, TxResult]
    package: ModelPackage = field(repr=False)


class Owner:
    """An owner's own key signs and pays every transaction here."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def package(
        self,
        source: Source,
        name: str,
        version: int,
        declared: Declared | None = None,
        *,
        public_weights: Sequence[str] = (),
        keep_openings: bool = False,
    ) -> ModelPackage:
        """Split, commit to and seal a model's weights for the parties of the current set.

        Args:
            source: an imported model, or the path or bytes of an ONNX file; a package is returned as it is.
            name: of the model.
            version: from 1, never used before under this name.
            declared: where inputs lie: a limit (strictly between -limit and limit), a range for every input, or rows
                to take ranges from. By default the largest power of two, at most 2^15, for which no value that the
                model computes can leave the range of fixed point.
            public_weights: names of weights that everybody may know, or patterns of names, ``*`` for all: they are sent
                in the clear, and cost less to compute with. All others are secret.
            keep_openings: keep what the sealed shares hold, to show later what was published (`verify`). Secret.

        Raises:
            ModelRefused: the model cannot be deployed; the message names the node or tensor.
        """
        if isinstance(source, ModelPackage):
            made = source.manifest
            known = not public_weights or with_public(source.graph, public_weights) == source.graph
            if (made.name, made.version) != (name, version) or not _declares(source, declared) or not known:
                raise InvalidRequest("the package has another name, version, input ranges or public weights")
            return source
        network = await self._core.facts.network()
        imported = await asyncio.to_thread(_imported, source)
        return await asyncio.to_thread(
            package_model,
            imported,
            name=name,
            version=version,
            owner=self._core.signer.address,
            party_set=network.party_set,
            parties=[PartyKeys(party.address, party.sealing_key) for party in network.parties],
            declared=declared,
            public_weights=public_weights,
            keep_openings=keep_openings,
        )

    async def publish(
        self,
        source: Source,
        name: str,
        version: int,
        *,
        public: bool,
        users: Sequence[Address],
        declared: Declared | None = None,
        public_weights: Sequence[str] = (),
        keep_openings: bool = False,
    ) -> PublishedModel:
        """Bring a model version to the parties and make it the active one.

        1. package the model: shares sealed to each party;
        2. send the sealed shares, and public weights in the clear, through the coordinator; every party signs that it
           holds its share;
        3. propose the version on the chain, which reserves name and version;
        4. stage the version with these signatures;
        5. activate it;
        6. say who may use it.
        Nothing is on the chain before every party holds its share: after a failure up to there the model can be
        published anew. After a later one the same package must be: every packaging draws other shares, and name and
        version belong to these. Steps that the chain shows as done are left out.

        Raises:
            ModelRefused: the model cannot be deployed.
            NotPermitted: the version belongs to somebody else in the registry.
            TransactionFailed: the registry refuses a step.
            MpcInferError: a party refuses, or something cannot be reached.
        """
        package = await self.package(
            source, name, version, declared, public_weights=public_weights, keep_openings=keep_openings
        )
        model_hash, txs = package.manifest.hash, dict[str, TxResult]()
        status = await asyncio.to_thread(self._status, model_hash)
        holdings = await self._install(package)
        if status is ModelStatus.NONE:
            set_id = package.manifest.party_set_id
            txs["propose"] = await self._send(lambda: self._core.writer.propose(model_hash, name, version, set_id))
        if status in (ModelStatus.NONE, ModelStatus.PROPOSED):
            txs["stage"] = await self._send(lambda: self._core.writer.stage(model_hash, holdings))
        if status is not ModelStatus.ACTIVE:
            txs["activate"] = await self._send(lambda: self._core.writer.activate(model_hash))
        if public:
            txs["public"] = await self._send(lambda: self._core.writer.set_public(model_hash, True))
        for user in users:
            txs[f"user:{user}"] = await self.set_user(model_hash, user, True)
        self._core.facts.forget()
        return PublishedModel(model_hash, package.manifest, txs, package)

    async def set_user(self, model_hash: ModelHash, user: Address, allowed: bool) -> TxResult:
        """Say whether an address may use a version."""
        checked = to_address(address_bytes(user))
        return await self._send(lambda: self._core.writer.set_user(model_hash, checked, allowed))

    async def deprecate(self, model_hash: ModelHash) -> TxResult:
        """Retire a version."""
        self._core.facts.forget()
        return await self._send(lambda: self._core.writer.deprecate(model_hash))

    def _status(self, model_hash: ModelHash) -> ModelStatus:
        """Where our version stands. The registry lets nobody but the manifest's owner get further than a proposal."""
        try:
            record = self._core.registry.model(model_hash)
        except ModelNotFound:
            return self._proposed(model_hash)
        if record.owner != self._core.signer.address:
            raise NotPermitted(
                f"model {model_hash.hex()} belongs to {record.owner} in the registry, not to this client",
                remedy="publish with the owner's key, or package the model again under a name of your own",
            )
        return record.status

    def _proposed(self, model_hash: ModelHash) -> ModelStatus:
        try:
            return self._core.registry.proposal(model_hash, self._core.signer.address).status
        except ModelNotFound:
            return ModelStatus.NONE

    async def _send(self, transaction: Callable[[], TxResult]) -> TxResult:
        return await asyncio.to_thread(transaction)

    async def _install(self, package: ModelPackage) -> list[bytes]:
        """Step 2. Returns the parties' holdings, checked."""
        network, model_hash = await self._core.facts.network(), package.manifest.hash
        if package.manifest.party_set_id != network.party_set:
            raise PartySetMismatch("the package is for another party set", remedy="package the model again")
        domain = self._core.registry.model_domain
        message = coordinator_pb2.PublishModelRequest(
            manifest=package.manifest.to_bytes(),
            graph=package.graph.to_bytes(),
            sealed_shares=[sealed_to(sealed) for sealed in package.sealed_shares],
            owner_signature=signature_message(self._core.signer, ModelPublication(model_hash).digest(domain)),
            public_weights=package.public_weights,
        )
        answer = await self._core.door.call("PublishModel", message, time.monotonic() + PUBLISH_TIMEOUT_S)
        holding = ModelHolding(model_hash, network.party_set, package.manifest.owner).digest(domain)
        return _checked_holdings(answer, model_hash, holding, network.members)


def one_of(input_limit: int | None, ranges: Declared | None) -> Declared | None:
    """What is declared, one way or the other.

    Raises:
        InvalidRequest: both are.
    """
    if input_limit is not None and ranges is not None:
        raise InvalidRequest("an input limit and ranges are both given", remedy="give one of them")
    return ranges if input_limit is None else input_limit


def _declares(package: ModelPackage, declared: Declared | None) -> bool:
    """Whether a package was made with these ranges."""
    if declared is None:
        return True
    ranges, _ = resolved(package.graph, declared)
    units = in_units(package.graph, ranges, package.manifest.frac_bits)
    return tuple(units[spec.name] for spec in package.graph.inputs) == package.manifest.input_ranges


def _checked_holdings(
    answer: coordinator_pb2.PublishModelResponse, model_hash: ModelHash, digest: bytes, members: Sequence[Address]
) -> list[bytes]:
    if not same_digest(answer.model_hash, model_hash) or len(answer.holdings) != len(members):
        raise InvalidRequest("the coordinator answered for another model, or not for every party")
    for index, (holding, member) in enumerate(zip(answer.holdings, members, strict=True)):
        try:
            check_signer(digest, holding.signature, member)
        except BadSignature as error:
            raise BadSignature(f"party {index} did not sign its holding: {error.message}", party=index) from error
    return [holding.signature for holding in answer.holdings]


def _imported(source: ImportedModel | Path | str | bytes) -> ImportedModel:
    if isinstance(source, ImportedModel):
        return source
    return import_onnx(Path(source) if isinstance(source, str) else source)
