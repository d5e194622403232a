"""What the contracts say, as plain values."""

from dataclasses import dataclass
from enum import IntEnum

from mpc_infer.ids import Address, ModelHash, PartySetId


@dataclass(frozen=True)
class ContractAddresses:
    """Where the three contracts are."""

    party_registry: Address
    model_registry: Address
    receipt_anchor: Address


@dataclass(frozen=True)
class Block:
    """A block: its number, its time in seconds, its hash and its parent's."""

    number: int
    timestamp: int
    hash: bytes = b""
    parent: bytes = b""


class ModelStatus(IntEnum):
    """Where a model version stands (numbers as in IModelRegistry.sol)."""

    NONE = 0
    PROPOSED = 1
    STAGED = 2
    ACTIVE = 3
    DEPRECATED = 4
    REVOKED = 5


@dataclass(frozen=True)
class ModelRecord:
    """A model version."""

    model_hash: ModelHash
    owner: Address
    name: str
    version: int
    party_set: PartySetId
    status: ModelStatus
    public: bool


@dataclass(frozen=True)
class PartyRecord:
    """What a party says about itself."""

    address: Address
    tls_key_hash: bytes
    sealing_key_ids: tuple[bytes, ...]
    endpoint: str
    registered_at: int


@dataclass(frozen=True)
class PartySetRecord:
    """An ordered set of parties; ``created_at`` in seconds."""

    id: PartySetId
    members: tuple[Address, ...]
    threshold: int
    created_at: int


@dataclass(frozen=True)
class AnchorRecord:
    """A root that a party set anchored; ``timestamp`` in seconds."""

    root: bytes
    size: int
    timestamp: int
    block: int
    party_set: PartySetId


@dataclass(frozen=True)
class TxResult:
    """A transaction that was mined and succeeded."""

    hash: bytes
    block: int
    gas_used: int
    contract: Address | None = None
