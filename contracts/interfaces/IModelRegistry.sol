// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Which models there are, which version is active, and who may use it
/// @notice A version is named by the hash of its manifest and never changes. It goes from Proposed to Staged once
/// every party has signed that it holds its share, and to Active when its owner says so. At most one version of a name is
/// active; to roll back is to activate an older one. Revoked is final.
/// A proposal is its proposer's own: the registry cannot know who made a manifest. The parties do, and sign the owner's
/// address with their holding. So whoever proposes the hash of somebody else's model keeps nobody from staging it.
interface IModelRegistry {
    enum Status {
        None,
        Proposed,
        Staged,
        Active,
        Deprecated,
        Revoked
    }

    /// @notice One version of a model.
    struct Model {
        address owner;
        uint64 version;
        Status status;
        bool isPublic;
        bytes32 partySet;
        string name;
    }

    event ModelProposed(
        bytes32 indexed modelHash, address indexed owner, bytes32 indexed partySet, string name, uint64 version
    );
    event ModelStaged(bytes32 indexed modelHash);
    event ModelActivated(bytes32 indexed modelHash, bytes32 indexed previous);
    event ModelDeprecated(bytes32 indexed modelHash);
    event ModelRevoked(bytes32 indexed modelHash, bytes32 reasonHash, address by);
    event UserSet(bytes32 indexed modelHash, address indexed user, bool allowed);
    event PublicSet(bytes32 indexed modelHash, bool isPublic);

    error ZeroModelHash();
    error ZeroUser();
    error ZeroRegistry();
    error NameInvalid(uint256 length, uint256 longest);
    error ModelExists(bytes32 modelHash);
    error ModelUnknown(bytes32 modelHash);
    error ProposalUnknown(bytes32 modelHash, address owner);
    error NameTaken(string name, address owner);
    error VersionExists(string name, uint64 version, bytes32 modelHash);
    error NotModelOwner(bytes32 modelHash, address caller);
    error StatusWrong(bytes32 modelHash, Status status);
    error NoActiveModel(string name);

    /// @notice Name a new version. Once it is staged the caller is its owner. The first to use a name owns the name.
    function propose(bytes32 modelHash, string calldata name, uint64 version, bytes32 partySet) external;

    /// @notice Show that every party of the set holds its share of the model that the caller proposed.
    /// @param holdings each member's signature of ModelHolding(modelHash, partySet, caller), in the set's order
    function stage(bytes32 modelHash, bytes[] calldata holdings) external;

    /// @notice Make a staged or deprecated version the active one of its name; the one before becomes deprecated.
    function activate(bytes32 modelHash) external;

    /// @notice Retire the active version, or a staged one. Only the owner may.
    function deprecate(bytes32 modelHash) external;

    /// @notice End a version for good. The owner or a guardian may.
    /// @param reasonHash hash of a document that says why
    function revoke(bytes32 modelHash, bytes32 reasonHash) external;

    /// @notice Let an account use a version, or not any more. Only the owner may.
    function setUser(bytes32 modelHash, address user, bool allowed) external;

    /// @notice Let everybody use a version, or only those who are named. Only the owner may.
    function setPublic(bytes32 modelHash, bool isPublic) external;

    /// @notice Whether an account has the permission to use a version, whatever the version's status. The owner always has.
    function mayUse(bytes32 modelHash, address user) external view returns (bool);

    /// @notice A version, staged at least. Reverts with ModelUnknown.
    function model(bytes32 modelHash) external view returns (Model memory);

    /// @notice What an account has proposed and not yet staged. Reverts with ProposalUnknown.
    function proposal(bytes32 modelHash, address owner) external view returns (Model memory);

    /// @notice The active version of a name. Reverts with NoActiveModel.
    function activeModel(string calldata name) external view returns (bytes32 modelHash);

    /// @notice The hash that a version of a name has; zero where there is none.
    function modelVersion(string calldata name, uint64 version) external view returns (bytes32 modelHash);

    /// @notice Who owns a name; zero where nobody does.
    function nameOwner(string calldata name) external view returns (address);

    /// @notice What separates signatures for this contract from all others (EIP-712).
    function domainSeparator() external view returns (bytes32);
}
