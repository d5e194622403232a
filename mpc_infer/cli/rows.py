"""Rows from a file: .npy (never pickled) or .csv."""

import re
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mpc_infer.errors import InvalidInput, MessageTooLarge

MAX_FILE_BYTES = 256 * 1024 * 1024
_PLACE = re.compile(r" at row (\d+), column (\d+)\.$")


def _load(path: Path) -> NDArray[np.float64]:
    if path.suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if path.suffix == ".csv":
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an empty file is no array of zero rows
            return np.loadtxt(path, delimiter=",", ndmin=2, encoding="utf-8")
    raise InvalidInput(f"{path} is neither .npy nor .csv", remedy="convert it")


def read_rows(path: Path) -> NDArray[np.float64]:
    """Read an array whose first axis counts rows.

    Raises:
        InvalidInput: it cannot be read, is of another kind, or holds Python objects.
        MessageTooLarge: the file is larger than `MAX_FILE_BYTES`.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise MessageTooLarge(f"{path} is larger than {MAX_FILE_BYTES} bytes", remedy="send fewer rows at a time")
        return _load(path)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}", remedy="check the path") from error
    except (ValueError, EOFError, UserWarning) as error:
        raise InvalidInput(
            f"{path} holds no numbers{_where(error)}", remedy="give a .npy or .csv of numbers"
        ) from error


def _where(error: Exception) -> str:
    """The place that numpy names, without the cell that it quotes beside it."""
    place = _PLACE.search(str(error))
    return f" in row {int(place[1]) + 1}, column {place[2]}" if place else ""
