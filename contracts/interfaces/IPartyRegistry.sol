// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// @title Who computes: parties, the keys they sign with and when those were valid, and sets of parties
/// @notice All times are seconds of the chain's clock. A window holds from `notBefore`, inclusive, to `notAfter`,
/// exclusive. That a window ends voids nothing that was signed within it. A revocation does, from a time on: what bears
/// that time or a later one, and what is not known to have existed before it, since whoever stole a key can write any
/// time into what it signs.
interface IPartyRegistry {
    /// @notice What a party says about itself.
    /// @param tlsKeyHash SHA-256 of the public key of its certificate authority or certificate
    /// @param sealingKeyIds identifiers of the keys to which shares are sealed
    /// @param endpoint where it listens, `host:port`
    /// @param registeredAt when it was registered; zero where it was not
    struct Party {
        bytes32 tlsKeyHash;
        bytes32[] sealingKeyIds;
        string endpoint;
        uint64 registeredAt;
    }

    /// @notice When a key may sign for a party.
    /// @param revokedFrom from when on what it signs is void; the largest number where it is not revoked
    struct Window {
        uint64 notBefore;
        uint64 notAfter;
        uint64 revokedFrom;
    }

    /// @notice A party was registered; its identity is a signer from now on.
    event PartyRegistered(address indexed identity, bytes32 tlsKeyHash, bytes32[] sealingKeyIds, string endpoint);
    /// @notice A party changed what it says about itself.
    event PartyUpdated(address indexed identity, bytes32 tlsKeyHash, bytes32[] sealingKeyIds, string endpoint);
    /// @notice A key may sign for a party within a window.
    event SignerAdded(address indexed identity, address indexed signer, uint64 notBefore, uint64 notAfter);
    /// @notice What a key signs is void from `from` on.
    event SignerRevoked(address indexed identity, address indexed signer, uint64 from);
    /// @notice An ordered set of parties got its name.
    event PartySetCreated(bytes32 indexed id, address[] members, uint256 threshold);

    error PartyExists(address identity);
    error PartyUnknown(address identity);
    error TooManySealingKeys(uint256 given, uint256 most);
    error EndpointInvalid(uint256 length, uint256 longest);
    error SignerExists(address identity, address signer);
    error SignerUnknown(address identity, address signer);
    error WindowInvalid(uint64 notBefore, uint64 notAfter, uint64 nowSeconds);
    error RevocationTooLate(address identity, address signer, uint64 from, uint64 end);
    error MayNotRevoke(address identity, address caller);
    error PartyCountInvalid(uint256 given, uint256 least, uint256 most);
    error ThresholdInvalid(uint256 threshold, uint256 least, uint256 most);
    error DuplicateMember(address identity);
    error PartySetExists(bytes32 id);
    error PartySetUnknown(bytes32 id);
    error SignatureCountWrong(uint256 given, uint256 wanted);
    error SignerNotValid(address identity, address signer, uint256 timestamp);
    error DuplicateSigner(address signer);

    /// @notice Admit a party. Only a registrar may. The identity is its own signer from this block on.
    function registerParty(
        address identity,
        bytes32 tlsKeyHash,
        bytes32[] calldata sealingKeyIds,
        string calldata endpoint
    ) external;

    /// @notice Change what a party says about itself. Only the identity's owner may.
    function updateParty(
        address identity,
        bytes32 tlsKeyHash,
        bytes32[] calldata sealingKeyIds,
        string calldata endpoint
    ) external;

    /// @notice Let a key sign for a party. Only the identity's owner may; a key is added once and never comes back.
    /// @param notBefore zero for "from this block on"; the past is refused, so that nobody signs history
    /// @param notAfter the first second at which the key is not valid any more
    function addSigner(address identity, address signer, uint64 notBefore, uint64 notAfter) external;

    /// @notice Void what a key signs, from a time on, which may lie in the past.
    /// @dev The identity's owner or a guardian may. A later revocation can only reach further back.
    function revokeSigner(address identity, address signer, uint64 from) external;

    /// @notice Name an ordered set of parties. Anybody may: the name says nothing but who is in it, and nothing is
    /// accepted for it without all members' signatures.
    /// @param threshold how many members' shares open a value; with additive sharing, all of them
    /// @return id keccak256(abi.encode(chain id, this registry, identities, threshold))
    function createPartySet(address[] calldata identities, uint256 threshold) external returns (bytes32 id);

    /// @notice The name that a set has or would have.
    function partySetId(address[] calldata identities, uint256 threshold) external view returns (bytes32);

    /// @notice What is known of a party. Reverts with PartyUnknown.
    function party(address identity) external view returns (Party memory);

    /// @notice A set's members in order. Reverts with PartySetUnknown.
    function partySet(bytes32 id)
        external
        view
        returns (address[] memory members, uint256 threshold, uint64 createdAt);

    /// @notice When a key may sign for a party; all zero where it never could.
    function signerWindow(address identity, address signer) external view returns (Window memory);

    /// @notice Whether a key could sign for a party at a time, in seconds, as known at this block.
    function signerValidAt(address identity, address signer, uint64 timestamp) external view returns (bool);

    /// @notice Whether a key was revoked from that time, or from an earlier one, as known at this block.
    function signerRevokedAt(address identity, address signer, uint64 timestamp) external view returns (bool);

    /// @notice Check that signers stand for a set's members: one each, in their order, all different, with keys that were
    /// valid when they signed and not revoked by the time at which the signatures are known to have existed.
    /// @param signedAt when they say they signed, in seconds
    /// @param knownAt when the signatures were seen, in seconds
    function requireSigners(bytes32 id, address[] calldata signers, uint256 signedAt, uint256 knownAt) external view;

    /// @notice Whether an account may stop what looks wrong.
    function isGuardian(address account) external view returns (bool);
}
