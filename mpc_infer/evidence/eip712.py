"""What is signed: the Python twins of the contracts' structs.

JobRequest, Receipt and BatchRoot are signed in the domain of the ReceiptAnchor; ModelPublication and ModelHolding in
that of the ModelRegistry. Words, types and vectors: docs/protocol.md.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Self

from mpc_infer.errors import InvalidInput, InvalidRequest
from mpc_infer.evidence.typed_data import WORD_BYTES, Domain, TypedStruct, check_signer, sign
from mpc_infer.ids import Address, JobId, ModelHash, PartySetId

__all__ = [
    "RECEIPT_VERSION",
    "ZERO_WORD",
    "BatchRoot",
    "Delivery",
    "Domain",
    "JobRequest",
    "ModelHolding",
    "ModelPublication",
    "Receipt",
    "TypedStruct",
    "check_signer",
    "engine_name",
    "engine_word",
    "sign",
]

RECEIPT_VERSION = 1
ZERO_WORD = bytes(WORD_BYTES)


class Delivery(IntEnum):
    """How a result reaches its receiver; the number is the one in the protocol's Delivery."""

    COORDINATOR = 1
    CLIENT = 2


@dataclass(frozen=True)
class JobRequest(TypedStruct):
    """What a data owner asks for and consents to. ``deadline`` is Unix time in milliseconds.

    ``result_key`` is the id of the key to which results are sealed with delivery CLIENT, and zero otherwise.
    """

    TYPE: ClassVar[str] = (
        "JobRequest(bytes32 jobId,bytes32 modelHash,bytes32 partySet,bytes32 inputRoot,address owner,uint8 delivery,"
        "bytes32 resultKey,uint64 rows,bytes32 nonce,uint64 deadline)"
    )

    job_id: JobId
    model_hash: ModelHash
    party_set: PartySetId
    input_root: bytes
    owner: Address
    delivery: int
    result_key: bytes
    rows: int
    nonce: bytes
    deadline: int

    @classmethod
    def from_words(cls, words: bytes) -> Self:
        """Read ``to_words``.

        Raises:
            InvalidRequest: malformed words, an unknown delivery, a result key with delivery COORDINATOR or none with
                CLIENT, or no rows.
        """
        request = super().from_words(words)
        if request.delivery not in list(Delivery):
            raise InvalidRequest(f"delivery {request.delivery} is unknown")
        if (request.delivery == Delivery.CLIENT) == (request.result_key == ZERO_WORD):
            raise InvalidRequest("a result key belongs to delivery CLIENT, and to no other")
        if request.rows == 0:
            raise InvalidRequest("a job has at least one row")
        return request


@dataclass(frozen=True)
class Receipt(TypedStruct):
    """What every party of a job claims to have run. ``started`` and ``finished`` are Unix time in milliseconds.

    ``engine`` is a name in ASCII, padded with zeros on the right (``engine_word``).
    """

    TYPE: ClassVar[str] = (
        "Receipt(uint8 version,bytes32 jobId,bytes32 requestDigest,bytes32 modelHash,bytes32 partySet,"
        "bytes32 planDigest,bytes32 engine,bytes32 inputRoot,bytes32 outputCommitment,bytes32 transcript,"
        "bytes32 nonce,uint64 started,uint64 finished,uint64 registryBlock)"
    )

    version: int
    job_id: JobId
    request_digest: bytes
    model_hash: ModelHash
    party_set: PartySetId
    plan_digest: bytes
    engine: bytes
    input_root: bytes
    output_commitment: bytes
    transcript: bytes
    nonce: bytes
    started: int
    finished: int
    registry_block: int


@dataclass(frozen=True)
class BatchRoot(TypedStruct):
    """The root of a batch of receipts, as every party signs it for the ReceiptAnchor."""

    TYPE: ClassVar[str] = "BatchRoot(bytes32 root,uint64 size,bytes32 partySet)"

    root: bytes
    size: int
    party_set: PartySetId


@dataclass(frozen=True)
class ModelPublication(TypedStruct):
    """The owner's word that the parties may install a model."""

    TYPE: ClassVar[str] = "ModelPublication(bytes32 modelHash)"

    model_hash: ModelHash


@dataclass(frozen=True)
class ModelHolding(TypedStruct):
    """A party's word that it holds its share of a model, which its ``owner`` published (the manifest's)."""

    TYPE: ClassVar[str] = "ModelHolding(bytes32 modelHash,bytes32 partySet,address owner)"

    model_hash: ModelHash
    party_set: PartySetId
    owner: Address


def engine_word(name: str) -> bytes:
    """An engine's name as a receipt carries it.

    Raises:
        InvalidInput: not 1 to 32 printable ASCII characters.
    """
    if not name.isascii() or not name.isprintable() or not 0 < len(name) <= WORD_BYTES:
        raise InvalidInput("an engine's name has 1 to 32 printable ASCII characters")
    return name.encode().ljust(WORD_BYTES, b"\0")


def engine_name(word: bytes) -> str:
    """The name in a receipt's ``engine``.

    Raises:
        InvalidRequest: not what ``engine_word`` makes.
    """
    name = word.rstrip(b"\0").decode("ascii", errors="replace")
    if not name.isascii() or not name.isprintable() or not name:
        raise InvalidRequest("a receipt's engine is not a name")
    return name
