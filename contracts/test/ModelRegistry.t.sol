// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IModelRegistry} from "interfaces/IModelRegistry.sol";
import {IPartyRegistry} from "interfaces/IPartyRegistry.sol";
import {ModelRegistry} from "src/ModelRegistry.sol";
import {Base} from "test/Base.sol";

contract ModelRegistryTest is Base {
    address private owner = makeAddr("owner");
    bytes32 private first = keccak256("first version");
    bytes32 private second = keccak256("second version");

    function propose(bytes32 modelHash, uint64 version) private {
        vm.prank(owner);
        models.propose(modelHash, "digits", version, set);
    }

    function stage(bytes32 modelHash) private {
        bytes[] memory holdings = signAll(holdingDigest(modelHash, owner));
        vm.prank(owner);
        models.stage(modelHash, holdings);
    }

    function activate(bytes32 modelHash) private {
        vm.prank(owner);
        models.activate(modelHash);
    }

    function deploy(bytes32 modelHash, uint64 version) private {
        propose(modelHash, version);
        stage(modelHash);
        activate(modelHash);
    }

    function status(bytes32 modelHash) private view returns (IModelRegistry.Status) {
        return models.model(modelHash).status;
    }

    function assertStatus(bytes32 modelHash, IModelRegistry.Status wanted) private view {
        assertEq(uint8(status(modelHash)), uint8(wanted));
    }

    function test_theWayOfAVersion() public {
        vm.expectEmit(address(models));
        emit IModelRegistry.ModelProposed(first, owner, set, "digits", 1);
        propose(first, 1);
        assertRecord(models.proposal(first, owner), IModelRegistry.Status.Proposed);
        assertEq(models.nameOwner("digits"), owner);
        assertEq(models.modelVersion("digits", 1), first);
        stage(first);
        assertRecord(models.model(first), IModelRegistry.Status.Staged);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ProposalUnknown.selector, first, owner));
        models.proposal(first, owner);
        activate(first);
        assertRecord(models.model(first), IModelRegistry.Status.Active);
        assertEq(models.activeModel("digits"), first);
    }

    function assertRecord(IModelRegistry.Model memory model, IModelRegistry.Status wanted) private view {
        assertEq(model.owner, owner);
        assertEq(model.version, 1);
        assertEq(model.partySet, set);
        assertEq(model.name, "digits");
        assertFalse(model.isPublic);
        assertEq(uint8(model.status), uint8(wanted));
    }

    function test_whoProposesAForeignHashKeepsNobodyFromStagingIt() public {
        vm.prank(stranger);
        models.propose(first, "squatted", 1, set);
        bytes[] memory holdings = signAll(holdingDigest(first, owner));
        vm.expectPartialRevert(IPartyRegistry.SignerNotValid.selector);
        vm.prank(stranger);
        models.stage(first, holdings);
        deploy(first, 1);
        assertEq(models.model(first).owner, owner);
        assertEq(models.proposal(first, stranger).owner, stranger);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelExists.selector, first));
        vm.prank(stranger);
        models.stage(first, holdings);
    }

    function test_aProposalIsNoModel() public {
        propose(first, 1);
        bytes memory unknown = abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, first);
        vm.expectRevert(unknown);
        models.model(first);
        vm.expectRevert(unknown);
        models.mayUse(first, owner);
        vm.expectRevert(unknown);
        vm.prank(admin);
        models.revoke(first, 0);
    }

    function test_theZeroRegistryIsRefused() public {
        vm.expectRevert(IModelRegistry.ZeroRegistry.selector);
        new ModelRegistry(IPartyRegistry(address(0)));
    }

    function test_activationMovesThePointerAndRollsBack() public {
        deploy(first, 1);
        deploy(second, 2);
        assertEq(models.activeModel("digits"), second);
        assertStatus(first, IModelRegistry.Status.Deprecated);
        vm.expectEmit(address(models));
        emit IModelRegistry.ModelActivated(first, second);
        activate(first);
        assertEq(models.activeModel("digits"), first);
        assertStatus(second, IModelRegistry.Status.Deprecated);
    }

    function test_deprecationLeavesNoActiveVersion() public {
        deploy(first, 1);
        vm.prank(owner);
        models.deprecate(first);
        assertStatus(first, IModelRegistry.Status.Deprecated);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NoActiveModel.selector, "digits"));
        models.activeModel("digits");
        activate(first);
        assertEq(models.activeModel("digits"), first);
    }

    function test_deprecatingAStagedVersionLeavesTheActiveOne() public {
        deploy(first, 1);
        propose(second, 2);
        stage(second);
        vm.prank(owner);
        models.deprecate(second);
        assertEq(models.activeModel("digits"), first);
    }

    function test_revocationIsFinal() public {
        deploy(first, 1);
        vm.expectEmit(address(models));
        emit IModelRegistry.ModelRevoked(first, keccak256("reason"), owner);
        vm.prank(owner);
        models.revoke(first, keccak256("reason"));
        assertStatus(first, IModelRegistry.Status.Revoked);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NoActiveModel.selector, "digits"));
        models.activeModel("digits");
        bytes memory wrong =
            abi.encodeWithSelector(IModelRegistry.StatusWrong.selector, first, IModelRegistry.Status.Revoked);
        vm.startPrank(owner);
        vm.expectRevert(wrong);
        models.activate(first);
        vm.expectRevert(wrong);
        models.deprecate(first);
        vm.expectRevert(wrong);
        models.revoke(first, 0);
    }

    function test_aGuardianRevokesAndAStrangerDoesNot() public {
        deploy(first, 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, first, stranger));
        vm.prank(stranger);
        models.revoke(first, 0);
        vm.prank(admin);
        models.revoke(first, 0);
        assertStatus(first, IModelRegistry.Status.Revoked);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, second));
        vm.prank(admin);
        models.revoke(second, 0);
    }

    function test_versionsAreImmutable() public {
        propose(first, 1);
        vm.startPrank(owner);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelExists.selector, first));
        models.propose(first, "digits", 2, set);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.VersionExists.selector, "digits", 1, first));
        models.propose(second, "digits", 1, set);
    }

    function test_aNameBelongsToItsFirstProposer() public {
        propose(first, 1);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NameTaken.selector, "digits", owner));
        vm.prank(stranger);
        models.propose(second, "digits", 2, set);
    }

    function test_wrongProposalsAreRefused() public {
        vm.expectRevert(IModelRegistry.ZeroModelHash.selector);
        models.propose(0, "digits", 1, set);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NameInvalid.selector, 0, 64));
        models.propose(first, "", 1, set);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.NameInvalid.selector, 65, 64));
        models.propose(first, string(new bytes(65)), 1, set);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.PartySetUnknown.selector, bytes32(uint256(9))));
        models.propose(first, "digits", 1, bytes32(uint256(9)));
    }

    function test_onlyTheOwnerManages() public {
        deploy(first, 1);
        bytes memory refused = abi.encodeWithSelector(IModelRegistry.NotModelOwner.selector, first, stranger);
        vm.startPrank(stranger);
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelExists.selector, first));
        models.stage(first, new bytes[](0));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ProposalUnknown.selector, second, stranger));
        models.stage(second, new bytes[](0));
        vm.expectRevert(refused);
        models.activate(first);
        vm.expectRevert(refused);
        models.deprecate(first);
        vm.expectRevert(refused);
        models.setUser(first, stranger, true);
        vm.expectRevert(refused);
        models.setPublic(first, true);
    }

    function test_stepsCannotBeSkipped() public {
        propose(first, 1);
        bytes memory unknown = abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, first);
        vm.startPrank(owner);
        vm.expectRevert(unknown);
        models.activate(first);
        vm.expectRevert(unknown);
        models.deprecate(first);
        vm.stopPrank();
        stage(first);
        activate(first);
        vm.expectRevert(
            abi.encodeWithSelector(IModelRegistry.StatusWrong.selector, first, IModelRegistry.Status.Active)
        );
        activate(first);
    }

    function test_stagingNeedsEveryParty() public {
        propose(first, 1);
        bytes[] memory holdings = signAll(holdingDigest(first, owner));
        bytes[] memory fewer = new bytes[](2);
        (fewer[0], fewer[1]) = (holdings[0], holdings[1]);
        vm.expectRevert(abi.encodeWithSelector(IPartyRegistry.SignatureCountWrong.selector, 2, 3));
        vm.prank(owner);
        models.stage(first, fewer);
        holdings[2] = holdings[1];
        vm.expectRevert(
            abi.encodeWithSelector(IPartyRegistry.SignerNotValid.selector, members[2], members[1], block.timestamp)
        );
        vm.prank(owner);
        models.stage(first, holdings);
    }

    function test_aHoldingOfAnotherModelDoesNotCount() public {
        propose(first, 1);
        bytes[] memory holdings = signAll(holdingDigest(second, owner));
        vm.expectPartialRevert(IPartyRegistry.SignerNotValid.selector);
        vm.prank(owner);
        models.stage(first, holdings);
    }

    function test_stagingTwiceIsRefused() public {
        propose(first, 1);
        stage(first);
        bytes[] memory holdings = signAll(holdingDigest(first, owner));
        vm.expectRevert(abi.encodeWithSelector(IModelRegistry.ModelExists.selector, first));
        vm.prank(owner);
        models.stage(first, holdings);
    }

    function testFuzz_permissions(address user, bool named, bool everybody) public {
        vm.assume(user != address(0) && user != owner);
        propose(first, 1);
        stage(first);
        vm.startPrank(owner);
        assertFalse(models.mayUse(first, user));
        models.setUser(first, user, named);
        models.setPublic(first, everybody);
        assertEq(models.mayUse(first, user), named || everybody);
        assertTrue(models.mayUse(first, owner));
        models.setUser(first, user, false);
        models.setPublic(first, false);
        assertFalse(models.mayUse(first, user));
    }

    function test_theZeroUserAndUnknownModelsAreRefused() public {
        propose(first, 1);
        stage(first);
        vm.startPrank(owner);
        vm.expectRevert(IModelRegistry.ZeroUser.selector);
        models.setUser(first, address(0), true);
        bytes memory unknown = abi.encodeWithSelector(IModelRegistry.ModelUnknown.selector, second);
        vm.expectRevert(unknown);
        models.mayUse(second, owner);
        vm.expectRevert(unknown);
        models.model(second);
        vm.expectRevert(unknown);
        models.activate(second);
    }
}
