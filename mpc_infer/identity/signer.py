"""Recoverable secp256k1 signatures over 32-byte digests."""

from coincurve import PrivateKey, PublicKey

from mpc_infer.errors import BadSignature, InvalidInput
from mpc_infer.identity.did import address_of_public_key
from mpc_infer.ids import Address

KEY_BYTES = 32
SIGNATURE_BYTES = 65
_DIGEST_BYTES = 32
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_V_OFFSET = 27


class Signer:
    """An identity's private key."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.address: Address = _address(key.public_key)

    @classmethod
    def generate(cls) -> "Signer":
        """A fresh key, from the operating system's randomness."""
        return cls(PrivateKey())

    @classmethod
    def from_key_bytes(cls, key: bytes) -> "Signer":
        """The key of these 32 bytes, big endian.

        Raises:
            InvalidInput: another length, zero, or not below the group's order.
        """
        if len(key) != KEY_BYTES or not 0 < int.from_bytes(key, "big") < _ORDER:
            raise InvalidInput("a signing key is 32 bytes between 1 and the order of secp256k1")
        return cls(PrivateKey(key))

    def key_bytes(self) -> bytes:
        """What ``from_key_bytes`` reads. Secret."""
        return bytes(self._key.secret)

    def sign_digest(self, digest: bytes) -> bytes:
        """Sign a digest (RFC 6979 nonce, low s).

        Args:
            digest: 32 bytes, hashed already.

        Returns:
            r ‖ s ‖ v, 65 bytes, v 27 or 28.

        Raises:
            InvalidInput: the digest has another length.
        """
        if len(digest) != _DIGEST_BYTES:
            raise InvalidInput(f"a digest has {_DIGEST_BYTES} bytes, not {len(digest)}")
        signature = self._key.sign_recoverable(digest, hasher=None)
        return bytes(signature[:64]) + bytes([signature[64] + _V_OFFSET])

    def __repr__(self) -> str:
        return f"Signer({self.address})"


def recover(digest: bytes, signature: bytes) -> Address:
    """The address whose key signed a digest.

    Args:
        digest: 32 bytes.
        signature: r ‖ s ‖ v as ``sign_digest`` returns it. Every other form of the same signature is refused, so that
            nobody can turn one valid signature into another.

    Raises:
        BadSignature: wrong length, r or s out of range, high s, v neither 27 nor 28, or no key fits.
    """
    if len(digest) != _DIGEST_BYTES or len(signature) != SIGNATURE_BYTES:
        raise BadSignature(f"a signature has {SIGNATURE_BYTES} bytes and signs {_DIGEST_BYTES}")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    if not 0 < r < _ORDER or not 0 < s <= _ORDER // 2 or signature[64] - _V_OFFSET not in (0, 1):
        raise BadSignature("a signature is not in its canonical form (r, low s, v in {27, 28})")
    compact = signature[:64] + bytes([signature[64] - _V_OFFSET])
    try:
        return _address(PublicKey.from_signature_and_message(compact, digest, hasher=None))
    except ValueError as error:
        raise BadSignature("no key fits this signature") from error


def _address(public_key: PublicKey) -> Address:
    return address_of_public_key(public_key.format(compressed=False)[1:])
