// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Merkle trees of Certificate Transparency (RFC 9162, section 2.1) over SHA-256
/// @notice Leaves and inner nodes are hashed under different prefixes (0x00 and 0x01), so neither can pass for the
/// other, and the size is part of what is checked.
library Rfc9162 {
    /// @notice Hash of a leaf whose data are 32 bytes.
    function leafHash(bytes32 data) internal view returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(free, 0x00)
            mstore(add(free, 1), data)
            // 0x02 is SHA-256; it fails only for lack of gas.
            if iszero(staticcall(gas(), 0x02, free, 33, 0x00, 0x20)) { revert(0, 0) }
            result := mload(0x00)
        }
    }

    /// @notice Hash of an inner node.
    function nodeHash(bytes32 left, bytes32 right) internal view returns (bytes32 result) {
        assembly ("memory-safe") {
            let free := mload(0x40)
            mstore8(free, 0x01)
            mstore(add(free, 1), left)
            mstore(add(free, 33), right)
            if iszero(staticcall(gas(), 0x02, free, 65, 0x00, 0x20)) { revert(0, 0) }
            result := mload(0x00)
        }
    }

    /// @notice Whether a leaf lies at an index of the tree with this size and root (RFC 9162, section 2.1.3.2).
    /// @param path hashes from the leaf's neighbour up; a path that is too long or too short is refused
    function included(bytes32 data, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        internal
        view
        returns (bool)
    {
        if (index >= size) return false;
        uint64 node = index;
        uint64 last = size - 1;
        bytes32 computed = leafHash(data);
        for (uint256 i = 0; i < path.length; ++i) {
            if (last == 0) return false;
            if (node & 1 == 1 || node == last) {
                computed = nodeHash(path[i], computed);
                // At the right edge of an incomplete tree there are levels without a neighbour.
                while (node & 1 == 0 && node != 0) {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                computed = nodeHash(computed, path[i]);
            }
            node >>= 1;
            last >>= 1;
        }
        return last == 0 && computed == root;
    }
}
