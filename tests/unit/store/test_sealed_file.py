"""Sealed files open whole, as what they were written as, under their key; or not at all."""

import os
from pathlib import Path

import pytest

from mpc_infer.errors import StoreError
from mpc_infer.store import sealed_file
from mpc_infer.store.sealed_file import PIECE_BYTES, file_bytes, finish, read, write

KEY, CONTEXT = bytes(range(32)), b"c" * 32


def written(path: Path, *parts: bytes) -> Path:
    write(path, KEY, CONTEXT, parts)
    finish([path])
    return path


@pytest.mark.parametrize("sizes", [(32,), (32, 0), (32, 7), (32, PIECE_BYTES), (0, 2 * PIECE_BYTES + 1), (1, 1, 1)])
def test_what_was_written_is_read(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    parts = [os.urandom(size) for size in sizes]
    path = written(tmp_path / "file", *parts)
    assert [bytes(part) for part in read(path, KEY, CONTEXT, sizes)] == parts
    assert path.stat().st_size == file_bytes(sizes)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_nothing_of_it_lies_open(tmp_path: Path) -> None:
    secret = os.urandom(16) * 1000
    first, second = (written(tmp_path / name, secret).read_bytes() for name in ("a", "b"))
    assert secret[:16] not in first
    assert first[36:] != second[36:]


@pytest.mark.parametrize("position", [0, 4, 40, PIECE_BYTES, -1])
def test_one_changed_bit_is_noticed(tmp_path: Path, position: int) -> None:
    path = written(tmp_path / "file", bytes(32), bytes(PIECE_BYTES + 5))
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"damaged|not a file of this kind"):
        read(path, KEY, CONTEXT, [32, PIECE_BYTES + 5])


def test_pieces_cannot_be_swapped_or_cut_off(tmp_path: Path) -> None:
    sizes = [2 * PIECE_BYTES]
    path = written(tmp_path / "file", os.urandom(sizes[0]))
    data, piece = path.read_bytes(), PIECE_BYTES + 16
    head, first, second = data[:36], data[36 : 36 + piece], data[36 + piece :]
    path.write_bytes(head + second + first)
    with pytest.raises(StoreError, match="damaged"):
        read(path, KEY, CONTEXT, sizes)
    path.write_bytes(head + first)
    with pytest.raises(StoreError, match="bytes instead of"):
        read(path, KEY, CONTEXT, sizes)
    with pytest.raises(StoreError, match="damaged"):
        read(path, KEY, CONTEXT, [PIECE_BYTES])


def test_another_key_context_or_length(tmp_path: Path) -> None:
    path = written(tmp_path / "file", bytes(100))
    for key, context, size in ((bytes(32), CONTEXT, 100), (KEY, b"d" * 32, 100), (KEY, CONTEXT, 99)):
        with pytest.raises(StoreError):
            read(path, key, context, [size])


def test_a_file_that_others_may_read_or_a_link_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "file", bytes(100))
    (tmp_path / "link").symlink_to(path)
    with pytest.raises(StoreError):
        read(tmp_path / "link", KEY, CONTEXT, [100])
    path.chmod(0o644)
    with pytest.raises(StoreError, match="may be read by others"):
        read(path, KEY, CONTEXT, [100])
    with pytest.raises(StoreError, match="cannot be read"):
        read(tmp_path / "missing", KEY, CONTEXT, [100])


def test_an_unfinished_file_has_not_its_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write(path, KEY, CONTEXT, [bytes(5)])
    assert not path.exists()
    sealed_file.discard(path)
    assert list(tmp_path.iterdir()) == []
    sealed_file.discard(path)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        write(tmp_path / "no" / "file", KEY, CONTEXT, [bytes(5)])
