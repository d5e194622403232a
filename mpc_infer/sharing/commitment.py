"""Salted commitments to shares, and the contexts that bind each to its place."""

import os

from mpc_infer.encoding import address_bytes, digest, same_digest
from mpc_infer.errors import CommitmentMismatch, InvalidInput, MpcInferError, SealingFailed
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId

SALT_BYTES = 32


def fresh_salt() -> bytes:
    """32 bytes from the operating system."""
    return os.urandom(SALT_BYTES)


def share_commitment(salt: bytes, context: bytes, share_bytes: bytes) -> bytes:
    """Commit to a share: hides it while the salt is secret, and can be opened to nothing else.

    Args:
        salt: 32 random bytes, used once. Without it, small inputs could be guessed.
        context: digest of where the share belongs (``input_context`` and its siblings).
        share_bytes: canonical tensor bytes.

    Returns:
        32 bytes.

    Raises:
        InvalidInput: the salt has another length.
    """
    if len(salt) != SALT_BYTES:
        raise InvalidInput(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return digest("share-commitment", salt, context, share_bytes)


def open_commitment(
    commitment: bytes,
    salt: bytes,
    context: bytes,
    share_bytes: bytes,
    error: type[MpcInferError] = CommitmentMismatch,
) -> None:
    """Check that a salt and a share open a commitment.

    Raises:
        CommitmentMismatch: they do not (or ``error``, where the caller's case has its own).
    """
    if len(salt) != SALT_BYTES or not same_digest(commitment, share_commitment(salt, context, share_bytes)):
        raise error("a share does not open its commitment", remedy="the share was changed or belongs elsewhere")


def join_opening(salt: bytes, share_bytes: bytes) -> bytes:
    """What is sealed to a party: the salt, then the share."""
    if len(salt) != SALT_BYTES:
        raise InvalidInput(f"a salt has {SALT_BYTES} bytes, not {len(salt)}")
    return salt + share_bytes


def split_opening(plaintext: bytes) -> tuple[bytes, bytes]:
    """The salt and the share bytes of an unsealed opening.

    Raises:
        SealingFailed: too short to hold a salt.
    """
    if len(plaintext) < SALT_BYTES:
        raise SealingFailed("the sealed share is too short to hold its salt")
    return plaintext[:SALT_BYTES], plaintext[SALT_BYTES:]


def input_context(job_id: JobId, model_hash: ModelHash, party_address: Address) -> bytes:
    """Where an input share belongs."""
    return digest("input-context", job_id, model_hash, address_bytes(party_address))


def model_context(
    graph_digest: bytes, owner_address: Address, name: str, version: int, party_address: Address
) -> bytes:
    """Where a model share belongs. The model hash cannot be part of it: the hash covers the commitments."""
    owner, party = address_bytes(owner_address), address_bytes(party_address)
    return digest("model-context", graph_digest, owner, name.encode(), version.to_bytes(8, "big"), party)


def output_context(session_id: SessionId, job_id: JobId, party_address: Address) -> bytes:
    """Where an output share belongs."""
    return digest("output-context", session_id, job_id, address_bytes(party_address))


def seed_commitment(material_id: MaterialId, party_index: int, seed: bytes) -> bytes:
    """Commit to a material seed. The seed is 32 uniform bytes and is its own salt."""
    return digest("seed-commitment", material_id, party_index.to_bytes(4, "big"), seed)
