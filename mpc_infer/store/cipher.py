"""Encryption of columns at rest."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mpc_infer.encoding import digest
from mpc_infer.errors import StoreError

KEY_BYTES = 32
_NONCE_BYTES = 12


class Cipher:
    """AES-256-GCM with a random nonce; the place of a value is authenticated, so that rows cannot be swapped.

    Args:
        key: 32 bytes, the keystore's storage key.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise StoreError(f"a storage key has {KEY_BYTES} bytes, not {len(key)}")
        self._aead = AESGCM(key)

    def encrypt(self, plaintext: bytes, column: str, *row: bytes) -> bytes:
        """Nonce, ciphertext and tag.

        Args:
            column: ``table.column``.
            row: the row's key.
        """
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plaintext, digest("column", column.encode(), *row))

    def decrypt(self, data: bytes, column: str, *row: bytes) -> bytes:
        """The plaintext.

        Raises:
            StoreError: another key, another place, or changed bytes.
        """
        context = digest("column", column.encode(), *row)
        try:
            return self._aead.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], context)
        except (InvalidTag, ValueError) as error:
            raise StoreError(
                f"a value of {column} cannot be decrypted: it was changed, or written under another key",
                remedy="restore the database together with its keystore",
            ) from error

    def __repr__(self) -> str:
        return "Cipher(<key hidden>)"
