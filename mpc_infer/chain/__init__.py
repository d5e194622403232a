"""The chain: reading and writing the registry, deploying it, and development chains."""

from mpc_infer.chain.deploy import deploy_contracts
from mpc_infer.chain.facts import ChainFacts
from mpc_infer.chain.records import (
    AnchorRecord,
    Block,
    ContractAddresses,
    ModelRecord,
    ModelStatus,
    PartyRecord,
    PartySetRecord,
    TxResult,
)
from mpc_infer.chain.registry import Registry
from mpc_infer.chain.writer import RegistryWriter

__all__ = [
    "AnchorRecord",
    "Block",
    "ChainFacts",
    "ContractAddresses",
    "ModelRecord",
    "ModelStatus",
    "PartyRecord",
    "PartySetRecord",
    "Registry",
    "RegistryWriter",
    "TxResult",
    "deploy_contracts",
]
