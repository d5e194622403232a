"""Canonical bytes and domain-separated digests."""

import hashlib
import hmac
from typing import Any

import rfc8785

from mpc_infer.errors import InvalidInput

DIGEST_BYTES = 32


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


def canonical_json(value: Any) -> bytes:
    """The one byte string for a JSON value (RFC 8785).

    Raises:
        InvalidInput: the value has no canonical form (NaN, integers beyond 2^53, foreign types).
    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise InvalidInput(f"no canonical JSON for this value: {error}") from error
