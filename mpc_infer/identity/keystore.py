"""The directory in which one identity keeps its secrets."""

import os
import stat
from pathlib import Path

from mpc_infer.errors import InvalidInput, InvalidRequest, StoreError
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.ids import Address
from mpc_infer.process import protect_memory
from mpc_infer.sharing.sealing import SealingKey, SealingKeys, Suite

STORAGE_KEY_BYTES = 32
_MAX_FILE_BYTES = 64 * 1024
_SIGNER = "identity.key"
_STORAGE = "storage.key"
_CA, _CERT, _KEY = "ca.pem", "tls.pem", "tls.key"


class Keystore:
    """An identity's secrets, read from files that only their owner may read.

    Files: ``identity.key`` (32 bytes), ``sealing-<suite>.key``, ``storage.key`` (32 bytes), ``ca.pem``, ``tls.pem``,
    ``tls.key``. They are not encrypted: put the directory on an encrypted disk. A process that reads a keystore leaves
    no core dump from then on, whatever it is (see mpc_infer.process).

    Args:
        directory: where they lie.

    Raises:
        StoreError: a file is missing, unreadable, malformed, or open to others.
    """

    def __init__(self, directory: Path | str) -> None:
        protect_memory()
        self._directory = Path(directory)
        try:
            self.signer = Signer.from_key_bytes(self._read(_SIGNER))
            self.sealing_keys = SealingKeys(
                SealingKey.from_private_bytes(suite, self._read(_sealing_file(suite))) for suite in Suite
            )
        except (InvalidInput, InvalidRequest) as error:
            raise StoreError(f"a key in {self._directory} is damaged: {error.message}") from error
        self.storage_key = self._read(_STORAGE)
        if len(self.storage_key) != STORAGE_KEY_BYTES:
            raise StoreError(f"{self._directory / _STORAGE} does not hold {STORAGE_KEY_BYTES} bytes")
        self.tls = TlsCredentials(self._read(_CA), self._read(_CERT), self._read(_KEY))

    @classmethod
    def create(
        cls,
        directory: Path | str,
        *,
        signer: Signer,
        tls: TlsCredentials,
        sealing_keys: SealingKeys | None = None,
        storage_key: bytes | None = None,
    ) -> "Keystore":
        """Write a new keystore; sealing keys and storage key are made afresh unless given.

        Raises:
            StoreError: the directory cannot be written, or already holds a key: nothing is ever overwritten.
        """
        root = Path(directory)
        keys = sealing_keys or SealingKeys.generate()
        files = {_SIGNER: signer.key_bytes(), _STORAGE: storage_key or os.urandom(STORAGE_KEY_BYTES)}
        files |= {_sealing_file(key.public.suite): key.private_bytes() for key in keys.keys}
        files |= {_CA: tls.ca_pem, _CERT: tls.cert_pem, _KEY: tls.key_pem}
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, contents in files.items():
                _write_new(root / name, contents)
        except OSError as error:
            raise StoreError(f"the keystore {root} cannot be written: {error.strerror}") from error
        return cls(root)

    @property
    def address(self) -> Address:
        """The identity."""
        return self.signer.address

    def _read(self, name: str) -> bytes:
        path = self._directory / name
        try:
            with path.open("rb") as file:
                _check_private(path, os.fstat(file.fileno()))
                return file.read(_MAX_FILE_BYTES)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}", remedy="create the keystore anew") from error

    def __repr__(self) -> str:
        return f"Keystore({self._directory}, {self.address})"


def _sealing_file(suite: Suite) -> str:
    return f"sealing-{suite.name.lower()}.key"


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_FILE_BYTES:
        raise StoreError(f"{path} is not a key file")
    if status.st_mode & 0o077:
        raise StoreError(f"{path} may be read by others", remedy=f"run: chmod 600 {path}")


def _write_new(path: Path, contents: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor, not a path)
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())
