// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {IPartyRegistry} from "interfaces/IPartyRegistry.sol";
import {ERC1056Registry} from "src/ERC1056Registry.sol";

/// @title The registry of parties
/// @notice See {IPartyRegistry} for parties, keys and sets, and {IERC1056} for identities.
contract PartyRegistry is IPartyRegistry, ERC1056Registry, AccessControl {
    /// @notice May admit parties.
    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");
    /// @notice May revoke keys and model versions; may not add any.
    bytes32 public constant GUARDIAN_ROLE = keccak256("GUARDIAN_ROLE");

    uint256 public constant LEAST_PARTIES = 2;
    uint256 public constant MOST_PARTIES = 16;
    uint256 public constant MOST_SEALING_KEYS = 8;
    uint256 public constant LONGEST_ENDPOINT = 256;

    /// @dev One storage slot, so that checking signatures costs one read for the set and two per member.
    struct SetHeader {
        uint64 createdAt;
        uint8 count;
        uint8 threshold;
    }

    uint64 private constant NEVER = type(uint64).max;

    mapping(address identity => Party) private _parties;
    mapping(address identity => mapping(address signer => Window)) private _windows;
    mapping(bytes32 id => SetHeader) private _sets;
    mapping(bytes32 id => mapping(uint256 index => address identity)) private _members;

    /// @param admin first administrator, registrar and guardian
    constructor(address admin) {
        if (admin == address(0)) revert ZeroAddress();
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(REGISTRAR_ROLE, admin);
        _grantRole(GUARDIAN_ROLE, admin);
    }

    /// @inheritdoc IPartyRegistry
    function registerParty(
        address identity,
        bytes32 tlsKeyHash,
        bytes32[] calldata sealingKeyIds,
        string calldata endpoint
    ) external onlyRole(REGISTRAR_ROLE) {
        if (identity == address(0)) revert ZeroAddress();
        if (_parties[identity].registeredAt != 0) revert PartyExists(identity);
        _parties[identity].registeredAt = uint64(block.timestamp);
        _describe(identity, tlsKeyHash, sealingKeyIds, endpoint);
        emit PartyRegistered(identity, tlsKeyHash, sealingKeyIds, endpoint);
        _open(identity, identity, uint64(block.timestamp), type(uint64).max);
    }

    /// @inheritdoc IPartyRegistry
    function updateParty(
        address identity,
        bytes32 tlsKeyHash,
        bytes32[] calldata sealingKeyIds,
        string calldata endpoint
    ) external onlyIdentityOwner(identity) {
        _requireParty(identity);
        _describe(identity, tlsKeyHash, sealingKeyIds, endpoint);
        emit PartyUpdated(identity, tlsKeyHash, sealingKeyIds, endpoint);
    }

    /// @inheritdoc IPartyRegistry
    function addSigner(address identity, address signer, uint64 notBefore, uint64 notAfter)
        external
        onlyIdentityOwner(identity)
    {
        _requireParty(identity);
        if (signer == address(0)) revert ZeroAddress();
        if (_windows[identity][signer].notBefore != 0) revert SignerExists(identity, signer);
        uint64 start = notBefore == 0 ? uint64(block.timestamp) : notBefore;
        if (start < block.timestamp || notAfter <= start) {
            revert WindowInvalid(notBefore, notAfter, uint64(block.timestamp));
        }
        _open(identity, signer, start, notAfter);
    }

    /// @inheritdoc IPartyRegistry
    function revokeSigner(address identity, address signer, uint64 from) external {
        if (msg.sender != identityOwner(identity) && !isGuardian(msg.sender)) {
            revert MayNotRevoke(identity, msg.sender);
        }
        Window storage window = _windows[identity][signer];
        if (window.notBefore == 0) revert SignerUnknown(identity, signer);
        uint64 end = window.notAfter < window.revokedFrom ? window.notAfter : window.revokedFrom;
        if (from >= end) revert RevocationTooLate(identity, signer, from, end);
        window.revokedFrom = from;
        emit SignerRevoked(identity, signer, from);
    }

    /// @inheritdoc IPartyRegistry
    function createPartySet(address[] calldata identities, uint256 threshold) external returns (bytes32 id) {
        uint256 count = identities.length;
        if (count < LEAST_PARTIES || count > MOST_PARTIES) {
            revert PartyCountInvalid(count, LEAST_PARTIES, MOST_PARTIES);
        }
        // One share must never be enough to open a value.
        if (threshold < LEAST_PARTIES || threshold > count) revert ThresholdInvalid(threshold, LEAST_PARTIES, count);
        id = partySetId(identities, threshold);
        if (_sets[id].count != 0) revert PartySetExists(id);
        _storeMembers(id, identities);
        _sets[id] = SetHeader(uint64(block.timestamp), uint8(count), uint8(threshold));
        emit PartySetCreated(id, identities, threshold);
    }

    /// @inheritdoc IPartyRegistry
    function party(address identity) external view returns (Party memory) {
        _requireParty(identity);
        return _parties[identity];
    }

    /// @inheritdoc IPartyRegistry
    function partySet(bytes32 id)
        external
        view
        returns (address[] memory members, uint256 threshold, uint64 createdAt)
    {
        SetHeader memory header = _requireSet(id);
        members = new address[](header.count);
        for (uint256 i = 0; i < header.count; ++i) {
            members[i] = _members[id][i];
        }
        return (members, header.threshold, header.createdAt);
    }

    /// @inheritdoc IPartyRegistry
    function signerWindow(address identity, address signer) external view returns (Window memory) {
        return _windows[identity][signer];
    }

    /// @inheritdoc IPartyRegistry
    function signerValidAt(address identity, address signer, uint64 timestamp) external view returns (bool) {
        return _validAt(identity, signer, timestamp);
    }

    /// @inheritdoc IPartyRegistry
    function signerRevokedAt(address identity, address signer, uint64 timestamp) external view returns (bool) {
        return _windows[identity][signer].notBefore != 0 && _revokedAt(identity, signer, timestamp);
    }

    /// @inheritdoc IPartyRegistry
    function requireSigners(bytes32 id, address[] calldata signers, uint256 signedAt, uint256 knownAt) external view {
        SetHeader memory header = _requireSet(id);
        uint256 count = header.count;
        if (signers.length != count) revert SignatureCountWrong(signers.length, count);
        mapping(uint256 index => address identity) storage members = _members[id];
        for (uint256 i = 0; i < count; ++i) {
            address signer = signers[i];
            address identity = members[i];
            if (!_validAt(identity, signer, signedAt)) revert SignerNotValid(identity, signer, signedAt);
            if (_revokedAt(identity, signer, knownAt)) revert SignerNotValid(identity, signer, knownAt);
            for (uint256 j = 0; j < i; ++j) {
                if (signers[j] == signer) revert DuplicateSigner(signer);
            }
        }
    }

    /// @inheritdoc IPartyRegistry
    function isGuardian(address account) public view returns (bool) {
        return hasRole(GUARDIAN_ROLE, account);
    }

    /// @inheritdoc IPartyRegistry
    function partySetId(address[] calldata identities, uint256 threshold) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), identities, threshold));
    }

    function _describe(address identity, bytes32 tlsKeyHash, bytes32[] calldata sealingKeyIds, string calldata endpoint)
        private
    {
        if (sealingKeyIds.length > MOST_SEALING_KEYS) {
            revert TooManySealingKeys(sealingKeyIds.length, MOST_SEALING_KEYS);
        }
        uint256 length = bytes(endpoint).length;
        if (length > LONGEST_ENDPOINT) revert EndpointInvalid(length, LONGEST_ENDPOINT);
        Party storage record = _parties[identity];
        record.tlsKeyHash = tlsKeyHash;
        record.sealingKeyIds = sealingKeyIds;
        record.endpoint = endpoint;
    }

    function _open(address identity, address signer, uint64 notBefore, uint64 notAfter) private {
        _windows[identity][signer] = Window(notBefore, notAfter, NEVER);
        emit SignerAdded(identity, signer, notBefore, notAfter);
    }

    function _storeMembers(bytes32 id, address[] calldata identities) private {
        for (uint256 i = 0; i < identities.length; ++i) {
            address identity = identities[i];
            _requireParty(identity);
            for (uint256 j = 0; j < i; ++j) {
                if (identities[j] == identity) revert DuplicateMember(identity);
            }
            _members[id][i] = identity;
        }
    }

    function _validAt(address identity, address signer, uint256 timestamp) private view returns (bool) {
        Window storage window = _windows[identity][signer];
        return timestamp >= window.notBefore && timestamp < window.notAfter && timestamp < window.revokedFrom;
    }

    function _revokedAt(address identity, address signer, uint256 timestamp) private view returns (bool) {
        uint64 from = _windows[identity][signer].revokedFrom;
        return from != NEVER && timestamp >= from;
    }

    function _requireParty(address identity) private view {
        if (_parties[identity].registeredAt == 0) revert PartyUnknown(identity);
    }

    function _requireSet(bytes32 id) private view returns (SetHeader memory header) {
        header = _sets[id];
        if (header.count == 0) revert PartySetUnknown(id);
    }
}
