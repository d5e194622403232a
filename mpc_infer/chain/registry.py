"""Reading the registry: models, parties, keys and anchors, now or as they were at a block."""

from functools import cached_property
from typing import Any

from mpc_infer.chain.abi import contract, decode_revert
from mpc_infer.chain.records import (
    AnchorRecord,
    Block,
    ContractAddresses,
    ModelRecord,
    ModelStatus,
    PartyRecord,
    PartySetRecord,
)
from mpc_infer.chain.rpc import JsonRpc, RpcError
from mpc_infer.encoding import address_bytes, to_address
from mpc_infer.errors import ChainError, InvalidInput, ModelNotFound, MpcInferError, NotFound
from mpc_infer.evidence.eip712 import Domain
from mpc_infer.ids import Address, ModelHash, PartySetId

_WORD = 32
_UNKNOWN_MODEL = frozenset({"ModelUnknown", "NoActiveModel", "ProposalUnknown"})
_UNKNOWN_PARTY = frozenset({"PartyUnknown", "PartySetUnknown"})


class Registry:
    """A reader of the contracts. Every call blocks, for at most ``timeout_s``, and may be made from any thread.

    Args:
        rpc_url: any Ethereum JSON-RPC endpoint.
        addresses: where the contracts are.
        timeout_s: deadline of one call, in seconds.
    """

    def __init__(self, rpc_url: str, addresses: ContractAddresses, *, timeout_s: float = 10.0) -> None:
        self.addresses = addresses
        self._rpc = JsonRpc(rpc_url, timeout_s=timeout_s)
        self._at = {
            "PartyRegistry": addresses.party_registry,
            "ModelRegistry": addresses.model_registry,
            "ReceiptAnchor": addresses.receipt_anchor,
        }

    @cached_property
    def chain_id(self) -> int:
        """The chain's number, asked once."""
        return quantity(self._rpc.call("eth_chainId"))

    @property
    def receipt_domain(self) -> Domain:
        """The EIP-712 domain of job requests, receipts and batch roots."""
        return Domain(self.chain_id, self.addresses.receipt_anchor)

    @property
    def model_domain(self) -> Domain:
        """The EIP-712 domain of model publications and holdings."""
        return Domain(self.chain_id, self.addresses.model_registry)

    def head(self) -> Block:
        """The newest block."""
        return self.block("latest")

    def block(self, number: int | str) -> Block:
        """A block by its number.

        Raises:
            NotFound: the chain has no such block.
        """
        header = self._rpc.call("eth_getBlockByNumber", _tag(number), False)
        if not isinstance(header, dict):
            raise NotFound(f"the chain has no block {number}")
        return Block(
            quantity(header.get("number")),
            quantity(header.get("timestamp")),
            hex_bytes(header.get("hash")),
            hex_bytes(header.get("parentHash")),
        )

    def model(self, model_hash: ModelHash, block: int | None = None) -> ModelRecord:
        """A model version, staged at least.

        Raises:
            ModelNotFound: the registry does not know it, or did not at that block.
        """
        (record,) = self._read("ModelRegistry", "model", [model_hash], block)
        return _model_record(model_hash, record)

    def proposal(self, model_hash: ModelHash, owner: Address, block: int | None = None) -> ModelRecord:
        """What an account has proposed and not yet staged. Anybody may propose any hash: it says nothing of the model.

        Raises:
            ModelNotFound: nothing of that account's, or it is staged.
        """
        (record,) = self._read("ModelRegistry", "proposal", [model_hash, owner], block)
        return _model_record(model_hash, record)

    def active_model(self, name: str, block: int | None = None) -> ModelHash:
        """The active version of a name.

        Raises:
            ModelNotFound: there is none.
        """
        (model_hash,) = self._read("ModelRegistry", "activeModel", [name], block)
        return ModelHash(model_hash)

    def models_changed(self, first: int, last: int) -> bool:
        """Whether the ModelRegistry changed anything in some blocks: each of its functions that writes also logs.

        Args:
            first, last: the blocks, both included.

        Raises:
            ChainError: the chain does not say; many nodes refuse long ranges.
        """
        query = {"address": self.addresses.model_registry, "fromBlock": _tag(first), "toBlock": _tag(last)}
        try:
            logs = self._rpc.call("eth_getLogs", query)
        except RpcError as error:
            raise _refusal("logs of the ModelRegistry", error) from error
        return not isinstance(logs, list) or bool(logs)

    def may_use(self, model_hash: ModelHash, user: Address, block: int | None = None) -> bool:
        """Whether an address has the permission to use a model version.

        Raises:
            ModelNotFound: the registry does not know the version.
        """
        (allowed,) = self._read("ModelRegistry", "mayUse", [model_hash, user], block)
        return bool(allowed)

    def party_set(self, party_set: PartySetId, block: int | None = None) -> PartySetRecord:
        """A set of parties, in order.

        Raises:
            NotFound: the registry does not know it.
        """
        members, threshold, created = self._read("PartyRegistry", "partySet", [party_set], block)
        return PartySetRecord(party_set, tuple(to_checksum(member) for member in members), threshold, created)

    def party_set_id(self, members: tuple[Address, ...], threshold: int) -> PartySetId:
        """The id that a set has or would have."""
        (identifier,) = self._read("PartyRegistry", "partySetId", [members, threshold], None)
        return PartySetId(identifier)

    def party(self, address: Address, block: int | None = None) -> PartyRecord:
        """What a party says about itself.

        Raises:
            NotFound: the registry does not know it.
        """
        ((tls_key_hash, sealing, endpoint, registered),) = self._read("PartyRegistry", "party", [address], block)
        return PartyRecord(address, tls_key_hash, tuple(sealing), endpoint, registered)

    def signer_valid(self, identity: Address, signer: Address, timestamp: int, block: int | None = None) -> bool:
        """Whether a key could sign for a party at a time, in seconds, as known at a block."""
        (valid,) = self._read("PartyRegistry", "signerValidAt", [identity, signer, timestamp], block)
        return bool(valid)

    def signer_revoked(self, identity: Address, signer: Address, timestamp: int, block: int | None = None) -> bool:
        """Whether a key was revoked from a time, in seconds, or from an earlier one, as known at a block."""
        (revoked,) = self._read("PartyRegistry", "signerRevokedAt", [identity, signer, timestamp], block)
        return bool(revoked)

    def anchored(self, root: bytes, party_set: PartySetId, block: int | None = None) -> AnchorRecord | None:
        """What is known of a party set's root; None where that set has not anchored it."""
        size, timestamp, number = self._read("ReceiptAnchor", "anchored", [root, party_set], block)
        return AnchorRecord(root, size, timestamp, number, party_set) if size else None

    def _read(self, name: str, function: str, arguments: list[Any], block: int | None) -> tuple[Any, ...]:
        abi = contract(name)
        data = abi.encode_call(function, arguments)
        request = {"to": self._at[name], "data": "0x" + data.hex()}
        try:
            answer = self._rpc.call("eth_call", request, _tag("latest" if block is None else block))
        except RpcError as error:
            raise _refusal(f"{name}.{function}", error) from error
        return abi.decode_result(function, hex_bytes(answer))


def _model_record(model_hash: ModelHash, fields: tuple[Any, ...]) -> ModelRecord:
    owner, version, status, public, party_set, name = fields
    return ModelRecord(
        model_hash, to_checksum(owner), name, version, PartySetId(party_set), ModelStatus(status), public
    )


def _refusal(what: str, error: RpcError) -> MpcInferError:
    revert = decode_revert(error.data)
    if revert is None:
        return ChainError(f"{what} failed: {error.message}")
    if revert.name in _UNKNOWN_MODEL:
        return ModelNotFound(f"the registry has no such model: {revert}")
    return (NotFound if revert.name in _UNKNOWN_PARTY else ChainError)(f"{what} was refused: {revert}")


def _tag(block: int | str) -> str:
    if isinstance(block, str):
        return block
    if block < 0:
        raise InvalidInput(f"a block number is not negative: {block}")
    return hex(block)


def quantity(value: Any) -> int:
    """A number as JSON-RPC writes it.

    Raises:
        ChainError: it is not one.
    """
    if not isinstance(value, str) or len(value) > 2 + 2 * _WORD:
        raise ChainError("the chain's node answered no number where one is due")
    try:
        return int(value, 16)
    except ValueError as error:
        raise ChainError("the chain's node answered no number where one is due") from error


def hex_bytes(value: Any) -> bytes:
    """Bytes as JSON-RPC writes them.

    Raises:
        ChainError: they are not.
    """
    try:
        return bytes.fromhex(value.removeprefix("0x"))
    except (AttributeError, ValueError) as error:
        raise ChainError("the chain's node answered no bytes where some are due") from error


def to_checksum(address: str) -> Address:
    """An address as eth_abi decodes it, with its checksum."""
    return to_address(address_bytes(Address(address)))
