"""Where a party's material lies, and under which key: ``<directory>/<lane>/<id in hex>``, one sealed file per batch."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc_infer.encoding import digest
from mpc_infer.errors import InternalError, StoreError
from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.store import MaterialRecord, sealed_file

ID_BYTES = 16
_READY = struct.Struct(f"<{ID_BYTES}sI")


def files_key(storage_key: bytes) -> bytes:
    """The key of all files of material: HKDF-SHA256(storage key, no salt, info = "material-files", 32 bytes)."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"material-files").derive(storage_key)


def file_context(
    material_id: MaterialId, model_hash: ModelHash, opening: bytes, plan_digest: bytes, rank: int
) -> bytes:
    """What a file of material is authenticated with: it opens as nothing else."""
    return digest("material-file", material_id, model_hash, opening, plan_digest, rank.to_bytes(4, "big"))


def split_ids(joined: bytes) -> list[MaterialId]:
    """Ids as they come from the main process.

    Raises:
        InternalError: there is none, or half a one.
    """
    if not joined or len(joined) % ID_BYTES:
        raise InternalError("material is spoken of without an id")
    return [MaterialId(joined[start : start + ID_BYTES]) for start in range(0, len(joined), ID_BYTES)]


def join_ready(records: Iterable[MaterialRecord]) -> bytes:
    """What a lane is told of the material that it may take over: ids and rows."""
    return b"".join(_READY.pack(record.material_id, record.rows) for record in records)


def split_ready(joined: bytes) -> list[tuple[MaterialId, int]]:
    """The same, as the lane reads it."""
    return [(MaterialId(material_id), rows) for material_id, rows in _READY.iter_unpack(joined)]


@dataclass(frozen=True)
class StockFiles:
    """The files of all lanes.

    Attributes:
        directory: made when a lane first writes.
    """

    directory: Path

    def path(self, lane: int, material_id: MaterialId) -> Path:
        """Where a batch lies."""
        return self.directory / str(lane) / material_id.hex()

    def delete(self, records: Iterable[MaterialRecord]) -> None:
        """Delete the files of some batches; they may be gone already.

        Raises:
            StoreError: one cannot be deleted.
        """
        for record in records:
            sealed_file.discard(self.path(record.lane, record.material_id))

    def sweep(self, ready: Iterable[MaterialRecord]) -> list[MaterialRecord]:
        """Delete what belongs to no batch that is ready.

        Returns:
            The batches whose file is missing, or has not the length that was noted.

        Raises:
            StoreError: the directory cannot be read or changed.
        """
        wanted = {self.path(record.lane, record.material_id): record for record in ready}
        try:
            found = {path: path.stat().st_size for path in self.directory.glob("*/*")}
            for path in found.keys() - wanted.keys():
                path.unlink()
        except OSError as error:
            raise StoreError(f"{error.filename} cannot be swept: {error.strerror}") from error
        return [record for path, record in wanted.items() if found.get(path) != record.bytes]
