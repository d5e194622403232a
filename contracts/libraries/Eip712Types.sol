// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @notice What every party signs about one job. Times are Unix milliseconds.
/// @param version 1
/// @param jobId the data owner's name for the job
/// @param requestDigest EIP-712 digest of the owner's JobRequest
/// @param modelHash digest of the model's manifest
/// @param partySet who computed
/// @param planDigest what was computed
/// @param engine name of the engine, ASCII, padded with zeros on the right
/// @param inputRoot RFC 9162 root over the owner's share commitments
/// @param outputCommitment RFC 9162 root over the parties' output share commitments
/// @param transcript digest of all openings
/// @param nonce the owner's
/// @param started when the session began
/// @param finished when it ended
/// @param registryBlock the block at which the parties judged the request
struct Receipt {
    uint8 version;
    bytes32 jobId;
    bytes32 requestDigest;
    bytes32 modelHash;
    bytes32 partySet;
    bytes32 planDigest;
    bytes32 engine;
    bytes32 inputRoot;
    bytes32 outputCommitment;
    bytes32 transcript;
    bytes32 nonce;
    uint64 started;
    uint64 finished;
    uint64 registryBlock;
}

/// @notice What a data owner signs to ask for a job.
/// @param delivery how the result comes back (numbers as in the protocol buffers)
/// @param resultKey identifier of the key to which the result is sealed, or zero
/// @param deadline Unix milliseconds
struct JobRequest {
    bytes32 jobId;
    bytes32 modelHash;
    bytes32 partySet;
    bytes32 inputRoot;
    address owner;
    uint8 delivery;
    bytes32 resultKey;
    uint64 rows;
    bytes32 nonce;
    uint64 deadline;
}

/// @notice What every party signs before a batch of receipts is anchored.
struct BatchRoot {
    bytes32 root;
    uint64 size;
    bytes32 partySet;
}

/// @notice What a model's owner signs to publish it to the parties.
struct ModelPublication {
    bytes32 modelHash;
}

/// @notice What a party signs once it holds, and has checked, its share of a model.
/// @param owner whom the model's manifest names, and who signed its publication
struct ModelHolding {
    bytes32 modelHash;
    bytes32 partySet;
    address owner;
}

/// @title The structs that are signed, and their EIP-712 hashes
/// @notice Twin of mpc_infer/evidence/eip712.py; tests/vectors/eip712.json keeps the two together.
library Eip712Types {
    bytes32 internal constant RECEIPT_TYPEHASH = keccak256(
        "Receipt(uint8 version,bytes32 jobId,bytes32 requestDigest,bytes32 modelHash,bytes32 partySet,bytes32 planDigest,bytes32 engine,bytes32 inputRoot,bytes32 outputCommitment,bytes32 transcript,bytes32 nonce,uint64 started,uint64 finished,uint64 registryBlock)"
    );
    bytes32 internal constant JOB_REQUEST_TYPEHASH = keccak256(
        "JobRequest(bytes32 jobId,bytes32 modelHash,bytes32 partySet,bytes32 inputRoot,address owner,uint8 delivery,bytes32 resultKey,uint64 rows,bytes32 nonce,uint64 deadline)"
    );
    bytes32 internal constant BATCH_ROOT_TYPEHASH = keccak256("BatchRoot(bytes32 root,uint64 size,bytes32 partySet)");
    bytes32 internal constant MODEL_PUBLICATION_TYPEHASH = keccak256("ModelPublication(bytes32 modelHash)");
    bytes32 internal constant MODEL_HOLDING_TYPEHASH =
        keccak256("ModelHolding(bytes32 modelHash,bytes32 partySet,address owner)");

    // Every member is one word, so the ABI encoding of a struct is exactly what EIP-712 hashes.

    function hash(Receipt memory value) internal pure returns (bytes32) {
        return keccak256(abi.encode(RECEIPT_TYPEHASH, value));
    }

    function hash(JobRequest memory value) internal pure returns (bytes32) {
        return keccak256(abi.encode(JOB_REQUEST_TYPEHASH, value));
    }

    function hash(BatchRoot memory value) internal pure returns (bytes32) {
        return keccak256(abi.encode(BATCH_ROOT_TYPEHASH, value));
    }

    function hash(ModelPublication memory value) internal pure returns (bytes32) {
        return keccak256(abi.encode(MODEL_PUBLICATION_TYPEHASH, value));
    }

    function hash(ModelHolding memory value) internal pure returns (bytes32) {
        return keccak256(abi.encode(MODEL_HOLDING_TYPEHASH, value));
    }
}
