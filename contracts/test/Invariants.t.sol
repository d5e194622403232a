// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ReceiptAnchor} from "src/ReceiptAnchor.sol";
import {BatchRoot} from "libraries/Eip712Types.sol";
import {Base} from "test/Base.sol";
import {Test} from "forge-std/Test.sol";

/// @notice Somebody who anchors, honestly or not, and remembers what was accepted first.
contract Caller is Test {
    ReceiptAnchor private immutable ANCHOR;
    bytes32 private immutable SET;
    uint256[] private keys;
    bytes32[] public accepted;
    mapping(bytes32 root => uint64 size) public sizes;

    constructor(ReceiptAnchor anchor, bytes32 set, uint256[] memory keys_) {
        ANCHOR = anchor;
        SET = set;
        keys = keys_;
    }

    function acceptedCount() external view returns (uint256) {
        return accepted.length;
    }

    /// @param seed few different roots, so that many are tried twice
    /// @param signed how many of the parties sign
    function tryAnchor(uint8 seed, uint64 size, uint8 signed) external {
        bytes32 root = bytes32(uint256(seed % 8));
        bytes[] memory signatures = new bytes[](signed % 4);
        bytes32 digest = ANCHOR.hashBatchRoot(BatchRoot(root, size, SET));
        for (uint256 i = 0; i < signatures.length; ++i) {
            (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[i], digest);
            signatures[i] = abi.encodePacked(r, s, v);
        }
        vm.roll(block.number + 1);
        try ANCHOR.anchor(root, size, SET, signatures) {
            assertEq(signatures.length, keys.length, "accepted without all signatures");
            assertEq(sizes[root], 0, "accepted twice");
            accepted.push(root);
            sizes[root] = size;
        } catch {
            // Refused: then nothing may have changed, which the invariant checks.
        }
    }
}

contract AnchorInvariants is Base {
    Caller private caller;

    function setUp() public override {
        super.setUp();
        caller = new Caller(anchor, set, keys);
        targetContract(address(caller));
    }

    /// @notice What was accepted stays, as it was.
    function invariant_anchoredRootsNeverChange() public view {
        for (uint256 i = 0; i < caller.acceptedCount(); ++i) {
            bytes32 root = caller.accepted(i);
            (uint64 size,,) = anchor.anchored(root, set);
            assertEq(size, caller.sizes(root));
        }
    }
}
