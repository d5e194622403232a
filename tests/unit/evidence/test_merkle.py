from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer.errors import InclusionInvalid, InvalidInput
from mpc_infer.evidence import merkle

# The data and hashes of the Certificate Transparency project's own tests (merkle_tree_test.cc).
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}

DATA = st.lists(st.binary(max_size=8), min_size=1, max_size=40)


def root_as_defined(leaves):
    """RFC 9162, section 2.1.1, word for word."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return sha256(b"\x01" + root_as_defined(leaves[:k]) + root_as_defined(leaves[k:])).digest()


def path_as_defined(leaves, index):
    """RFC 9162, section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    if index < k:
        return [*path_as_defined(leaves[:k], index), root_as_defined(leaves[k:])]
    return [*path_as_defined(leaves[k:], index - k), root_as_defined(leaves[:k])]


def test_the_empty_tree():
    assert merkle.root([]).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert merkle.inclusion_paths([]) == []


@pytest.mark.parametrize("size", range(1, 9))
def test_known_roots(size):
    assert merkle.root(LEAVES[:size]).hex() == ROOTS[size - 1]


@pytest.mark.parametrize(("where", "path"), PATHS.items())
def test_known_paths(where, path):
    index, size = where
    assert [node.hex() for node in merkle.inclusion_path(LEAVES[:size], index)] == path
    known = [bytes.fromhex(node) for node in path]
    assert merkle.verify_inclusion(LEAVES[index], index, size, known, bytes.fromhex(ROOTS[size - 1]))


@given(DATA)
def test_trees_are_as_defined(leaves):
    root = merkle.root(leaves)
    assert root == root_as_defined(leaves)
    paths = merkle.inclusion_paths(leaves)
    for index, leaf in enumerate(leaves):
        assert paths[index] == merkle.inclusion_path(leaves, index) == path_as_defined(leaves, index)
        assert merkle.verify_inclusion(leaf, index, len(leaves), paths[index], root) == root


@given(st.integers(1, 40), st.data())
def test_any_other_position_is_refused(size, data):
    leaves = [bytes([index]) for index in range(size)]
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(-1, size + 1).filter(lambda value: value != index))
    path = merkle.inclusion_path(leaves, index)
    with pytest.raises(InclusionInvalid):
        merkle.verify_inclusion(leaves[index], other, size, path, merkle.root(leaves))


@given(st.integers(1, 40), st.data())
def test_any_changed_node_is_refused(size, data):
    leaves = [bytes([index]) for index in range(size)]
    index = data.draw(st.integers(0, size - 1))
    path, root = merkle.inclusion_path(leaves, index), merkle.root(leaves)
    changed = [bytes([node[0] ^ 1]) + node[1:] for node in path]
    wrong = [[*path[:i], changed[i], *path[i + 1 :]] for i in range(len(path))]
    wrong += [path[:i] + path[i + 1 :] for i in range(len(path))]
    wrong += [[*path, root], [root, *path], [*path] + [bytes(32)] * 65]
    for each in wrong:
        with pytest.raises(InclusionInvalid):
            merkle.verify_inclusion(leaves[index], index, size, each, root)
    with pytest.raises(InclusionInvalid):
        merkle.verify_inclusion(b"another", index, size, path, root)
    with pytest.raises(InclusionInvalid):
        merkle.verify_inclusion(leaves[index], index, size, path, bytes(32))


def test_an_inner_node_is_no_leaf():
    leaves = [b"a", b"b", b"c", b"d"]
    inner = merkle.leaf_hash(b"a") + merkle.leaf_hash(b"b")
    path = [merkle.node_hash(merkle.leaf_hash(b"c"), merkle.leaf_hash(b"d"))]
    with pytest.raises(InclusionInvalid):
        merkle.verify_inclusion(inner, 0, 2, path, merkle.root(leaves))


def test_an_empty_tree_holds_nothing():
    with pytest.raises(InclusionInvalid):
        merkle.verify_inclusion(b"", 0, 0, [], merkle.root([]))


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_path_to_no_leaf(index):
    with pytest.raises(InvalidInput):
        merkle.inclusion_path([b"a", b"b", b"c"], index)
