"""Every error that this package raises on purpose.

Each class has a stable code (docs/errors.md), which travels in the ``reason`` of a gRPC ErrorInfo. ::

    MpcInferError
    ├── InvalidInput
    │   ├── WrongShape · WrongDtype · NotFinite · OutOfRange · MessageTooLarge
    ├── ModelRefused
    │   ├── UnsupportedOperator · CorruptModel
    ├── NotFound
    │   ├── ModelNotFound · JobNotFound · ReceiptNotFound
    ├── Refused
    │   ├── NotAuthenticated · NotPermitted · BadSignature · ModelInactive · ModelNotOpen · StockFull
    │   ├── DeadlineExpired · NonceReplayed · JobConflict · InvalidRequest
    │   ├── CommitmentMismatch · ModelShareMismatch · SealingFailed
    │   └── PartySetMismatch · RegistryTooOld
    ├── SessionAborted
    │   ├── PeerFailed · PeerTimeout · UnexpectedFrame · PlanMismatch · TranscriptMismatch · MaterialUnusable
    │   └── ReceiptDisagreement
    ├── ReceiptInvalid
    │   ├── UnknownReceiptVersion · ReceiptModelInactive · ReceiptPartySetInvalid · ReceiptSignatureInvalid
    │   └── OpeningMismatch · InclusionInvalid · RootNotAnchored
    ├── ChainError
    │   └── ChainUnavailable · TransactionFailed
    ├── Unavailable
    ├── StoreError
    ├── ConfigError
    └── InternalError
"""

from collections.abc import Iterator


class MpcInferError(Exception):
    """Something went wrong that a caller can understand.

    Args:
        message: what happened and why, without any secret.
        remedy: what to do about it.
        party: index of the party at fault, where one is known.
    """

    code = "INTERNAL"
    retryable = False
    default_remedy = ""

    def __init__(self, message: str, *, remedy: str = "", party: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy or self.default_remedy
        self.party = party

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class InvalidInput(MpcInferError):
    """A value that the caller passed cannot be used."""

    code = "INVALID_INPUT"


class WrongShape(InvalidInput):
    """An array does not have the shape the model wants."""

    code = "WRONG_SHAPE"


class WrongDtype(InvalidInput):
    """An array's element type cannot be encoded."""

    code = "WRONG_DTYPE"


class NotFinite(InvalidInput):
    """An array holds NaN or infinity."""

    code = "NOT_FINITE"


class OutOfRange(InvalidInput):
    """A value lies outside the fixed-point range."""

    code = "OUT_OF_RANGE"


class MessageTooLarge(InvalidInput):
    """A message is larger than the receiver's limit."""

    code = "MESSAGE_TOO_LARGE"


class ModelRefused(MpcInferError):
    """A model cannot be deployed."""

    code = "MODEL_REFUSED"


class UnsupportedOperator(ModelRefused):
    """A node of the graph has no protocol here."""

    code = "UNSUPPORTED_OPERATOR"


class CorruptModel(ModelRefused):
    """A file is not a valid model."""

    code = "CORRUPT_MODEL"


class NotFound(MpcInferError):
    """The thing asked for does not exist."""

    code = "NOT_FOUND"


class ModelNotFound(NotFound):
    """No such model, or no such version of it."""

    code = "MODEL_NOT_FOUND"


class JobNotFound(NotFound):
    """No such job, or not one of the caller's."""

    code = "JOB_NOT_FOUND"


class ReceiptNotFound(NotFound):
    """The job has no receipt."""

    code = "RECEIPT_NOT_FOUND"


class Refused(MpcInferError):
    """A request that is understood and not obeyed."""

    code = "REFUSED"


class NotAuthenticated(Refused):
    """The caller has no certificate that this service accepts."""

    code = "NOT_AUTHENTICATED"


class NotPermitted(Refused):
    """The caller may not do this."""

    code = "NOT_PERMITTED"


class BadSignature(Refused):
    """A signature does not verify, or is somebody else's."""

    code = "BAD_SIGNATURE"


class ModelInactive(Refused):
    """The model version exists and is not active."""

    code = "MODEL_INACTIVE"


class ModelNotOpen(Refused):
    """The model is installed, and its weights are not open under masks: the parties have to open it together first."""

    code = "MODEL_NOT_OPEN"
    default_remedy = "call OpenModel on all parties, then send the request again"


class StockFull(Refused):
    """A party holds as much material as its limits allow, and makes no more before some of it is used or dropped."""

    code = "STOCK_FULL"
    default_remedy = "use or drop some, or raise max_material or max_material_bytes in the party's [limits]"


class DeadlineExpired(Refused):
    """The request's deadline has passed, or passed while it ran."""

    code = "DEADLINE_EXPIRED"


class NonceReplayed(Refused):
    """The nonce was used before, in another request."""

    code = "NONCE_REPLAYED"


class JobConflict(Refused):
    """The job id was used before, with other contents."""

    code = "JOB_CONFLICT"


class InvalidRequest(Refused):
    """A message lacks a field, or a field has a value it must not have."""

    code = "INVALID_REQUEST"


class CommitmentMismatch(Refused):
    """An input share does not open its commitment."""

    code = "COMMITMENT_MISMATCH"


class ModelShareMismatch(Refused):
    """A model share does not open the commitment in the manifest, or public weights do not have its digest."""

    code = "MODEL_SHARE_MISMATCH"


class SealingFailed(Refused):
    """A sealed message does not open under the key and context it should."""

    code = "SEALING_FAILED"


class PartySetMismatch(Refused):
    """The request is for another set of parties."""

    code = "PARTY_SET_MISMATCH"


class RegistryTooOld(Refused):
    """The registry block named is unknown here, or too far behind."""

    code = "REGISTRY_TOO_OLD"
    retryable = True


class SessionAborted(MpcInferError):
    """A session ended without an answer. Its job is spent; the input can be submitted anew, as a new job."""

    code = "SESSION_ABORTED"
    default_remedy = "submit the input again as a new job"


class PeerFailed(SessionAborted):
    """A party went away during a session."""

    code = "PEER_FAILED"


class PeerTimeout(SessionAborted):
    """A party did not answer in time during a session."""

    code = "PEER_TIMEOUT"


class UnexpectedFrame(SessionAborted):
    """A frame came that does not belong where it came."""

    code = "UNEXPECTED_FRAME"


class PlanMismatch(SessionAborted):
    """The parties, or a party and the dealer, disagree on what is to be computed."""

    code = "PLAN_MISMATCH"


class TranscriptMismatch(SessionAborted):
    """The parties saw different openings."""

    code = "TRANSCRIPT_MISMATCH"


class MaterialUnusable(SessionAborted):
    """Correlated randomness is missing, spent, of the wrong size, or made for something else."""

    code = "MATERIAL_UNUSABLE"


class ReceiptDisagreement(SessionAborted):
    """A party signed another receipt than the rest."""

    code = "RECEIPT_DISAGREEMENT"


class ReceiptInvalid(MpcInferError):
    """A receipt does not verify."""

    code = "RECEIPT_INVALID"


class UnknownReceiptVersion(ReceiptInvalid):
    """Step 1: the receipt's version is not known, or its bytes are malformed."""

    code = "UNKNOWN_RECEIPT_VERSION"


class ReceiptModelInactive(ReceiptInvalid):
    """Step 2: the model version was not active at the receipt's block."""

    code = "RECEIPT_MODEL_INACTIVE"


class ReceiptPartySetInvalid(ReceiptInvalid):
    """Step 3: the party set is unknown, not the model's, or a key was not valid at that time."""

    code = "RECEIPT_PARTY_SET_INVALID"


class ReceiptSignatureInvalid(ReceiptInvalid):
    """Step 4: a signature is missing, doubled, foreign or wrong."""

    code = "RECEIPT_SIGNATURE_INVALID"


class OpeningMismatch(ReceiptInvalid):
    """Step 5: an opening does not open the receipt's commitment."""

    code = "OPENING_MISMATCH"


class InclusionInvalid(ReceiptInvalid):
    """Step 6: the inclusion proof does not lead to the root."""

    code = "INCLUSION_INVALID"


class RootNotAnchored(ReceiptInvalid):
    """Step 7: the root is not on the chain for this party set, or not at a time that fits the receipt and its keys."""

    code = "ROOT_NOT_ANCHORED"


class ChainError(MpcInferError):
    """The chain refused, or said something unexpected."""

    code = "CHAIN_ERROR"


class ChainUnavailable(ChainError):
    """The chain's node does not answer."""

    code = "CHAIN_UNAVAILABLE"
    retryable = True


class TransactionFailed(ChainError):
    """A transaction was reverted or never mined."""

    code = "TRANSACTION_FAILED"


class Unavailable(MpcInferError):
    """A service cannot be reached, or is too busy. The same request may be sent again."""

    code = "UNAVAILABLE"
    retryable = True


class StoreError(MpcInferError):
    """A database or key file cannot be read, written or decrypted."""

    code = "STORE_ERROR"


class ConfigError(MpcInferError):
    """A configuration file is wrong."""

    code = "CONFIG_ERROR"


class InternalError(MpcInferError):
    """A defect of this software."""

    code = "INTERNAL"


def all_errors() -> Iterator[type[MpcInferError]]:
    """The whole tree, parents first; not what a package refines for itself."""
    pending: list[type[MpcInferError]] = [MpcInferError]
    while pending:
        current = pending.pop(0)
        yield current
        pending.extend(kind for kind in current.__subclasses__() if kind.__module__ == __name__)
