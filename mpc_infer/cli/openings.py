"""What sealed shares hold, kept by a model's owner: a file for every party. Together they are the weights."""

import os
from collections.abc import Sequence
from pathlib import Path

from mpc_infer.errors import InvalidInput, StoreError

NAME = "party{}.opening"
MAX_PARTIES = 16


def save_openings(directory: Path, openings: Sequence[bytes]) -> None:
    """Write a new folder that nobody else on this machine may read.

    Raises:
        StoreError: it exists, or cannot be written.
    """
    try:
        directory.mkdir(mode=0o700)
        for index, opening in enumerate(openings):
            path = directory / NAME.format(index)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(opening)
    except OSError as error:
        raise StoreError(
            f"openings cannot be kept in {directory}: {error.strerror}", remedy="name a folder that does not exist yet"
        ) from error


def read_openings(directory: Path) -> tuple[bytes, ...]:
    """What `save_openings` wrote.

    Raises:
        InvalidInput: there is nothing, or a file is too large.
    """
    from mpc_infer.model.shares import MAX_SHARE_BYTES
    from mpc_infer.sharing.commitment import SALT_BYTES

    paths = [path for index in range(MAX_PARTIES) if (path := directory / NAME.format(index)).is_file()]
    if not paths:
        raise InvalidInput(f"{directory} holds no openings", remedy="give the folder of publish --keep-openings")
    try:
        if any(path.stat().st_size > MAX_SHARE_BYTES + SALT_BYTES for path in paths):
            raise InvalidInput(f"an opening in {directory} is larger than a share may be")
        return tuple(path.read_bytes() for path in paths)
    except OSError as error:
        raise InvalidInput(f"{directory} cannot be read: {error.strerror}", remedy="check the path") from error
