"""Canonical bytes and domain-separated digests."""

import hashlib
import hmac
import json
import re
from functools import lru_cache
from typing import Any

import rfc8785
from eth_hash.backends.pycryptodome import CryptodomeBackend
from eth_hash.main import Keccak256

from mpc_infer.errors import InvalidInput, InvalidRequest
from mpc_infer.ids import Address

DIGEST_BYTES = 32
ADDRESS_BYTES = 20
MAX_JSON_DEPTH = 32
# A string (even without its end, so that no byte is looked at twice), or a bracket outside of any string.
_JSON_NESTING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_KECCAK = Keccak256(CryptodomeBackend())


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(8, "big") + part


def digest(domain: str, *parts: bytes) -> bytes:
    """SHA-256 over a domain and parts, each preceded by its length (8 bytes, big endian).

    The lengths make the encoding injective: no two lists of parts hash the same bytes.

    Args:
        domain: what is hashed, without the common prefix, as in ``"model-hash"``.
        parts: the contents, in order.

    Returns:
        32 bytes.
    """
    state = hashlib.sha256(_with_length(f"mpc-infer/v1/{domain}".encode()))
    for part in parts:
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.digest()


def same_digest(left: bytes, right: bytes) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(left, right)


def keccak(data: bytes) -> bytes:
    """Keccak-256, the hash of the EVM (not SHA3-256): 32 bytes."""
    return _KECCAK(data)


def address_bytes(address: Address) -> bytes:
    """The 20 bytes of an address.

    Raises:
        InvalidRequest: not ``0x`` and 40 hex digits.
    """
    try:
        data = bytes.fromhex(address[2:])
    except ValueError:
        data = b""
    if len(data) != ADDRESS_BYTES or len(address) != 2 + 2 * ADDRESS_BYTES or not address.startswith("0x"):
        raise InvalidRequest("an address is 0x and 40 hex digits")
    return data


def to_address(data: bytes) -> Address:
    """The EIP-55 checksummed address of 20 bytes.

    Raises:
        InvalidRequest: not 20 bytes.
    """
    if len(data) != ADDRESS_BYTES:
        raise InvalidRequest(f"an address has {ADDRESS_BYTES} bytes, not {len(data)}")
    return _checksummed(bytes(data))


@lru_cache(maxsize=4096)
def _checksummed(data: bytes) -> Address:
    # Cached: the same few addresses come with every request, and each costs a Keccak.
    digits = data.hex()
    checks = keccak(digits.encode()).hex()
    return Address("0x" + "".join(d.upper() if c >= "8" else d for d, c in zip(digits, checks, strict=False)))


def canonical_json(value: Any) -> bytes:
    """The one byte string for a JSON value (RFC 8785).

    Raises:
        InvalidInput: the value has no canonical form (NaN, integers beyond 2^53, foreign types).
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"no canonical JSON for this value: {error}") from error


def parse_json(data: bytes, *, max_bytes: int) -> Any:
    """Parse JSON that somebody else wrote.

    Python's parser recurses, and several libraries raise the interpreter's recursion limit so far that deep nesting
    overflows the C stack: the depth is checked before.

    Raises:
        InvalidRequest: too large, nested deeper than 32, not UTF-8 JSON, a key twice in one object, or NaN.
    """
    if len(data) > max_bytes:
        raise InvalidRequest(f"the JSON has {len(data)} bytes, and at most {max_bytes} are accepted")
    depth = 0
    for found in _JSON_NESTING.finditer(data):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(found[0], 0)
        if depth > MAX_JSON_DEPTH:
            raise InvalidRequest(f"the JSON is nested deeper than {MAX_JSON_DEPTH}")
    try:
        return json.loads(data.decode(), object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except ValueError as error:
        raise InvalidRequest("the contents are not JSON, or hold a key twice") from error


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
