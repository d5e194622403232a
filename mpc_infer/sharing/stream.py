"""Pseudorandom streams: AES-256 in counter mode, one stream per purpose."""

import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc_infer.errors import InvalidInput
from mpc_infer.sharing.fixed import Ring

SEED_BYTES = 32
# Encrypting this much at a time keeps the zeros in the processor's cache, so that only the output costs memory traffic.
_ZEROS = bytes(1 << 17)


def fresh_seed() -> bytes:
    """32 bytes from the operating system."""
    return os.urandom(SEED_BYTES)


class Stream:
    """The key stream of AES-256-CTR, read from its beginning on.

    The key is HKDF-SHA256(seed, no salt, info = label in UTF-8), the first counter block is zero. Two streams of one
    seed are independent when their labels differ. Whoever reads the same sizes in the same order gets the same values.

    Args:
        seed: 32 uniformly random bytes.
        label: what the stream is for.

    Raises:
        InvalidInput: the seed has another length.
    """

    def __init__(self, seed: bytes, label: str) -> None:
        if len(seed) != SEED_BYTES:
            raise InvalidInput(f"a seed has {SEED_BYTES} bytes, not {len(seed)}")
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=label.encode()).derive(seed)
        self._cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()

    def fill(self, target: memoryview) -> None:
        """Overwrite a writable contiguous buffer with the next bytes of the stream."""
        view = target.cast("B") if target.nbytes else target
        for start in range(0, view.nbytes, len(_ZEROS)):
            piece = view[start : start + len(_ZEROS)]
            self._cipher.update_into(memoryview(_ZEROS)[: len(piece)], piece)

    def bytes(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        return self._cipher.update(bytes(count))

    def ring(self, shape: int | tuple[int, ...]) -> Ring:
        """The next uniform ring elements, 8 little-endian bytes each, as a uint64 array of this shape."""
        elements = np.empty(shape, dtype="<u8")
        self.fill(elements.data)
        return elements.astype(np.uint64, copy=False)

    def __repr__(self) -> str:
        return "Stream(<redacted>)"
