"""Publishing a model: relay each sealed share to its party and collect the parties' word that they hold it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.coordinator.parties import PartyDoor, on_all
from mpc_infer.encoding import same_digest
from mpc_infer.errors import (
    BadSignature,
    InvalidRequest,
    ModelNotFound,
    MpcInferError,
    NotPermitted,
    PartySetMismatch,
)
from mpc_infer.evidence.eip712 import Domain, ModelHolding, ModelPublication, check_signer
from mpc_infer.graph.ir import Graph
from mpc_infer.ids import Address, ModelHash, PartySetId
from mpc_infer.model.manifest import Manifest
from mpc_infer.rpc.messages import SIGNATURE_BYTES, signature_from, signature_to
from mpc_infer.store import CoordinatorStore, ModelListing
from mpc_infer.v1 import common_pb2, coordinator_pb2, party_pb2

INSTALL_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Publisher:
    """Relays models to the parties of one set, and tells of every new one."""

    ledger: Ledger
    parties: Sequence[PartyDoor]
    domain: Domain
    party_set: PartySetId
    published: Callable[[ModelHash], None] = lambda _: None

    async def publish(
        self, message: coordinator_pb2.PublishModelRequest, caller: Address
    ) -> coordinator_pb2.PublishModelResponse:
        """Install a model at every party.

        1. the manifest is well formed, for this party set, names the caller as owner, and the graph and the public
           weights are its;
        2. the owner signed the publication;
        3. InstallModel at every party; each checks all of this itself, and opens its share;
        4. every party's holding is signed by it;
        5. the model is listed.
        Repeated with the same manifest it returns what was stored.

        Raises:
            CorruptModel, ModelShareMismatch, InvalidRequest: a step fails.
            PartySetMismatch, NotPermitted, BadSignature: likewise.
            MpcInferError: a party refuses, or cannot be reached.
        """
        manifest = self._checked(message, caller)
        known = await self.ledger.do(lambda store: _holdings(store, manifest.hash))
        if known is None:
            known = await self._install(message, manifest)
            listing = ModelListing(
                manifest.hash, manifest.name, manifest.version, message.manifest, message.graph, b"".join(known)
            )
            await self.ledger.do(lambda store: store.put_model(listing))
            self.published(manifest.hash)
        return coordinator_pb2.PublishModelResponse(model_hash=manifest.hash, holdings=self._signed(known))

    def _checked(self, message: coordinator_pb2.PublishModelRequest, caller: Address) -> Manifest:
        manifest = Manifest.from_bytes(message.manifest)
        if manifest.party_set_id != self.party_set or len(manifest.share_commitments) != len(self.parties):
            raise PartySetMismatch("the manifest is for another party set", remedy="package the model for this one")
        if manifest.owner != caller:
            raise NotPermitted("the manifest names another owner", remedy="connect with the owner's certificate")
        if not same_digest(Graph.from_bytes(message.graph).digest, manifest.graph_digest):
            raise InvalidRequest("the graph is not the one in the manifest")
        manifest.check_public(message.public_weights)
        if len(message.sealed_shares) != len(self.parties):
            raise InvalidRequest(f"{len(message.sealed_shares)} sealed shares for {len(self.parties)} parties")
        signature = message.owner_signature
        check_signer(ModelPublication(manifest.hash).digest(self.domain), signature.signature, manifest.owner)
        return manifest

    async def _install(self, message: coordinator_pb2.PublishModelRequest, manifest: Manifest) -> list[bytes]:
        answers = await on_all(self.parties, lambda party: self._install_at(party, message))
        digest = ModelHolding(manifest.hash, self.party_set, manifest.owner).digest(self.domain)
        for party, answer in zip(self.parties, answers, strict=True):
            _check_holding(party, answer.holding, digest)
        return [answer.holding.signature for answer in answers]

    async def _install_at(
        self, party: PartyDoor, message: coordinator_pb2.PublishModelRequest
    ) -> party_pb2.InstallModelResponse:
        request = party_pb2.InstallModelRequest(
            manifest=message.manifest,
            graph=message.graph,
            sealed_share=message.sealed_shares[party.index],
            owner_signature=message.owner_signature,
            public_weights=message.public_weights,
        )
        try:
            answer: party_pb2.InstallModelResponse = await party.call("InstallModel", request, INSTALL_TIMEOUT_S)
        except MpcInferError as error:
            # Who refused: the owner sealed one share for each party, and must know which.
            error.party = party.index if error.party is None else error.party
            raise
        return answer

    def _signed(self, signatures: Sequence[bytes]) -> list[common_pb2.Signature]:
        return [
            signature_to(party.address, signature) for party, signature in zip(self.parties, signatures, strict=True)
        ]


def _holdings(store: CoordinatorStore, model_hash: ModelHash) -> list[bytes] | None:
    try:
        joined = store.model(model_hash).holdings
    except ModelNotFound:
        return None
    return [joined[start : start + SIGNATURE_BYTES] for start in range(0, len(joined), SIGNATURE_BYTES)]


def _check_holding(party: PartyDoor, holding: common_pb2.Signature, digest: bytes) -> None:
    signer, signature = signature_from(holding)
    if signer != party.address:
        raise BadSignature(f"party {party.index} signed its holding in another name", party=party.index)
    check_signer(digest, signature, party.address)
