"""Sealing to a public key: HPKE (RFC 9180, base mode) in two suites, each message bound to a context.

Suite 1 is the hybrid post-quantum KEM MLKEM768-X25519 (X-Wing, KEM id 0x647a), suite 2 is DHKEM(X25519, HKDF-SHA256)
(0x0020); both with HKDF-SHA256 and AES-256-GCM. The associated data is empty; everything is bound through ``info``.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from mpc_infer.encoding import digest, same_digest
from mpc_infer.errors import InvalidRequest, SealingFailed
from mpc_infer.sharing.contexts import (
    sealed_input_context,
    sealed_model_context,
    sealed_result_context,
    sealed_seed_context,
)

__all__ = [
    "DEFAULT_SUITE",
    "Sealed",
    "SealingKey",
    "SealingKeys",
    "SealingPublicKey",
    "Suite",
    "seal",
    "sealed_input_context",
    "sealed_model_context",
    "sealed_result_context",
    "sealed_seed_context",
]

_MLKEM_PUBLIC_BYTES = 1184
_MLKEM_SEED_BYTES = 64
_X25519_BYTES = 32
_TAG_BYTES = 16


class Suite(IntEnum):
    """An HPKE suite; the number is the one in the protocol's SealingSuite."""

    MLKEM768_X25519 = 1
    X25519 = 2


DEFAULT_SUITE = Suite.MLKEM768_X25519

_HPKE = MappingProxyType(
    {
        Suite.MLKEM768_X25519: hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
        Suite.X25519: hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM),
    }
)
_ENCAPSULATION_BYTES = MappingProxyType({Suite.MLKEM768_X25519: 1120, Suite.X25519: 32})
_PUBLIC_BYTES = MappingProxyType(
    {Suite.MLKEM768_X25519: _MLKEM_PUBLIC_BYTES + _X25519_BYTES, Suite.X25519: _X25519_BYTES}
)
_PRIVATE_BYTES = MappingProxyType(
    {Suite.MLKEM768_X25519: _MLKEM_SEED_BYTES + _X25519_BYTES, Suite.X25519: _X25519_BYTES}
)


@dataclass(frozen=True)
class Sealed:
    """A sealed message: to which key, and the encapsulation, ciphertext and tag in one piece.

    Raises:
        InvalidRequest: an unknown suite.
    """

    suite: Suite
    key_id: bytes
    ciphertext: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "suite", _known_suite(self.suite))


@dataclass(frozen=True)
class SealingPublicKey:
    """A key to which anyone can seal.

    Args:
        suite: what the key is for.
        data: MLKEM768_X25519: the ML-KEM-768 encapsulation key (1184 bytes), then the X25519 key (32 bytes).
            X25519: 32 bytes.

    Raises:
        InvalidRequest: an unknown suite or another length.
    """

    suite: Suite
    data: bytes

    def __post_init__(self) -> None:
        object.__setattr__(self, "suite", _known_suite(self.suite))
        if len(self.data) != _PUBLIC_BYTES[self.suite]:
            expected = _PUBLIC_BYTES[self.suite]
            raise InvalidRequest(f"a {self.suite.name} public key has {expected} bytes, not {len(self.data)}")

    @cached_property
    def key_id(self) -> bytes:
        """32 bytes that name the key and its suite."""
        return digest("sealing-key", bytes([self.suite]), self.data)

    @cached_property
    def _parsed(self) -> hpke.MLKEM768X25519PublicKey | X25519PublicKey:
        x25519 = X25519PublicKey.from_public_bytes(self.data[-_X25519_BYTES:])
        if self.suite is Suite.X25519:
            return x25519
        mlkem = MLKEM768PublicKey.from_public_bytes(self.data[:_MLKEM_PUBLIC_BYTES])
        return hpke.MLKEM768X25519PublicKey(mlkem, x25519)


def seal(plaintext: bytes, recipient: SealingPublicKey, context: bytes) -> Sealed:
    """Encrypt so that only the recipient can read, and only in the same context.

    Raises:
        SealingFailed: the recipient's key is not a valid key.
    """
    info = _info(recipient.suite, recipient.key_id, context)
    try:
        ciphertext = _HPKE[recipient.suite].encrypt(plaintext, recipient._parsed, info=info)
    except ValueError as error:
        raise SealingFailed("the recipient's public key cannot be used", remedy="ask for a new key") from error
    return Sealed(recipient.suite, recipient.key_id, ciphertext)


class SealingKey:
    """A private key that opens what was sealed to its public key."""

    def __init__(self, suite: Suite, private: bytes) -> None:
        self._suite = _known_suite(suite)
        if len(private) != _PRIVATE_BYTES[self._suite]:
            raise InvalidRequest(f"a {self._suite.name} private key has {_PRIVATE_BYTES[self._suite]} bytes")
        self._private = private
        x25519 = X25519PrivateKey.from_private_bytes(private[-_X25519_BYTES:])
        public = x25519.public_key().public_bytes_raw()
        self._parsed: hpke.MLKEM768X25519PrivateKey | X25519PrivateKey = x25519
        if self._suite is Suite.MLKEM768_X25519:
            mlkem = MLKEM768PrivateKey.from_seed_bytes(private[:_MLKEM_SEED_BYTES])
            self._parsed = hpke.MLKEM768X25519PrivateKey(mlkem, x25519)
            public = mlkem.public_key().public_bytes_raw() + public
        self.public = SealingPublicKey(self._suite, public)

    @classmethod
    def generate(cls, suite: Suite = DEFAULT_SUITE) -> "SealingKey":
        """A fresh key, from the operating system's randomness."""
        return cls(suite, os.urandom(_PRIVATE_BYTES[_known_suite(suite)]))

    @classmethod
    def from_private_bytes(cls, suite: Suite, private: bytes) -> "SealingKey":
        """The key of these bytes.

        Args:
            suite: what the key is for.
            private: MLKEM768_X25519: the ML-KEM-768 seed (64 bytes), then the X25519 key (32). X25519: 32 bytes.

        Raises:
            InvalidRequest: an unknown suite or another length.
        """
        return cls(suite, private)

    def private_bytes(self) -> bytes:
        """What ``from_private_bytes`` reads. Secret."""
        return self._private

    def unseal(self, sealed: Sealed, context: bytes) -> bytes:
        """Decrypt.

        Raises:
            SealingFailed: sealed to another key, in another context, or changed on the way.
        """
        if sealed.suite != self._suite or not same_digest(sealed.key_id, self.public.key_id):
            raise SealingFailed("the message is sealed to another key", remedy="read the receiver's current key")
        if len(sealed.ciphertext) < _ENCAPSULATION_BYTES[self._suite] + _TAG_BYTES:
            raise SealingFailed("the sealed message is truncated")
        info = _info(self._suite, self.public.key_id, context)
        try:
            return _HPKE[self._suite].decrypt(sealed.ciphertext, self._parsed, info=info)
        except (InvalidTag, ValueError) as error:
            raise SealingFailed("a sealed message does not open: changed, or sealed in another context") from error

    def __repr__(self) -> str:
        return f"SealingKey({self._suite.name}, key_id={self.public.key_id[:4].hex()})"


class SealingKeys:
    """The private keys of one receiver, at most one per suite."""

    def __init__(self, keys: Iterable[SealingKey]) -> None:
        self._by_id = {key.public.key_id: key for key in keys}
        self._by_suite = {key.public.suite: key for key in self._by_id.values()}
        if len(self._by_suite) != len(self._by_id) or not self._by_id:
            raise InvalidRequest("a keyring holds one key per suite, and at least one")

    @classmethod
    def generate(cls) -> "SealingKeys":
        """A fresh key of every suite."""
        return cls(SealingKey.generate(suite) for suite in Suite)

    @property
    def keys(self) -> tuple[SealingKey, ...]:
        """The keys, ordered by suite."""
        return tuple(self._by_suite[suite] for suite in sorted(self._by_suite))

    @property
    def public_keys(self) -> tuple[SealingPublicKey, ...]:
        """The public keys, ordered by suite."""
        return tuple(key.public for key in self.keys)

    def public(self, suite: Suite = DEFAULT_SUITE) -> SealingPublicKey:
        """The public key of a suite.

        Raises:
            InvalidRequest: there is none.
        """
        if suite not in self._by_suite:
            raise InvalidRequest(f"there is no sealing key of suite {int(suite)} here")
        return self._by_suite[suite].public

    def unseal(self, sealed: Sealed, context: bytes) -> bytes:
        """Decrypt with the key that the message names.

        Raises:
            SealingFailed: no such key here, another context, or changed on the way.
        """
        key = self._by_id.get(sealed.key_id)
        if key is None:
            raise SealingFailed("the message is sealed to a key that is not here", remedy="read the receiver's key")
        return key.unseal(sealed, context)

    def __repr__(self) -> str:
        return f"SealingKeys({', '.join(repr(key) for key in self.keys)})"


def _known_suite(suite: int) -> Suite:
    try:
        return Suite(suite)
    except ValueError as error:
        raise InvalidRequest(f"sealing suite {suite} is unknown", remedy="use suite 1 or 2") from error


def _info(suite: Suite, key_id: bytes, context: bytes) -> bytes:
    return digest("seal", bytes([suite]), key_id, context)
