"""What a verifier of receipts has to know, read from the chain."""

from mpc_infer.chain.records import ModelStatus
from mpc_infer.chain.registry import Registry
from mpc_infer.errors import ModelNotFound, NotFound
from mpc_infer.evidence.eip712 import Domain
from mpc_infer.evidence.facts import AnchorFact, ModelFact
from mpc_infer.ids import Address, ModelHash, PartySetId


class ChainFacts:
    """The ``RegistryFacts`` of a chain. Each method asks the node; ChainUnavailable says that it does not answer.

    Args:
        registry: the contracts that the verifier trusts, wherever a receipt says it belongs.
    """

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @property
    def receipt_domain(self) -> Domain:
        """The domain of the ReceiptAnchor."""
        return self._registry.receipt_domain

    def model(self, model_hash: ModelHash, block: int) -> ModelFact | None:
        """The model version as it stood at a block; None where the registry did not know it, or at no such block."""
        if block > self._registry.head().number:
            return None
        try:
            record = self._registry.model(model_hash, block)
        except ModelNotFound:
            return None
        return ModelFact(record.status is ModelStatus.ACTIVE, record.party_set)

    def members(self, party_set: PartySetId) -> tuple[Address, ...] | None:
        """The identities of a party set in order; None where the registry does not know it."""
        try:
            return self._registry.party_set(party_set).members
        except NotFound:
            return None

    def signer_valid(self, identity: Address, signer: Address, timestamp: int) -> bool:
        """Whether a key could sign for an identity at a time (Unix seconds), as known now: revocations reach back."""
        return self._registry.signer_valid(identity, signer, timestamp)

    def signer_revoked(self, identity: Address, signer: Address, timestamp: int) -> bool:
        """Whether a key was revoked by a time (Unix seconds), as known now."""
        return self._registry.signer_revoked(identity, signer, timestamp)

    def anchored(self, root: bytes, party_set: PartySetId) -> AnchorFact | None:
        """The root that a party set anchored; None where the chain does not hold it."""
        record = self._registry.anchored(root, party_set)
        return None if record is None else AnchorFact(record.size, record.timestamp)
