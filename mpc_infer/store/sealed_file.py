"""Files too large for the database, encrypted in pieces so that a writer or reader holds one piece at a time.

Format: ``MPF1`` ‖ salt (32 bytes) ‖ pieces. A file holds parts of known lengths; each part is cut into pieces of 1 MiB
(the last one shorter), and a part of no bytes has none. A piece is AES-256-GCM ciphertext ‖ tag (16 bytes) under the
file's own key, HKDF-SHA256(key, salt, info = "sealed-file"). The nonce is the piece's number in the file as u96 be;
authenticated with each piece are the context and how many pieces there are. So a file opens whole and as what it was
written as, or not at all: moved, cut off, put together from two, or written under another key, it is refused.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc_infer.encoding import digest
from mpc_infer.errors import StoreError

PIECE_BYTES = 1 << 20
_MAGIC = b"MPF1"
_SALT_BYTES, _TAG_BYTES, _NONCE_BYTES = 32, 16, 12
_UNFINISHED = ".unfinished"

Part = bytes | bytearray


def file_bytes(lengths: Sequence[int]) -> int:
    """How long a file with parts of these lengths is."""
    return len(_MAGIC) + _SALT_BYTES + sum(lengths) + _TAG_BYTES * _count(lengths)


def write(path: Path, key: bytes, context: bytes, parts: Sequence[Part]) -> None:
    """Write a file under an unfinished name, mode 0600. `finish` gives it its own.

    Args:
        path: what it will be called.
        key: 32 bytes.
        context: 32 bytes that say what the file is; whoever reads it must say the same.
        parts: its contents.

    Raises:
        StoreError: it cannot be written, or there is a file of that name: nothing is ever overwritten.
    """
    if path.exists():
        raise StoreError(f"{path} is there already")
    salt = os.urandom(_SALT_BYTES)
    aead, authenticated = _cipher(key, salt), _authenticated(context, [len(part) for part in parts])
    cut = (piece for part in parts for piece in _pieces(memoryview(part)))
    try:
        descriptor = os.open(_unfinished(path), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor, not a path)
            file.write(_MAGIC + salt)
            for number, piece in enumerate(cut):
                file.write(aead.encrypt(_nonce(number), piece, authenticated))
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", remedy="see that its disk has room") from error


def finish(paths: Sequence[Path]) -> None:
    """Bring files that were written to the disk and give them their names: after a crash they are whole or not there.

    Args:
        paths: in one directory.

    Raises:
        StoreError: the disk failed.
    """
    try:
        for path in paths:
            _sync(_unfinished(path))
            _unfinished(path).rename(path)
        for directory in {path.parent for path in paths}:
            _sync(directory)
    except OSError as error:
        raise StoreError(f"{error.filename} cannot be written: {error.strerror}") from error


def discard(path: Path) -> None:
    """Delete a file, finished or not; it may be gone already.

    Raises:
        StoreError: it cannot be deleted.
    """
    try:
        path.unlink(missing_ok=True)
        _unfinished(path).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path} cannot be deleted: {error.strerror}") from error


def read(path: Path, key: bytes, context: bytes, lengths: Sequence[int]) -> list[bytearray]:
    """The parts of a file.

    Args:
        key, context: as it was written.
        lengths: of its parts; nothing is read of a file that has not the length that follows.

    Raises:
        StoreError: it is missing, may be read by others, or is not this file, whole and unchanged.
    """
    parts = [bytearray(length) for length in lengths]
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:  # noqa: PTH123 (a descriptor, not a path)
            _check_status(path, os.fstat(descriptor), file_bytes(lengths))
            head = file.read(len(_MAGIC) + _SALT_BYTES)
            aead, authenticated = _cipher(key, head[len(_MAGIC) :]), _authenticated(context, lengths)
            targets = (piece for part in parts for piece in _pieces(memoryview(part)))
            for number, target in enumerate(targets):
                aead.decrypt_into(_nonce(number), file.read(len(target) + _TAG_BYTES), authenticated, target)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (InvalidTag, ValueError) as error:
        raise StoreError(f"{path} is damaged, another file, or written under another key") from error
    if not head.startswith(_MAGIC):
        raise StoreError(f"{path} is not a file of this kind")
    return parts


def _check_status(path: Path, status: os.stat_result, expected: int) -> None:
    if status.st_mode & 0o077:
        raise StoreError(f"{path} may be read by others")
    if status.st_size != expected:
        raise StoreError(f"{path} has {status.st_size} bytes instead of {expected}")


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=salt, info=b"sealed-file").derive(key))


def _authenticated(context: bytes, lengths: Sequence[int]) -> bytes:
    return digest("sealed-file", context, _count(lengths).to_bytes(8, "big"))


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_BYTES, "big")


def _count(lengths: Sequence[int]) -> int:
    return sum(-(-length // PIECE_BYTES) for length in lengths)


def _pieces(view: memoryview) -> Iterator[memoryview]:
    return (view[start : start + PIECE_BYTES] for start in range(0, len(view), PIECE_BYTES))


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + _UNFINISHED)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
