// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {BatchRoot, JobRequest, Receipt} from "libraries/Eip712Types.sol";

/// @title Roots of batches of receipts, for ever
/// @notice A set of parties anchors a root once, with the signatures of all of them, and it never changes. What one set
/// anchors takes nothing from another: a root is known by itself and its set. A signature proves what a party claims
/// it ran.
interface IReceiptAnchor {
    /// @notice A batch was anchored.
    event Anchored(bytes32 indexed root, bytes32 indexed partySet, uint64 size);

    error ZeroRegistry();
    error ZeroRoot();
    error EmptyBatch(bytes32 root);
    error RootExists(bytes32 root, bytes32 partySet, uint64 blockNumber);
    error RootUnknown(bytes32 root, bytes32 partySet);
    error ReceiptVersionUnknown(uint8 version);
    error ReceiptTimesInvalid(uint64 started, uint64 finished);
    error ReceiptAfterAnchor(uint64 finished, uint64 anchored);
    error ReceiptNotIncluded(bytes32 receiptDigest, uint64 index, bytes32 root);

    /// @notice Accept a root. Anybody may bring it.
    /// @param size how many receipts it covers
    /// @param signatures each member's signature of BatchRoot(root, size, partySet), in the set's order, 65 bytes, by a key
    /// that is valid now
    function anchor(bytes32 root, uint64 size, bytes32 partySet, bytes[] calldata signatures) external;

    /// @notice What is known of a set's root; all zero where that set never anchored it.
    /// @return size how many receipts it covers
    /// @return timestamp seconds
    /// @return blockNumber the block that accepted it
    function anchored(bytes32 root, bytes32 partySet)
        external
        view
        returns (uint64 size, uint64 timestamp, uint64 blockNumber);

    /// @notice Whether a receipt lies at an index of a batch that a set anchored (RFC 9162). False for a root that the
    /// set did not anchor with this size.
    function verifyInclusion(
        bytes32 receiptDigest,
        uint64 index,
        uint64 size,
        bytes32[] calldata path,
        bytes32 root,
        bytes32 partySet
    ) external view returns (bool);

    /// @notice Check a receipt: version, anchor by its own set and not before it finished, all signatures by keys that
    /// were valid when it finished and not revoked when it was anchored, inclusion. Reverts with the reason. Whether the model was active at the receipt's block is for a reader of history to check.
    /// @return receiptDigest its EIP-712 digest
    function verifyReceipt(
        Receipt calldata receipt,
        bytes[] calldata signatures,
        uint64 index,
        bytes32[] calldata path,
        bytes32 root
    ) external view returns (bytes32 receiptDigest);

    /// @notice EIP-712 digest of a receipt.
    function hashReceipt(Receipt calldata receipt) external view returns (bytes32);

    /// @notice EIP-712 digest of a job request.
    function hashJobRequest(JobRequest calldata request) external view returns (bytes32);

    /// @notice EIP-712 digest of a batch root.
    function hashBatchRoot(BatchRoot calldata batch) external view returns (bytes32);

    /// @notice What separates signatures for this contract from all others (EIP-712).
    function domainSeparator() external view returns (bytes32);
}
