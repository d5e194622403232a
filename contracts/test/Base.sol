// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {PartyRegistry} from "src/PartyRegistry.sol";
import {ModelRegistry} from "src/ModelRegistry.sol";
import {ReceiptAnchor} from "src/ReceiptAnchor.sol";
import {BatchRoot, Eip712Types, ModelHolding} from "libraries/Eip712Types.sol";

/// @notice Three parties in a set, and what they sign.
abstract contract Base is Test {
    using Eip712Types for BatchRoot;
    using Eip712Types for ModelHolding;

    address internal admin = makeAddr("admin");
    address internal stranger = makeAddr("stranger");
    uint256[] internal keys;
    address[] internal members;
    PartyRegistry internal parties;
    ModelRegistry internal models;
    ReceiptAnchor internal anchor;
    bytes32 internal set;

    function setUp() public virtual {
        vm.warp(1_800_000_000);
        vm.roll(100);
        parties = new PartyRegistry(admin);
        models = new ModelRegistry(parties);
        anchor = new ReceiptAnchor(parties);
        for (uint256 i = 0; i < 3; ++i) {
            (address member, uint256 key) = makeAddrAndKey(string.concat("party ", vm.toString(i)));
            members.push(member);
            keys.push(key);
            register(member);
        }
        set = parties.createPartySet(members, 3);
    }

    function register(address identity) internal {
        bytes32[] memory sealing = new bytes32[](2);
        sealing[0] = keccak256("sealing key");
        vm.prank(admin);
        parties.registerParty(identity, keccak256("tls key"), sealing, "party.example:7000");
    }

    function signAll(bytes32 digest) internal view returns (bytes[] memory signatures) {
        signatures = new bytes[](keys.length);
        for (uint256 i = 0; i < keys.length; ++i) {
            signatures[i] = sign(keys[i], digest);
        }
    }

    function sign(uint256 key, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return abi.encodePacked(r, s, v);
    }

    function batchDigest(bytes32 root, uint64 size) internal view returns (bytes32) {
        return anchor.hashBatchRoot(BatchRoot(root, size, set));
    }

    function holdingDigest(bytes32 modelHash, address owner) internal view returns (bytes32) {
        bytes32 structHash = ModelHolding(modelHash, set, owner).hash();
        return keccak256(abi.encodePacked(hex"1901", models.domainSeparator(), structHash));
    }
}
