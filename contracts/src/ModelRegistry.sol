// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {IModelRegistry} from "interfaces/IModelRegistry.sol";
import {IPartyRegistry} from "interfaces/IPartyRegistry.sol";
import {Eip712Types, ModelHolding} from "libraries/Eip712Types.sol";
import {Quorum} from "libraries/Quorum.sol";

/// @title The registry of models
/// @notice See {IModelRegistry}.
contract ModelRegistry is IModelRegistry, EIP712 {
    using Eip712Types for ModelHolding;

    uint256 public constant LONGEST_NAME = 64;

    /// @notice Where parties and their keys are looked up.
    IPartyRegistry public immutable PARTY_REGISTRY;

    /// @dev Names are kept by their hash.
    struct Name {
        address owner;
        bytes32 active;
        mapping(uint64 version => bytes32 modelHash) versions;
    }

    mapping(bytes32 modelHash => Model) private _models;
    mapping(address owner => mapping(bytes32 modelHash => Model)) private _proposals;
    mapping(bytes32 nameHash => Name) private _names;
    mapping(bytes32 modelHash => mapping(address user => bool)) private _users;

    modifier onlyModelOwner(bytes32 modelHash) {
        _requireOwner(modelHash);
        _;
    }

    constructor(IPartyRegistry partyRegistry) EIP712("mpc-infer", "1") {
        if (address(partyRegistry) == address(0)) revert ZeroRegistry();
        PARTY_REGISTRY = partyRegistry;
    }

    /// @inheritdoc IModelRegistry
    function propose(bytes32 modelHash, string calldata name, uint64 version, bytes32 partySet) external {
        if (modelHash == 0) revert ZeroModelHash();
        if (_models[modelHash].status != Status.None) revert ModelExists(modelHash);
        if (_proposals[msg.sender][modelHash].status != Status.None) revert ModelExists(modelHash);
        PARTY_REGISTRY.partySet(partySet); // reverts where there is none
        _claim(modelHash, name, version);
        _proposals[msg.sender][modelHash] = Model(msg.sender, version, Status.Proposed, false, partySet, name);
        emit ModelProposed(modelHash, msg.sender, partySet, name, version);
    }

    /// @inheritdoc IModelRegistry
    function stage(bytes32 modelHash, bytes[] calldata holdings) external {
        if (_models[modelHash].status != Status.None) revert ModelExists(modelHash);
        Model memory record = proposal(modelHash, msg.sender);
        bytes32 digest = _hashTypedDataV4(ModelHolding(modelHash, record.partySet, record.owner).hash());
        Quorum.requireAll(PARTY_REGISTRY, digest, record.partySet, holdings, block.timestamp, block.timestamp);
        record.status = Status.Staged;
        _models[modelHash] = record;
        delete _proposals[msg.sender][modelHash];
        emit ModelStaged(modelHash);
    }

    /// @inheritdoc IModelRegistry
    function activate(bytes32 modelHash) external onlyModelOwner(modelHash) {
        Model storage record = _models[modelHash];
        if (record.status != Status.Staged && record.status != Status.Deprecated) {
            revert StatusWrong(modelHash, record.status);
        }
        Name storage name = _names[_nameHash(record.name)];
        bytes32 previous = name.active;
        if (previous != 0) _models[previous].status = Status.Deprecated;
        record.status = Status.Active;
        name.active = modelHash;
        emit ModelActivated(modelHash, previous);
    }

    /// @inheritdoc IModelRegistry
    function deprecate(bytes32 modelHash) external onlyModelOwner(modelHash) {
        Model storage record = _models[modelHash];
        if (record.status != Status.Active && record.status != Status.Staged) {
            revert StatusWrong(modelHash, record.status);
        }
        _retire(modelHash, Status.Deprecated);
        emit ModelDeprecated(modelHash);
    }

    /// @inheritdoc IModelRegistry
    function revoke(bytes32 modelHash, bytes32 reasonHash) external {
        if (!PARTY_REGISTRY.isGuardian(msg.sender)) _requireOwner(modelHash);
        Status status = _requireModel(modelHash).status;
        if (status == Status.Revoked) revert StatusWrong(modelHash, status);
        _retire(modelHash, Status.Revoked);
        emit ModelRevoked(modelHash, reasonHash, msg.sender);
    }

    /// @inheritdoc IModelRegistry
    function setUser(bytes32 modelHash, address user, bool allowed) external onlyModelOwner(modelHash) {
        if (user == address(0)) revert ZeroUser();
        _users[modelHash][user] = allowed;
        emit UserSet(modelHash, user, allowed);
    }

    /// @inheritdoc IModelRegistry
    function setPublic(bytes32 modelHash, bool isPublic) external onlyModelOwner(modelHash) {
        _models[modelHash].isPublic = isPublic;
        emit PublicSet(modelHash, isPublic);
    }

    /// @inheritdoc IModelRegistry
    function mayUse(bytes32 modelHash, address user) external view returns (bool) {
        Model storage record = _requireModel(modelHash);
        return record.isPublic || record.owner == user || _users[modelHash][user];
    }

    /// @inheritdoc IModelRegistry
    function model(bytes32 modelHash) external view returns (Model memory) {
        return _requireModel(modelHash);
    }

    /// @inheritdoc IModelRegistry
    function proposal(bytes32 modelHash, address owner) public view returns (Model memory record) {
        record = _proposals[owner][modelHash];
        if (record.status == Status.None) revert ProposalUnknown(modelHash, owner);
    }

    /// @inheritdoc IModelRegistry
    function activeModel(string calldata name) external view returns (bytes32 modelHash) {
        modelHash = _names[_nameHash(name)].active;
        if (modelHash == 0) revert NoActiveModel(name);
    }

    /// @inheritdoc IModelRegistry
    function modelVersion(string calldata name, uint64 version) external view returns (bytes32 modelHash) {
        return _names[_nameHash(name)].versions[version];
    }

    /// @inheritdoc IModelRegistry
    function nameOwner(string calldata name) external view returns (address) {
        return _names[_nameHash(name)].owner;
    }

    /// @inheritdoc IModelRegistry
    function domainSeparator() external view returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @dev Takes a version of a name for a model, and the name itself where it is free.
    function _claim(bytes32 modelHash, string calldata name, uint64 version) private {
        uint256 length = bytes(name).length;
        if (length == 0 || length > LONGEST_NAME) revert NameInvalid(length, LONGEST_NAME);
        Name storage record = _names[_nameHash(name)];
        if (record.owner == address(0)) record.owner = msg.sender;
        else if (record.owner != msg.sender) revert NameTaken(name, record.owner);
        bytes32 taken = record.versions[version];
        if (taken != 0) revert VersionExists(name, version, taken);
        record.versions[version] = modelHash;
    }

    /// @dev Takes a version out of service; clears its name's pointer where it was the active one.
    function _retire(bytes32 modelHash, Status status) private {
        Model storage record = _models[modelHash];
        if (record.status == Status.Active) delete _names[_nameHash(record.name)].active;
        record.status = status;
    }

    function _requireModel(bytes32 modelHash) private view returns (Model storage record) {
        record = _models[modelHash];
        if (record.status == Status.None) revert ModelUnknown(modelHash);
    }

    function _requireOwner(bytes32 modelHash) private view {
        if (_requireModel(modelHash).owner != msg.sender) revert NotModelOwner(modelHash, msg.sender);
    }

    function _nameHash(string memory name) private pure returns (bytes32) {
        return keccak256(bytes(name));
    }
}
