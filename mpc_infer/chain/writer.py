"""Writing to the registry: one method per transaction, each waiting until it is mined."""

from collections.abc import Sequence
from typing import Any

from mpc_infer.chain.records import ContractAddresses, TxResult
from mpc_infer.chain.registry import Registry
from mpc_infer.chain.sending import open_sender
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address, ModelHash, PartySetId


class RegistryWriter(Registry):
    """A registry and a key to write with. Every method raises TransactionFailed where the contract refuses.

    Args:
        rpc_url: any Ethereum JSON-RPC endpoint.
        addresses: where the contracts are.
        signer: who signs and pays.
        timeout_s: deadline of one request, in seconds.
        mined_within_s: how long to wait until a transaction is mined.

    Raises:
        ConfigError: web3 is not installed.
    """

    def __init__(
        self,
        rpc_url: str,
        addresses: ContractAddresses,
        signer: Signer,
        *,
        timeout_s: float = 10.0,
        mined_within_s: float = 120.0,
    ) -> None:
        super().__init__(rpc_url, addresses, timeout_s=timeout_s)
        self.address = signer.address
        self._sender = open_sender(self._rpc, signer, mined_within_s=mined_within_s)

    def register_party(
        self, identity: Address, tls_key_hash: bytes, sealing_key_ids: Sequence[bytes], endpoint: str
    ) -> TxResult:
        """Admit a party (registrars only)."""
        return self._write("PartyRegistry", "registerParty", identity, tls_key_hash, list(sealing_key_ids), endpoint)

    def update_party(
        self, identity: Address, tls_key_hash: bytes, sealing_key_ids: Sequence[bytes], endpoint: str
    ) -> TxResult:
        """Change what a party says about itself (the identity's owner only)."""
        return self._write("PartyRegistry", "updateParty", identity, tls_key_hash, list(sealing_key_ids), endpoint)

    def add_signer(self, identity: Address, signer: Address, not_before: int, not_after: int) -> TxResult:
        """Let a key sign for a party, in a window of seconds; ``not_before`` 0 means now."""
        return self._write("PartyRegistry", "addSigner", identity, signer, not_before, not_after)

    def revoke_signer(self, identity: Address, signer: Address, since: int) -> TxResult:
        """Void what a key signs from a time on, in seconds."""
        return self._write("PartyRegistry", "revokeSigner", identity, signer, since)

    def create_party_set(self, members: Sequence[Address], threshold: int) -> TxResult:
        """Name an ordered set of parties; its id is ``party_set_id(members, threshold)``."""
        return self._write("PartyRegistry", "createPartySet", list(members), threshold)

    def propose(self, model_hash: ModelHash, name: str, version: int, party_set: PartySetId) -> TxResult:
        """Name a model version; once it is staged the signer is its owner."""
        return self._write("ModelRegistry", "propose", model_hash, name, version, party_set)

    def stage(self, model_hash: ModelHash, holdings: Sequence[bytes]) -> TxResult:
        """Show that every party holds its share of what the signer proposed: signatures of ModelHolding, in order."""
        return self._write("ModelRegistry", "stage", model_hash, list(holdings))

    def activate(self, model_hash: ModelHash) -> TxResult:
        """Make a version the active one of its name; also how one rolls back."""
        return self._write("ModelRegistry", "activate", model_hash)

    def deprecate(self, model_hash: ModelHash) -> TxResult:
        """Retire a version."""
        return self._write("ModelRegistry", "deprecate", model_hash)

    def revoke(self, model_hash: ModelHash, reason_hash: bytes) -> TxResult:
        """End a version for good."""
        return self._write("ModelRegistry", "revoke", model_hash, reason_hash)

    def set_user(self, model_hash: ModelHash, user: Address, allowed: bool) -> TxResult:
        """Let an address use a version, or not any more."""
        return self._write("ModelRegistry", "setUser", model_hash, user, allowed)

    def set_public(self, model_hash: ModelHash, public: bool) -> TxResult:
        """Let everybody use a version, or only those who are named."""
        return self._write("ModelRegistry", "setPublic", model_hash, public)

    def anchor(self, root: bytes, size: int, party_set: PartySetId, signatures: Sequence[bytes]) -> TxResult:
        """Anchor a batch: signatures of BatchRoot, in the set's order."""
        return self._write("ReceiptAnchor", "anchor", root, size, party_set, list(signatures))

    def _write(self, name: str, function: str, *arguments: Any) -> TxResult:
        return self._sender.call(self.chain_id, name, self._at[name], function, arguments)
