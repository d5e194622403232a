"""What the stores of all roles have in common."""

from pathlib import Path

from mpc_infer.store.cipher import Cipher
from mpc_infer.store.database import Database, Migrations


class Store:
    """One role's database file and the cipher for what is secret in it.

    Args:
        path: the SQLite file.
        key: 32 bytes, the keystore's storage key.
        migrations: the whole history of the role's schema.
        application_id: of the role.

    Raises:
        StoreError: the file cannot be opened, or is another role's.
    """

    def __init__(self, path: Path, key: bytes, migrations: Migrations, application_id: int) -> None:
        self._cipher = Cipher(key)
        self._database = Database(path, migrations, application_id)

    @property
    def busy(self) -> bool:
        """Whether a transaction is being written: another one would wait for it."""
        return self._database.busy

    def sync(self) -> None:
        """Wait until the disk has what was written without waiting for it.

        Raises:
            StoreError: the disk failed.
        """
        self._database.sync()

    def close(self) -> None:
        """Close the file."""
        self._database.close()
