// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IPartyRegistry} from "interfaces/IPartyRegistry.sol";
import {IReceiptAnchor} from "interfaces/IReceiptAnchor.sol";
import {BatchRoot, Eip712Types, JobRequest, Receipt} from "libraries/Eip712Types.sol";
import {Quorum} from "libraries/Quorum.sol";
import {Rfc9162} from "libraries/Rfc9162.sol";

/// @title The anchor of receipts
/// @notice See {IReceiptAnchor}. No owner, no upgrade, no way to remove a root.
contract ReceiptAnchor is IReceiptAnchor, EIP712 {
    using Eip712Types for BatchRoot;
    using Eip712Types for JobRequest;
    using Eip712Types for Receipt;

    uint8 public constant RECEIPT_VERSION = 1;
    /// @notice By how many seconds the chain's clock may be behind the parties'.
    uint256 public constant CLOCK_TOLERANCE = 300;

    /// @notice Where parties and their keys are looked up.
    IPartyRegistry public immutable PARTY_REGISTRY;

    /// @dev One storage slot per batch.
    struct Batch {
        uint64 size;
        uint64 timestamp;
        uint64 blockNumber;
    }

    mapping(bytes32 root => mapping(bytes32 partySet => Batch)) private _batches;

    constructor(IPartyRegistry partyRegistry) EIP712("mpc-infer", "1") {
        if (address(partyRegistry) == address(0)) revert ZeroRegistry();
        PARTY_REGISTRY = partyRegistry;
    }

    /// @inheritdoc IReceiptAnchor
    function anchor(bytes32 root, uint64 size, bytes32 partySet, bytes[] calldata signatures) external {
        if (root == 0) revert ZeroRoot();
        if (size == 0) revert EmptyBatch(root);
        Batch storage batch = _batches[root][partySet];
        if (batch.size != 0) revert RootExists(root, partySet, batch.blockNumber);
        bytes32 digest = _hashTypedDataV4(BatchRoot(root, size, partySet).hash());
        Quorum.requireAll(PARTY_REGISTRY, digest, partySet, signatures, block.timestamp, block.timestamp);
        _batches[root][partySet] = Batch(size, uint64(block.timestamp), uint64(block.number));
        emit Anchored(root, partySet, size);
    }

    /// @inheritdoc IReceiptAnchor
    function anchored(bytes32 root, bytes32 partySet)
        external
        view
        returns (uint64 size, uint64 timestamp, uint64 blockNumber)
    {
        Batch memory batch = _batches[root][partySet];
        return (batch.size, batch.timestamp, batch.blockNumber);
    }

    /// @inheritdoc IReceiptAnchor
    function verifyInclusion(
        bytes32 receiptDigest,
        uint64 index,
        uint64 size,
        bytes32[] calldata path,
        bytes32 root,
        bytes32 partySet
    ) external view returns (bool) {
        return size != 0 && _batches[root][partySet].size == size
            && Rfc9162.included(receiptDigest, index, size, path, root);
    }

    /// @inheritdoc IReceiptAnchor
    function verifyReceipt(
        Receipt calldata receipt,
        bytes[] calldata signatures,
        uint64 index,
        bytes32[] calldata path,
        bytes32 root
    ) external view returns (bytes32 receiptDigest) {
        if (receipt.version != RECEIPT_VERSION) revert ReceiptVersionUnknown(receipt.version);
        if (receipt.started > receipt.finished) revert ReceiptTimesInvalid(receipt.started, receipt.finished);
        receiptDigest = hashReceipt(receipt);
        Batch memory batch = _requireBatch(root, receipt.partySet);
        _requireSigned(receipt, receiptDigest, signatures, batch.timestamp);
        if (!Rfc9162.included(receiptDigest, index, batch.size, path, root)) {
            revert ReceiptNotIncluded(receiptDigest, index, root);
        }
    }

    /// @inheritdoc IReceiptAnchor
    function hashJobRequest(JobRequest calldata request) external view returns (bytes32) {
        return _hashTypedDataV4(request.hash());
    }

    /// @inheritdoc IReceiptAnchor
    function hashBatchRoot(BatchRoot calldata batch) external view returns (bytes32) {
        return _hashTypedDataV4(batch.hash());
    }

    /// @inheritdoc IReceiptAnchor
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IReceiptAnchor
    function hashReceipt(Receipt calldata receipt) public view returns (bytes32) {
        return _hashTypedDataV4(receipt.hash());
    }

    function _requireBatch(bytes32 root, bytes32 partySet) private view returns (Batch memory batch) {
        batch = _batches[root][partySet];
        if (batch.size == 0) revert RootUnknown(root, partySet);
    }

    function _requireSigned(
        Receipt calldata receipt,
        bytes32 receiptDigest,
        bytes[] calldata signatures,
        uint64 anchoredAt
    ) private view {
        uint256 finished = receipt.finished / 1000;
        if (finished > anchoredAt + CLOCK_TOLERANCE) revert ReceiptAfterAnchor(receipt.finished, anchoredAt);
        Quorum.requireAll(PARTY_REGISTRY, receiptDigest, receipt.partySet, signatures, finished, anchoredAt);
    }
}
