// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title ERC-1056: a lightweight registry of decentralised identifiers (`did:ethr`)
/// @notice Every address is an identity and its own owner until it says otherwise. The signed (meta-transaction) forms
/// of the calls are left out.
interface IERC1056 {
    /// @notice An identity has a new owner.
    event DIDOwnerChanged(address indexed identity, address owner, uint256 previousChange);

    /// @notice A delegate was added (`validTo` in the future) or revoked (`validTo` now).
    event DIDDelegateChanged(
        address indexed identity, bytes32 delegateType, address delegate, uint256 validTo, uint256 previousChange
    );

    /// @notice An attribute was set (`validTo` in the future) or revoked (`validTo` zero).
    event DIDAttributeChanged(
        address indexed identity, bytes32 name, bytes value, uint256 validTo, uint256 previousChange
    );

    /// @notice The caller does not own the identity.
    error NotIdentityOwner(address identity, address caller);

    /// @notice An address must not be zero.
    error ZeroAddress();

    /// @notice Who may speak for an identity: itself, unless it was given away.
    function identityOwner(address identity) external view returns (address);

    /// @notice The block of the identity's last change, from which the chain of events can be followed back.
    function changed(address identity) external view returns (uint256);

    /// @notice Give an identity to somebody else. Only its owner may.
    /// @param newOwner who speaks for it from now on; not zero
    function changeOwner(address identity, address newOwner) external;

    /// @notice Let a delegate act for an identity, for a while.
    /// @param delegateType what for
    /// @param validity seconds from now
    function addDelegate(address identity, bytes32 delegateType, address delegate, uint256 validity) external;

    /// @notice End a delegation now.
    function revokeDelegate(address identity, bytes32 delegateType, address delegate) external;

    /// @notice Whether a delegation holds at this block.
    function validDelegate(address identity, bytes32 delegateType, address delegate) external view returns (bool);

    /// @notice Publish an attribute in the log.
    /// @param validity seconds from now
    function setAttribute(address identity, bytes32 name, bytes calldata value, uint256 validity) external;

    /// @notice Withdraw an attribute in the log.
    function revokeAttribute(address identity, bytes32 name, bytes calldata value) external;
}
