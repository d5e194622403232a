// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IPartyRegistry} from "interfaces/IPartyRegistry.sol";

/// @title All parties' signatures under one digest
library Quorum {
    /// @notice Recover every signer and have the registry check that they stand for the set's members, in order.
    /// @dev OpenZeppelin refuses high s, wrong v and wrong lengths. Reverts where anything is missing or foreign.
    /// @param signedAt seconds at which the keys must have been valid
    /// @param knownAt seconds at which the signatures are known to have existed: by then no key may have been revoked
    function requireAll(
        IPartyRegistry registry,
        bytes32 digest,
        bytes32 partySet,
        bytes[] calldata signatures,
        uint256 signedAt,
        uint256 knownAt
    ) internal view {
        address[] memory signers = new address[](signatures.length);
        for (uint256 i = 0; i < signatures.length; ++i) {
            signers[i] = ECDSA.recoverCalldata(digest, signatures[i]);
        }
        registry.requireSigners(partySet, signers, signedAt, knownAt);
    }
}
