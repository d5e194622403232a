"""Addresses and decentralised identifiers (did:ethr)."""

import re

from mpc_infer.encoding import address_bytes, keccak, to_address
from mpc_infer.errors import InvalidRequest
from mpc_infer.ids import Address, Did

__all__ = ["address_bytes", "address_of", "address_of_public_key", "chain_id_of", "did_of", "to_address"]

_DID = re.compile(r"did:ethr:0x([1-9a-f][0-9a-f]{0,15}):(0x[0-9a-fA-F]{40})")


def did_of(chain_id: int, address: Address) -> Did:
    """``did:ethr:<chain id in hex>:<checksummed address>``."""
    return Did(f"did:ethr:{chain_id:#x}:{to_address(address_bytes(address))}")


def address_of(did: Did) -> Address:
    """The address in a DID.

    Raises:
        InvalidRequest: not a did:ethr with a chain id and an address.
    """
    return to_address(address_bytes(Address(_match(did)[2])))


def chain_id_of(did: Did) -> int:
    """The chain id in a DID.

    Raises:
        InvalidRequest: not a did:ethr with a chain id and an address.
    """
    return int(_match(did)[1], 16)


def address_of_public_key(public_key: bytes) -> Address:
    """The address of a secp256k1 key given as its 64 bytes x ‖ y."""
    return to_address(keccak(public_key)[12:])


def _match(did: Did) -> re.Match[str]:
    match = _DID.fullmatch(did)
    if match is None:
        raise InvalidRequest("not a DID of the form did:ethr:0x<chain id>:0x<40 hex digits>")
    return match
