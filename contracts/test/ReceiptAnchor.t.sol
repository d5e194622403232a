// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IPartyRegistry} from "interfaces/IPartyRegistry.sol";
import {IReceiptAnchor} from "interfaces/IReceiptAnchor.sol";
// forge-std has a Receipt of its own.
import {BatchRoot, Receipt as Signed} from "libraries/Eip712Types.sol";
import {Rfc9162} from "libraries/Rfc9162.sol";
import {ReceiptAnchor} from "src/ReceiptAnchor.sol";
import {Base} from "test/Base.sol";

contract ReceiptAnchorTest is Base {
    bytes32 private root = keccak256("root");

    function put(bytes32 value, uint64 size) private {
        anchor.anchor(value, size, set, signAll(batchDigest(value, size)));
    }

    function receipt() private view returns (Signed memory value) {
        value.version = 1;
        value.jobId = keccak256("job");
        value.partySet = set;
        value.engine = "crypten";
        value.started = uint64(block.timestamp) * 1000;
        value.finished = uint64(block.timestamp) * 1000 + 250;
    }

    function noPath() private pure returns (bytes32[] memory) {
        return new bytes32[](0);
    }

    function test_aRootIsAnchored() public {
        vm.expectEmit(address(anchor));
        emit IReceiptAnchor.Anchored(root, set, 1024);
        put(root, 1024);
        (uint64 size, uint64 timestamp, uint64 blockNumber) = anchor.anchored(root, set);
        assertEq(size, 1024);
        assertEq(timestamp, block.timestamp);
        assertEq(blockNumber, block.number);
    }

    function test_anUnknownRootIsAllZero() public view {
        (uint64 size, uint64 timestamp, uint64 blockNumber) = anchor.anchored(root, set);
        assertEq(size + timestamp + blockNumber, 0);
    }

    function test_anotherSetTakesNoRootAway() public {
        bytes32 other = parties.createPartySet(members, 2);
        bytes32 squatted = anchor.hashBatchRoot(BatchRoot(root, 1, other));
        anchor.anchor(root, 1, other, signAll(squatted));
        (uint64 size,,) = anchor.anchored(root, set);
        assertEq(size, 0);
        put(root, 1024);
        (size,,) = anchor.anchored(root, set);
        assertEq(size, 1024);
        (size,,) = anchor.anchored(root, other);
        assertEq(size, 1);
    }

    function test_theZeroRegistryIsRefused() public {
        vm.expectRevert(IReceiptAnchor.ZeroRegistry.selector);
        new ReceiptAnchor(IPartyRegistry(address(0)));
    }

    function test_aRootIsAnchoredOnce() public {
        put(root, 4);
        bytes[] memory signatures = signAll(batchDigest(root, 5));
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.RootExists.selector, root, set, block.number));
        anchor.anchor(root, 5, set, signatures);
    }

    function test_nothingIsNotAnchored() public {
        vm.expectRevert(IReceiptAnchor.ZeroRoot.selector);
        anchor.anchor(0, 1, set, new bytes[](3));
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.EmptyBatch.selector, root));
        anchor.anchor(root, 0, set, new bytes[](3));
        bytes[] memory none = new bytes[](0);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartySetUnknown.selector, bytes32(uint256(4))));
        anchor.anchor(root, 1, bytes32(uint256(4)), none);
    }

    function testFuzz_everySignatureIsNeeded(uint256 which) public {
        which = bound(which, 0, 2);
        bytes[] memory all = signAll(batchDigest(root, 1));
        bytes[] memory fewer = new bytes[](2);
        for (uint256 i = 0; i < 2; ++i) {
            fewer[i] = all[i < which ? i : i + 1];
        }
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignatureCountWrong.selector, 2, 3));
        anchor.anchor(root, 1, set, fewer);
        all[which] = sign(uint256(keccak256("foreign key")), batchDigest(root, 1));
        vm.expectRevert(
            abi.encodeWithSelector(
                IPartyRegistry.SignerNotValid.selector,
                members[which],
                vm.addr(uint256(keccak256("foreign key"))),
                block.timestamp
            )
        );
        anchor.anchor(root, 1, set, all);
    }

    function testFuzz_anotherBatchIsNotWhatWasSigned(bytes32 otherRoot, uint64 otherSize) public {
        vm.assume((otherRoot != root || otherSize != 7) && otherRoot != 0 && otherSize != 0);
        bytes[] memory signatures = signAll(batchDigest(root, 7));
        vm.expectPartialRevert(IPartyRegistry.SignerNotValid.selector);
        anchor.anchor(otherRoot, otherSize, set, signatures);
    }

    function test_signaturesForAnotherContractDoNotCount() public {
        bytes[] memory signatures = signAll(batchDigest(root, 1));
        ReceiptAnchor other = new ReceiptAnchor(parties);
        vm.expectPartialRevert(IPartyRegistry.SignerNotValid.selector);
        other.anchor(root, 1, set, signatures);
    }

    function test_highSIsRefused() public {
        bytes[] memory signatures = signAll(batchDigest(root, 1));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keys[1], batchDigest(root, 1));
        bytes32 high = bytes32(SECP256K1_ORDER - uint256(s));
        signatures[1] = abi.encodePacked(r, high, v == 27 ? uint8(28) : uint8(27));
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureS.selector, high));
        anchor.anchor(root, 1, set, signatures);
    }

    function test_malformedSignaturesAreRefused() public {
        bytes[] memory signatures = signAll(batchDigest(root, 1));
        bytes memory good = signatures[1];
        signatures[1] = abi.encodePacked(good, hex"00");
        vm.expectRevert(abi.encodeWithSelector(ECDSA.ECDSAInvalidSignatureLength.selector, 66));
        anchor.anchor(root, 1, set, signatures);
        good[64] = 0x00;
        signatures[1] = good;
        vm.expectRevert(ECDSA.ECDSAInvalidSignature.selector);
        anchor.anchor(root, 1, set, signatures);
    }

    function test_aRevokedKeyDoesNotAnchor() public {
        bytes[] memory signatures = signAll(batchDigest(root, 1));
        vm.prank(members[2]);
        parties.revokeSigner(members[2], members[2], uint64(block.timestamp));
        vm.expectRevert(
            abi.encodeWithSelector(IPartyRegistry.SignerNotValid.selector, members[2], members[2], block.timestamp)
        );
        anchor.anchor(root, 1, set, signatures);
    }

    function test_aRotatedKeyAnchors() public {
        (address fresh, uint256 key) = makeAddrAndKey("fresh");
        vm.prank(members[0]);
        parties.addSigner(members[0], fresh, 0, type(uint64).max);
        keys[0] = key;
        put(root, 1);
        (uint64 size,,) = anchor.anchored(root, set);
        assertEq(size, 1);
    }

    function test_inclusionHoldsForAnchoredRootsOnly() public {
        bytes32 left = keccak256("left");
        bytes32[] memory path = new bytes32[](1);
        path[0] = Rfc9162.leafHash(keccak256("right"));
        bytes32 top = Rfc9162.nodeHash(Rfc9162.leafHash(left), path[0]);
        assertFalse(anchor.verifyInclusion(left, 0, 2, path, top, set));
        put(top, 2);
        assertTrue(anchor.verifyInclusion(left, 0, 2, path, top, set));
        assertFalse(anchor.verifyInclusion(left, 0, 2, path, top, keccak256("another set")));
        assertFalse(anchor.verifyInclusion(left, 1, 2, path, top, set));
        assertFalse(anchor.verifyInclusion(left, 0, 3, path, top, set));
        assertFalse(anchor.verifyInclusion(left, 0, 0, path, bytes32(0), set));
    }

    // Receipts

    function anchorReceipt(Signed memory value) private returns (bytes32 digest, bytes32 top) {
        digest = anchor.hashReceipt(value);
        top = Rfc9162.leafHash(digest);
        put(top, 1);
    }

    function test_aReceiptVerifies() public {
        Signed memory value = receipt();
        (bytes32 digest, bytes32 top) = anchorReceipt(value);
        vm.warp(block.timestamp + 365 days);
        vm.prank(members[0]); // rotated away later: what it signed before stays
        parties.revokeSigner(members[0], members[0], uint64(block.timestamp));
        assertEq(anchor.verifyReceipt(value, signAll(digest), 0, noPath(), top), digest);
    }

    function testFuzz_aFlippedWordIsNoticed(uint256 index, uint256 bit) public {
        Signed memory value = receipt();
        (bytes32 digest, bytes32 top) = anchorReceipt(value);
        bytes[] memory signatures = signAll(digest);
        bytes memory words = abi.encode(value);
        index = bound(index, 0, 13);
        // Numbers are flipped within their width: beyond it, decoding fails before anything is verified.
        bit = bound(bit, 0, index == 0 ? 7 : index > 10 ? 63 : 255);
        assembly {
            let word := add(add(words, 32), mul(index, 32))
            mstore(word, xor(mload(word), shl(bit, 1)))
        }
        value = abi.decode(words, (Signed));
        vm.expectRevert();
        anchor.verifyReceipt(value, signatures, 0, noPath(), top);
    }

    function test_eachFailureSaysWhy() public {
        Signed memory value = receipt();
        (bytes32 digest, bytes32 top) = anchorReceipt(value);
        bytes[] memory signatures = signAll(digest);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.RootUnknown.selector, root, set));
        anchor.verifyReceipt(value, signatures, 0, noPath(), root);
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.ReceiptNotIncluded.selector, digest, 1, top));
        anchor.verifyReceipt(value, signatures, 1, noPath(), top);
        value.version = 2;
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.ReceiptVersionUnknown.selector, 2));
        anchor.verifyReceipt(value, signatures, 0, noPath(), top);
        value.version = 1;
        (value.started, value.finished) = (value.finished, value.started);
        vm.expectRevert(
            abi.encodeWithSelector(IReceiptAnchor.ReceiptTimesInvalid.selector, value.started, value.finished)
        );
        anchor.verifyReceipt(value, signatures, 0, noPath(), top);
    }

    function test_aReceiptOfAnotherSetIsRefused() public {
        Signed memory value = receipt();
        (, bytes32 top) = anchorReceipt(value);
        value.partySet = parties.createPartySet(members, 2);
        bytes[] memory signatures = signAll(anchor.hashReceipt(value));
        vm.expectRevert(abi.encodeWithSelector(IReceiptAnchor.RootUnknown.selector, top, value.partySet));
        anchor.verifyReceipt(value, signatures, 0, noPath(), top);
    }

    function testFuzz_anAnchorIsNotBeforeItsReceipt(uint64 late) public {
        Signed memory value = receipt();
        late = uint64(bound(late, 0, 2 * anchor.CLOCK_TOLERANCE()));
        value.finished = (uint64(block.timestamp) + late) * 1000 + 999;
        (bytes32 digest, bytes32 top) = anchorReceipt(value);
        if (late > anchor.CLOCK_TOLERANCE()) {
            vm.expectRevert(
                abi.encodeWithSelector(IReceiptAnchor.ReceiptAfterAnchor.selector, value.finished, block.timestamp)
            );
        }
        anchor.verifyReceipt(value, signAll(digest), 0, noPath(), top);
    }

    function test_aKeyRevokedBeforeTheAnchorVoidsWhatItSignedWithAnEarlierDate() public {
        Signed memory value = receipt();
        bytes32 digest = anchor.hashReceipt(value);
        bytes[] memory signatures = signAll(digest);
        uint64 stolen = uint64(block.timestamp) + 10;
        (address fresh, uint256 key) = makeAddrAndKey("fresh");
        vm.startPrank(members[0]);
        parties.addSigner(members[0], fresh, 0, type(uint64).max);
        parties.revokeSigner(members[0], members[0], stolen);
        vm.stopPrank();
        keys[0] = key;
        bytes32 top = Rfc9162.leafHash(digest);
        vm.warp(stolen);
        put(top, 1);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignerNotValid.selector, members[0], members[0], stolen));
        anchor.verifyReceipt(value, signatures, 0, noPath(), top);
        signatures[0] = sign(key, digest);
        assertEq(anchor.verifyReceipt(value, signatures, 0, noPath(), top), digest);
    }

    function test_aReceiptFromBeforeRegistrationIsRefused() public {
        Signed memory value = receipt();
        (value.started, value.finished) = (1, 2);
        (bytes32 digest, bytes32 top) = anchorReceipt(value);
        bytes[] memory signatures = signAll(digest);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignerNotValid.selector, members[0], members[0], 0));
        anchor.verifyReceipt(value, signatures, 0, noPath(), top);
    }
}
