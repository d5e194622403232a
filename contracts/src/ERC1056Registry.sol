// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IERC1056} from "interfaces/IERC1056.sol";

/// @title The identities themselves
/// @notice See {IERC1056}. Written anew after the standard's text, with custom errors, and without its signed calls.
abstract contract ERC1056Registry is IERC1056 {
    /// @inheritdoc IERC1056
    mapping(address identity => uint256 blockNumber) public changed;

    mapping(address identity => address owner) private _owners;
    mapping(address identity => mapping(bytes32 delegateType => mapping(address delegate => uint256 validTo))) private
        _delegates;

    modifier onlyIdentityOwner(address identity) {
        if (msg.sender != identityOwner(identity)) revert NotIdentityOwner(identity, msg.sender);
        _;
    }

    /// @inheritdoc IERC1056
    function changeOwner(address identity, address newOwner) external onlyIdentityOwner(identity) {
        if (newOwner == address(0)) revert ZeroAddress();
        _owners[identity] = newOwner;
        emit DIDOwnerChanged(identity, newOwner, _touch(identity));
    }

    /// @inheritdoc IERC1056
    function addDelegate(address identity, bytes32 delegateType, address delegate, uint256 validity)
        external
        onlyIdentityOwner(identity)
    {
        if (delegate == address(0)) revert ZeroAddress();
        uint256 validTo = block.timestamp + validity;
        _delegates[identity][delegateType][delegate] = validTo;
        emit DIDDelegateChanged(identity, delegateType, delegate, validTo, _touch(identity));
    }

    /// @inheritdoc IERC1056
    function revokeDelegate(address identity, bytes32 delegateType, address delegate)
        external
        onlyIdentityOwner(identity)
    {
        _delegates[identity][delegateType][delegate] = block.timestamp;
        emit DIDDelegateChanged(identity, delegateType, delegate, block.timestamp, _touch(identity));
    }

    /// @inheritdoc IERC1056
    function setAttribute(address identity, bytes32 name, bytes calldata value, uint256 validity)
        external
        onlyIdentityOwner(identity)
    {
        emit DIDAttributeChanged(identity, name, value, block.timestamp + validity, _touch(identity));
    }

    /// @inheritdoc IERC1056
    function revokeAttribute(address identity, bytes32 name, bytes calldata value)
        external
        onlyIdentityOwner(identity)
    {
        emit DIDAttributeChanged(identity, name, value, 0, _touch(identity));
    }

    /// @inheritdoc IERC1056
    function validDelegate(address identity, bytes32 delegateType, address delegate) external view returns (bool) {
        return _delegates[identity][delegateType][delegate] > block.timestamp;
    }

    /// @inheritdoc IERC1056
    function identityOwner(address identity) public view returns (address) {
        address owner = _owners[identity];
        return owner == address(0) ? identity : owner;
    }

    /// @dev Notes that an identity changes in this block; returns the block of the change before.
    function _touch(address identity) private returns (uint256 previous) {
        previous = changed[identity];
        changed[identity] = block.number;
    }
}
