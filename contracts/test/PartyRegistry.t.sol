// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IAccessControl} from "@openzeppelin/contracts/access/IAccessControl.sol";
import {IERC1056} from "interfaces/IERC1056.sol";
import {IPartyRegistry} from "interfaces/IPartyRegistry.sol";
import {PartyRegistry} from "src/PartyRegistry.sol";
import {Base} from "test/Base.sol";

contract PartyRegistryTest is Base {
    address private newcomer = makeAddr("newcomer");
    address private spare = makeAddr("spare");

    function test_aRegisteredPartyIsAsDescribed() public view {
        IPartyRegistry.Party memory party = parties.party(members[0]);
        assertEq(party.tlsKeyHash, keccak256("tls key"));
        assertEq(party.sealingKeyIds.length, 2);
        assertEq(party.sealingKeyIds[0], keccak256("sealing key"));
        assertEq(party.endpoint, "party.example:7000");
        assertEq(party.registeredAt, block.timestamp);
    }

    function test_registrationEmits() public {
        vm.expectEmit(address(parties));
        emit IPartyRegistry.PartyRegistered(newcomer, bytes32(uint256(1)), new bytes32[](0), "here:1");
        vm.expectEmit(address(parties));
        emit IPartyRegistry.SignerAdded(newcomer, newcomer, uint64(block.timestamp), type(uint64).max);
        vm.prank(admin);
        parties.registerParty(newcomer, bytes32(uint256(1)), new bytes32[](0), "here:1");
    }

    function test_theZeroAdminIsRefused() public {
        vm.expectRevert(IERC1056.ZeroAddress.selector);
        new PartyRegistry(address(0));
    }

    function test_onlyARegistrarRegisters() public {
        bytes32 role = parties.REGISTRAR_ROLE();
        vm.expectRevert(
            abi.encodeWithSelector(IAccessControl.AccessControlUnauthorizedAccount.selector, stranger, role)
        );
        vm.prank(stranger);
        parties.registerParty(newcomer, 0, new bytes32[](0), "");
    }

    function test_zeroAndDoublePartiesAreRefused() public {
        vm.startPrank(admin);
        vm.expectRevert(IERC1056.ZeroAddress.selector);
        parties.registerParty(address(0), 0, new bytes32[](0), "");
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartyExists.selector, members[1]));
        parties.registerParty(members[1], 0, new bytes32[](0), "");
    }

    function test_sizesAreLimited() public {
        vm.startPrank(admin);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.TooManySealingKeys.selector, 9, 8));
        parties.registerParty(newcomer, 0, new bytes32[](9), "");
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.EndpointInvalid.selector, 257, 256));
        parties.registerParty(newcomer, 0, new bytes32[](0), string(new bytes(257)));
    }

    function test_aPartyDescribesItselfAnew() public {
        vm.prank(members[0]);
        parties.updateParty(members[0], keccak256("new"), new bytes32[](1), "there:2");
        IPartyRegistry.Party memory party = parties.party(members[0]);
        assertEq(party.tlsKeyHash, keccak256("new"));
        assertEq(party.sealingKeyIds.length, 1);
        assertEq(party.endpoint, "there:2");
        assertEq(party.registeredAt, block.timestamp);
    }

    function test_nobodyElseDescribesAParty() public {
        vm.expectRevert(abi.encodeWithSelector(IERC1056.NotIdentityOwner.selector, members[0], admin));
        vm.prank(admin);
        parties.updateParty(members[0], 0, new bytes32[](0), "");
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartyUnknown.selector, stranger));
        vm.prank(stranger);
        parties.updateParty(stranger, 0, new bytes32[](0), "");
    }

    function test_anUnknownPartyIsRefused() public {
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartyUnknown.selector, stranger));
        parties.party(stranger);
    }

    // Keys and their windows

    function test_anIdentitySignsFromItsRegistrationOn() public view {
        uint64 start = uint64(block.timestamp);
        assertFalse(parties.signerValidAt(members[0], members[0], start - 1));
        assertTrue(parties.signerValidAt(members[0], members[0], start));
        assertTrue(parties.signerValidAt(members[0], members[0], type(uint64).max - 1));
        assertFalse(parties.signerValidAt(members[0], members[1], start));
    }

    function test_rotationKeepsOldSignaturesAndRevocationVoidsThem() public {
        uint64 start = uint64(block.timestamp);
        vm.startPrank(members[0]);
        parties.addSigner(members[0], spare, 0, start + 1000);
        vm.warp(start + 500);
        parties.revokeSigner(members[0], members[0], start + 500);
        assertTrue(parties.signerValidAt(members[0], members[0], start + 499));
        assertFalse(parties.signerValidAt(members[0], members[0], start + 500));
        assertTrue(parties.signerValidAt(members[0], spare, start + 999));
        assertFalse(parties.signerValidAt(members[0], spare, start + 1000));
        parties.revokeSigner(members[0], members[0], start + 10); // it leaked earlier than was known
        assertFalse(parties.signerValidAt(members[0], members[0], start + 499));
    }

    function test_aWindowNeverGrows() public {
        uint64 start = uint64(block.timestamp);
        vm.startPrank(members[0]);
        parties.revokeSigner(members[0], members[0], start + 5);
        vm.expectRevert(
            abi.encodeWithSelector(
                IPartyRegistry.RevocationTooLate.selector, members[0], members[0], start + 6, start + 5
            )
        );
        parties.revokeSigner(members[0], members[0], start + 6);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignerExists.selector, members[0], members[0]));
        parties.addSigner(members[0], members[0], 0, type(uint64).max);
    }

    function test_aKeyRevokedFromTheBeginningDoesNotComeBack() public {
        vm.startPrank(members[0]);
        parties.revokeSigner(members[0], members[0], 0);
        assertFalse(parties.signerValidAt(members[0], members[0], uint64(block.timestamp)));
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignerExists.selector, members[0], members[0]));
        parties.addSigner(members[0], members[0], 0, type(uint64).max);
    }

    function test_windowsOfThePastOrUpsideDownAreRefused() public {
        uint64 start = uint64(block.timestamp);
        vm.startPrank(members[0]);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.WindowInvalid.selector, start - 1, start + 9, start));
        parties.addSigner(members[0], spare, start - 1, start + 9);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.WindowInvalid.selector, start + 9, start + 9, start));
        parties.addSigner(members[0], spare, start + 9, start + 9);
        vm.expectRevert(IERC1056.ZeroAddress.selector);
        parties.addSigner(members[0], address(0), 0, start + 9);
    }

    function test_aGuardianRevokesAndDoesNotAdd() public {
        vm.startPrank(admin);
        parties.revokeSigner(members[0], members[0], uint64(block.timestamp));
        vm.expectRevert(abi.encodeWithSelector(IERC1056.NotIdentityOwner.selector, members[0], admin));
        parties.addSigner(members[0], spare, 0, type(uint64).max);
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.MayNotRevoke.selector, members[1], stranger));
        vm.prank(stranger);
        parties.revokeSigner(members[1], members[1], 0);
    }

    function test_anUnknownKeyIsNotRevoked() public {
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignerUnknown.selector, members[0], spare));
        vm.prank(members[0]);
        parties.revokeSigner(members[0], spare, 0);
    }

    function testFuzz_aWindowIsWhatItSays(uint64 notBefore, uint64 notAfter, uint64 time) public {
        notBefore = uint64(bound(notBefore, block.timestamp, type(uint64).max - 1));
        notAfter = uint64(bound(notAfter, notBefore + 1, type(uint64).max));
        vm.prank(members[0]);
        parties.addSigner(members[0], spare, notBefore, notAfter);
        assertEq(parties.signerValidAt(members[0], spare, time), notBefore <= time && time < notAfter);
        IPartyRegistry.Window memory window = parties.signerWindow(members[0], spare);
        assertEq(window.notBefore, notBefore);
        assertEq(window.notAfter, notAfter);
    }

    function testFuzz_afterARevocationNothingCounts(uint64 from, uint64 time) public {
        from = uint64(bound(from, 0, type(uint64).max - 1));
        vm.prank(members[0]);
        parties.revokeSigner(members[0], members[0], from);
        assertEq(parties.signerValidAt(members[0], members[0], time), time >= block.timestamp && time < from);
        assertEq(parties.signerRevokedAt(members[0], members[0], time), time >= from);
        assertFalse(parties.signerRevokedAt(members[1], members[1], time));
        assertFalse(parties.signerRevokedAt(members[0], spare, time));
    }

    function testFuzz_aRevocationVoidsWhatIsSeenTooLate(uint64 from, uint64 signedAt, uint64 knownAt) public {
        uint64 start = uint64(block.timestamp);
        from = uint64(bound(from, start + 1, start + 1000));
        signedAt = uint64(bound(signedAt, start, from - 1));
        knownAt = uint64(bound(knownAt, start, start + 2000));
        vm.prank(members[1]);
        parties.revokeSigner(members[1], members[1], from);
        if (knownAt >= from) {
            vm.expectRevert(
                abi.encodeWithSelector(IPartyRegistry.SignerNotValid.selector, members[1], members[1], knownAt)
            );
        }
        parties.requireSigners(set, members, signedAt, knownAt);
    }

    function test_whatIsNotRevokedIsNeverRevoked() public view {
        assertFalse(parties.signerRevokedAt(members[0], members[0], type(uint64).max));
        parties.requireSigners(set, members, block.timestamp, type(uint64).max);
    }

    function test_thatAWindowEndsVoidsNothing() public {
        uint64 start = uint64(block.timestamp);
        vm.prank(members[0]);
        parties.addSigner(members[0], spare, 0, start + 10);
        address first = members[0];
        members[0] = spare;
        parties.requireSigners(set, members, start + 9, start + 1000);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignerNotValid.selector, first, spare, start + 10));
        parties.requireSigners(set, members, start + 10, start + 1000);
    }

    // Sets

    function test_aSetIsAsCreated() public view {
        (address[] memory found, uint256 threshold, uint64 createdAt) = parties.partySet(set);
        assertEq(found, members);
        assertEq(threshold, 3);
        assertEq(createdAt, block.timestamp);
        assertEq(set, keccak256(abi.encode(block.chainid, address(parties), members, 3)));
        assertEq(set, parties.partySetId(members, 3));
    }

    function test_setsDifferByOrderAndThreshold() public {
        bytes32 other = parties.createPartySet(members, 2);
        (members[0], members[1]) = (members[1], members[0]);
        bytes32 third = parties.createPartySet(members, 3);
        assertTrue(set != other && other != third && set != third);
    }

    function test_aSetIsCreatedOnce() public {
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartySetExists.selector, set));
        parties.createPartySet(members, 3);
    }

    function test_wrongSetsAreRefused() public {
        address[] memory pair = new address[](2);
        (pair[0], pair[1]) = (members[0], members[0]);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.DuplicateMember.selector, members[0]));
        parties.createPartySet(pair, 2);
        pair[1] = stranger;
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartyUnknown.selector, stranger));
        parties.createPartySet(pair, 2);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartyCountInvalid.selector, 1, 2, 16));
        parties.createPartySet(new address[](1), 1);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartyCountInvalid.selector, 17, 2, 16));
        parties.createPartySet(new address[](17), 17);
    }

    function testFuzz_theThresholdIsBounded(uint256 threshold) public {
        vm.assume(threshold < 2 || threshold > 3);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.ThresholdInvalid.selector, threshold, 2, 3));
        parties.createPartySet(members, threshold);
    }

    function test_unknownSetsAreRefused() public {
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartySetUnknown.selector, bytes32(uint256(5))));
        parties.partySet(bytes32(uint256(5)));
    }

    function test_signersStandForASetInItsOrder() public {
        parties.requireSigners(set, members, block.timestamp, block.timestamp);
        (members[0], members[1]) = (members[1], members[0]);
        vm.expectRevert(
            abi.encodeWithSelector(IPartyRegistry.SignerNotValid.selector, members[1], members[0], block.timestamp)
        );
        parties.requireSigners(set, members, block.timestamp, block.timestamp);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignatureCountWrong.selector, 2, 3));
        parties.requireSigners(set, new address[](2), block.timestamp, block.timestamp);
    }

    function test_oneKeyDoesNotStandForTwoParties() public {
        vm.prank(members[0]);
        parties.addSigner(members[0], spare, 0, type(uint64).max);
        vm.prank(members[1]);
        parties.addSigner(members[1], spare, 0, type(uint64).max);
        (members[0], members[1]) = (spare, spare);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.DuplicateSigner.selector, spare));
        parties.requireSigners(set, members, block.timestamp, block.timestamp);
    }

    // Identities

    function test_anIdentityOwnsItselfUntilGivenAway() public {
        assertEq(parties.identityOwner(members[0]), members[0]);
        vm.expectEmit(address(parties));
        emit IERC1056.DIDOwnerChanged(members[0], stranger, 0);
        vm.prank(members[0]);
        parties.changeOwner(members[0], stranger);
        assertEq(parties.identityOwner(members[0]), stranger);
        assertEq(parties.changed(members[0]), block.number);
        vm.expectRevert(abi.encodeWithSelector(IERC1056.NotIdentityOwner.selector, members[0], members[0]));
        vm.prank(members[0]);
        parties.changeOwner(members[0], members[0]);
        vm.prank(stranger);
        parties.addSigner(members[0], spare, 0, type(uint64).max);
    }

    function test_zeroOwnsNothing() public {
        vm.startPrank(members[0]);
        vm.expectRevert(IERC1056.ZeroAddress.selector);
        parties.changeOwner(members[0], address(0));
        vm.expectRevert(IERC1056.ZeroAddress.selector);
        parties.addDelegate(members[0], "veriKey", address(0), 1);
    }

    function test_delegationsEnd() public {
        vm.startPrank(members[0]);
        parties.addDelegate(members[0], "veriKey", stranger, 100);
        assertTrue(parties.validDelegate(members[0], "veriKey", stranger));
        assertFalse(parties.validDelegate(members[0], "sigAuth", stranger));
        vm.warp(block.timestamp + 100);
        assertFalse(parties.validDelegate(members[0], "veriKey", stranger));
        parties.addDelegate(members[0], "veriKey", stranger, 100);
        parties.revokeDelegate(members[0], "veriKey", stranger);
        assertFalse(parties.validDelegate(members[0], "veriKey", stranger));
    }

    function test_attributesAreLogged() public {
        vm.startPrank(members[0]);
        vm.expectEmit(address(parties));
        emit IERC1056.DIDAttributeChanged(members[0], "did/svc", hex"aabb", block.timestamp + 9, 0);
        parties.setAttribute(members[0], "did/svc", hex"aabb", 9);
        vm.expectEmit(address(parties));
        emit IERC1056.DIDAttributeChanged(members[0], "did/svc", hex"aabb", 0, block.number);
        parties.revokeAttribute(members[0], "did/svc", hex"aabb");
        vm.stopPrank();
        vm.expectRevert(abi.encodeWithSelector(IERC1056.NotIdentityOwner.selector, members[0], stranger));
        vm.prank(stranger);
        parties.setAttribute(members[0], "did/svc", hex"aabb", 9);
    }
}
