"""What a verifier has to know from the registry."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mpc_infer.evidence.eip712 import Domain
from mpc_infer.ids import Address, ModelHash, PartySetId


@dataclass(frozen=True)
class ModelFact:
    """A model version as it stood at a block."""

    active: bool
    party_set: PartySetId


@dataclass(frozen=True)
class AnchorFact:
    """A root that a party set anchored; ``timestamp`` is that of its block, in Unix seconds."""

    size: int
    timestamp: int


class RegistryFacts(Protocol):
    """Where a verifier gets its facts: the chain (``mpc_infer.chain.facts``), or a record that one trusts."""

    @property
    def receipt_domain(self) -> Domain:
        """The domain of the ReceiptAnchor."""

    def model(self, model_hash: ModelHash, block: int) -> ModelFact | None:
        """The model version at a block; None where the registry did not know it."""

    def members(self, party_set: PartySetId) -> tuple[Address, ...] | None:
        """The identities of a party set in order; None where the registry does not know it."""

    def signer_valid(self, identity: Address, signer: Address, timestamp: int) -> bool:
        """Whether a key could sign for an identity at a time (Unix seconds)."""

    def signer_revoked(self, identity: Address, signer: Address, timestamp: int) -> bool:
        """Whether a key was revoked from a time (Unix seconds) or from an earlier one."""

    def anchored(self, root: bytes, party_set: PartySetId) -> AnchorFact | None:
        """The root that a party set anchored; None where the chain does not hold it."""


@dataclass(frozen=True)
class RecordedFacts:
    """Facts written down beforehand, for verifying without a chain. They are as good as who wrote them down.

    Every identity is its own signer, at all times. ``models`` says what is active, at any block, and ``anchors`` which
    roots were anchored by which party set.
    """

    receipt_domain: Domain
    party_sets: Mapping[PartySetId, tuple[Address, ...]]
    models: Mapping[ModelHash, ModelFact]
    anchors: Mapping[tuple[bytes, PartySetId], AnchorFact] = field(default_factory=dict)

    def model(self, model_hash: ModelHash, block: int) -> ModelFact | None:
        """The model version, whatever the block."""
        return self.models.get(model_hash)

    def members(self, party_set: PartySetId) -> tuple[Address, ...] | None:
        """The identities of a party set in order."""
        return self.party_sets.get(party_set)

    def signer_valid(self, identity: Address, signer: Address, timestamp: int) -> bool:
        """Whether the signer is the identity itself."""
        return identity == signer

    def signer_revoked(self, identity: Address, signer: Address, timestamp: int) -> bool:
        """Nobody is revoked."""
        return False

    def anchored(self, root: bytes, party_set: PartySetId) -> AnchorFact | None:
        """The root that a party set anchored."""
        return self.anchors.get((root, party_set))
