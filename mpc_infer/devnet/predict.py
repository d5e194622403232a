"""Names that the chain will give, known before it runs: configuration can be written first, and for other machines."""

from collections.abc import Sequence

from eth_abi.abi import encode

from mpc_infer.chain.records import ContractAddresses
from mpc_infer.encoding import address_bytes, keccak, to_address
from mpc_infer.ids import Address, PartySetId

CHAIN_ID = 31337


def contract_address(deployer: Address, nonce: int) -> Address:
    """Address of the contract that a deployer's transaction creates (yellow paper, section 7); nonce < 128."""
    # RLP of [20 bytes, one byte]: zero is written as the empty string.
    encoded = b"\xd6\x94" + address_bytes(deployer) + bytes([nonce or 0x80])
    return to_address(keccak(encoded)[12:])


def contract_addresses(deployer: Address) -> ContractAddresses:
    """Where the first three transactions of a deployer put our contracts, in the order of `deploy_contracts`."""
    return ContractAddresses(*(contract_address(deployer, nonce) for nonce in range(3)))


def party_set_id(registry: Address, members: Sequence[Address]) -> PartySetId:
    """The registry's name for an ordered set in which every member must sign."""
    types = ["uint256", "address", "address[]", "uint256"]
    return PartySetId(keccak(encode(types, [CHAIN_ID, registry, list(members), len(members)])))
