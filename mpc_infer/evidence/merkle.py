"""Merkle trees of RFC 9162, section 2.1, over SHA-256."""

from collections.abc import Sequence
from hashlib import sha256

from mpc_infer.encoding import same_digest
from mpc_infer.errors import InclusionInvalid, InvalidInput

MAX_PATH = 64


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 ‖ data)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\x01" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over the leaves' data, in order; of no leaves, SHA-256 of nothing."""
    return _levels(leaves)[-1][0] if leaves else sha256(b"").digest()


def inclusion_path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The sibling hashes from a leaf up to the root.

    Raises:
        InvalidInput: no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise InvalidInput(f"there is no leaf {index} among {len(leaves)}")
    return _path(_levels(leaves), index)


def inclusion_paths(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Every leaf's inclusion path, with each hash computed once."""
    levels = _levels(leaves) if leaves else []
    return [_path(levels, index) for index in range(len(leaves))]


def verify_inclusion(data: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bytes:
    """Verify an inclusion proof (RFC 9162, section 2.1.3.2).

    Args:
        data: the leaf's data, unhashed.
        index: its position, from 0.
        size: number of leaves in the tree.
        path: the sibling hashes, lowest first.
        root: where the proof must lead.

    Returns:
        The root.

    Raises:
        InclusionInvalid: the proof does not lead there, or is too long or too short.
    """
    if not 0 <= index < size or len(path) > MAX_PATH:
        raise InclusionInvalid(f"leaf {index} is not in a tree of {size} leaves")
    position, last, current = index, size - 1, leaf_hash(data)
    for sibling in path:
        if last == 0:
            raise InclusionInvalid("the inclusion proof is too long")
        if position % 2 == 1 or position == last:
            current = node_hash(sibling, current)
            while position % 2 == 0 and position != 0:
                position, last = position // 2, last // 2
        else:
            current = node_hash(current, sibling)
        position, last = position // 2, last // 2
    if last != 0 or not same_digest(current, root):
        raise InclusionInvalid("the inclusion proof does not lead to the root")
    return root


def _levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Hashes level by level, leaves first. A last node without a sibling moves up as it is."""
    levels = [[leaf_hash(leaf) for leaf in leaves]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        above = [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
        levels.append(above + below[2 * len(above) :])
    return levels


def _path(levels: list[list[bytes]], index: int) -> list[bytes]:
    path = []
    for level in levels[:-1]:
        sibling = index ^ 1
        if sibling < len(level):
            path.append(level[sibling])
        index //= 2
    return path
