// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {Rfc9162} from "libraries/Rfc9162.sol";

/// @notice The verifier against the RFC's recursive definition (section 2.1.1), written down as it stands there.
contract Rfc9162Test is Test {
    uint256 private constant LARGEST = 40;

    function included(bytes32 data, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        external
        view
        returns (bool)
    {
        return Rfc9162.included(data, index, size, path, root);
    }

    function leaf(uint256 seed, uint256 index) private pure returns (bytes32) {
        return keccak256(abi.encode(seed, index));
    }

    function split(uint256 size) private pure returns (uint256 k) {
        k = 1;
        while (k * 2 < size) k *= 2;
    }

    function treeHash(uint256 seed, uint256 start, uint256 size) private pure returns (bytes32) {
        if (size == 1) return sha256(abi.encodePacked(hex"00", leaf(seed, start)));
        uint256 k = split(size);
        return sha256(abi.encodePacked(hex"01", treeHash(seed, start, k), treeHash(seed, start + k, size - k)));
    }

    function pathTo(uint256 seed, uint256 start, uint256 size, uint256 index)
        private
        pure
        returns (bytes32[] memory path)
    {
        if (size == 1) return path;
        uint256 k = split(size);
        bytes32[] memory below;
        bytes32 sibling;
        if (index < k) {
            below = pathTo(seed, start, k, index);
            sibling = treeHash(seed, start + k, size - k);
        } else {
            below = pathTo(seed, start + k, size - k, index - k);
            sibling = treeHash(seed, start, k);
        }
        path = new bytes32[](below.length + 1);
        for (uint256 i = 0; i < below.length; ++i) {
            path[i] = below[i];
        }
        path[below.length] = sibling;
    }

    function testFuzz_hashesAreSha256WithPrefixes(bytes32 left, bytes32 right) public view {
        assertEq(Rfc9162.leafHash(left), sha256(abi.encodePacked(hex"00", left)));
        assertEq(Rfc9162.nodeHash(left, right), sha256(abi.encodePacked(hex"01", left, right)));
    }

    function testFuzz_everyLeafIsIncludedAndNowhereElse(uint256 seed, uint256 size, uint256 index, uint256 other)
        public
        view
    {
        size = bound(size, 1, LARGEST);
        index = bound(index, 0, size - 1);
        other = bound(other, 0, LARGEST);
        bytes32 root = treeHash(seed, 0, size);
        bytes32[] memory path = pathTo(seed, 0, size, index);
        bytes32 data = leaf(seed, index);
        assertTrue(this.included(data, uint64(index), uint64(size), path, root));
        if (other != index) assertFalse(this.included(data, uint64(other), uint64(size), path, root));
        assertFalse(this.included(leaf(seed, index + 1), uint64(index), uint64(size), path, root));
    }

    function testFuzz_aChangedPathFails(uint256 seed, uint256 size, uint256 index, uint256 place, uint256 bit)
        public
        view
    {
        size = bound(size, 2, LARGEST);
        index = bound(index, 0, size - 1);
        bytes32 root = treeHash(seed, 0, size);
        bytes32[] memory path = pathTo(seed, 0, size, index);
        path[bound(place, 0, path.length - 1)] ^= bytes32(1 << bound(bit, 0, 255));
        assertFalse(this.included(leaf(seed, index), uint64(index), uint64(size), path, root));
    }

    function testFuzz_aPathOfAnotherLengthFails(uint256 seed, uint256 size, uint256 index, bytes32 extra) public view {
        size = bound(size, 2, LARGEST);
        index = bound(index, 0, size - 1);
        bytes32 root = treeHash(seed, 0, size);
        bytes32[] memory path = pathTo(seed, 0, size, index);
        bytes32[] memory longer = new bytes32[](path.length + 1);
        bytes32[] memory shorter = new bytes32[](path.length - 1);
        for (uint256 i = 0; i < path.length; ++i) {
            longer[i] = path[i];
            if (i < shorter.length) shorter[i] = path[i];
        }
        longer[path.length] = extra;
        assertFalse(this.included(leaf(seed, index), uint64(index), uint64(size), longer, root));
        assertFalse(this.included(leaf(seed, index), uint64(index), uint64(size), shorter, root));
    }

    function test_anInnerNodeIsNoLeaf() public view {
        bytes32 root = treeHash(7, 0, 4);
        bytes32[] memory path = new bytes32[](1);
        path[0] = treeHash(7, 2, 2);
        assertFalse(this.included(treeHash(7, 0, 2), 0, 2, path, root));
    }

    function test_anEmptyTreeHoldsNothing() public view {
        assertFalse(this.included(0, 0, 0, new bytes32[](0), sha256("")));
    }
}
