"""The running digest of everything that a session opened."""

import hashlib

from mpc_infer.encoding import digest

_HEAD = digest("transcript")


class Transcript:
    """SHA-256 over every opening in order: honest parties of one session end with the same digest.

    Hashed are the digest of the domain "transcript", then for each opening its step (8 bytes), its length (8 bytes),
    both big endian, and its bytes.
    """

    def __init__(self) -> None:
        self._state = hashlib.sha256(_HEAD)

    def add(self, step: int, opened: bytes | bytearray | memoryview) -> None:
        """Append what was opened in a step.

        Args:
            step: the opening's number within the session.
            opened: the public value, as contiguous bytes.
        """
        length = opened.nbytes if isinstance(opened, memoryview) else len(opened)
        self._state.update(step.to_bytes(8, "big") + length.to_bytes(8, "big"))
        self._state.update(opened)

    def digest(self) -> bytes:
        """The digest so far: 32 bytes."""
        return self._state.digest()
