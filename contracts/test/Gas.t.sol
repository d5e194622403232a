// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BatchRoot} from "libraries/Eip712Types.sol";
import {Rfc9162} from "libraries/Rfc9162.sol";
import {Base} from "test/Base.sol";

/// @notice What anchoring and checking cost, with nothing warm: the limits that the project promises.
contract GasTest is Base {
    uint256 private constant PER_TRANSACTION = 21_000;
    uint256 private constant PER_ZERO_BYTE = 4;
    uint256 private constant PER_BYTE = 16;
    uint64 private constant BATCH = 1024;

    function cold() private {
        vm.cool(address(anchor));
        vm.cool(address(parties));
    }

    /// @dev What a transaction costs before the contract sees it.
    function intrinsic(bytes memory data) private pure returns (uint256 gas) {
        gas = PER_TRANSACTION;
        for (uint256 i = 0; i < data.length; ++i) {
            gas += data[i] == 0 ? PER_ZERO_BYTE : PER_BYTE;
        }
    }

    function test_aReceiptOf1024CostsAtMost100Gas() public {
        bytes32 root = keccak256("root");
        bytes[] memory signatures = signAll(batchDigest(root, BATCH));
        bytes memory data = abi.encodeCall(anchor.anchor, (root, BATCH, set, signatures));
        cold();
        uint256 before = gasleft();
        (bool done,) = address(anchor).call(data);
        uint256 used = before - gasleft();
        used += intrinsic(data);
        assertTrue(done);
        emit log_named_uint("anchoring 1,024 receipts with 3 signatures", used);
        assertLe(used, 100 * BATCH);
    }

    function inclusion(uint256 depth) private returns (uint256 used) {
        bytes32 leaf = keccak256("receipt");
        bytes32[] memory path = new bytes32[](depth);
        bytes32 root = Rfc9162.leafHash(leaf);
        for (uint256 i = 0; i < depth; ++i) {
            path[i] = keccak256(abi.encode(i));
            root = i % 2 == 1 ? Rfc9162.nodeHash(path[i], root) : Rfc9162.nodeHash(root, path[i]);
        }
        uint64 size = uint64(1 << depth);
        uint64 index = 0xaaaaaaaa & (size - 1);
        anchor.anchor(root, size, set, signAll(anchor.hashBatchRoot(BatchRoot(root, size, set))));
        cold();
        uint256 before = gasleft();
        bool included = anchor.verifyInclusion(leaf, index, size, path, root, set);
        used = before - gasleft();
        assertTrue(included);
        emit log_named_uint("checking an inclusion", used);
    }

    function test_anInclusionCheckAtDepth10CostsAtMost20000Gas() public {
        assertLe(inclusion(10), 20_000);
    }

    function test_anInclusionCheckAtDepth20CostsAtMost20000Gas() public {
        assertLe(inclusion(20), 20_000);
    }
}
