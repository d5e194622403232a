"""The frames that parties send each other.

A frame is a header of 64 bytes, little endian, and a payload::

    "MPI1" · u8 kind · u8 sender · u8 dtype · u8 ndim · session 16 B · u32 step · 7 x u32 dims · u64 payload length

Unused dims are zero. For arrays the payload is their data; everywhere else dtype is BYTES and ndim is 0.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from mpc_infer.errors import (
    InternalError,
    MaterialUnusable,
    MpcInferError,
    PeerFailed,
    PeerTimeout,
    PlanMismatch,
    SessionAborted,
    TranscriptMismatch,
    UnexpectedFrame,
    all_errors,
)

MAGIC = b"MPI1"
MAX_DIMS = 7
MAX_AXIS = (1 << 32) - 1
MAX_REASON = 1024
MAX_PARTIES = 255
NO_PARTY = 255
_HEADER = struct.Struct("<4sBBBB16sI7IQ")
HEADER_BYTES = _HEADER.size
_SENDER_AT = 5


class Kind(IntEnum):
    """What a frame is for."""

    HELLO = 1
    DATA = 2
    ABORT = 3


class ElementType(IntEnum):
    """What a payload holds."""

    BYTES = 0
    UINT64 = 1
    INT64 = 2


@dataclass(frozen=True, slots=True)
class Header:
    """The first 64 bytes of a frame."""

    kind: Kind
    sender: int
    dtype: ElementType
    session_id: bytes
    step: int
    dims: tuple[int, ...]
    length: int

    def to_bytes(self) -> bytes:
        """64 bytes.

        Raises:
            InternalError: too many axes, or one too long.
        """
        return pack_header(self.kind, self.sender, self.dtype, self.session_id, self.step, self.dims, self.length)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> "Header":
        """Read a header.

        Raises:
            UnexpectedFrame: magic, kind, type or number of axes is unknown.
        """
        magic, kind, sender, dtype, ndim, session_id, step, *rest = _HEADER.unpack(data)
        if magic != MAGIC or ndim > MAX_DIMS:
            raise UnexpectedFrame("a peer sent something that is not a frame")
        try:
            return cls(Kind(kind), sender, ElementType(dtype), session_id, step, tuple(rest[:ndim]), rest[-1])
        except ValueError as error:
            raise UnexpectedFrame(f"a frame has an unknown kind {kind} or element type {dtype}") from error


def pack_header(
    kind: Kind, sender: int, dtype: ElementType, session_id: bytes, step: int, dims: tuple[int, ...], length: int
) -> bytes:
    """The 64 bytes of a header.

    Raises:
        InternalError: too many axes, or one too long.
    """
    if len(dims) > MAX_DIMS or any(not 0 <= size <= MAX_AXIS for size in dims):
        raise InternalError(f"an array of shape {list(dims)} does not fit a frame")
    unused = (0,) * (MAX_DIMS - len(dims))
    return _HEADER.pack(MAGIC, kind, sender, dtype, len(dims), session_id, step, *dims, *unused, length)


def with_sender(head: bytes, sender: int) -> bytes:
    """The same header from another party."""
    return head[:_SENDER_AT] + bytes((sender,)) + head[_SENDER_AT + 1 :]


def encode_abort(error: BaseException) -> bytes:
    """Payload of an ABORT frame: u8 party at fault (255: none) ‖ u8 length ‖ code ‖ reason, at most 1 KiB in all.

    Only the text of our own errors travels: a foreign exception's may hold anything.
    """
    if isinstance(error, MpcInferError):
        code, reason, party = error.code.encode(), error.message.encode()[:MAX_REASON], error.party
    else:
        code, reason, party = InternalError.code.encode(), b"an unexpected error, see that party's log", None
    head = bytes([NO_PARTY if party is None else party, len(code)])
    return (head + code + reason)[:MAX_REASON]


def decode_abort(payload: bytes, sender: int) -> SessionAborted:
    """The error that another party gave up with, as one of ours. Codes that are not known become SessionAborted."""
    if len(payload) < 2:
        return UnexpectedFrame(f"party {sender} sent a malformed abort", party=sender)
    code, reason = payload[2 : 2 + payload[1]], payload[2 + payload[1] :]
    text = "".join(char if char.isprintable() else "?" for char in reason.decode(errors="replace"))
    classes: dict[str, type[SessionAborted]] = {kind.code: kind for kind in _TRAVELLING}
    kind = classes.get(code.decode(errors="replace"), SessionAborted)
    known = any(error.code.encode() == code for error in all_errors())
    label = code.decode() if known else "an unknown code"
    party = sender if payload[0] == NO_PARTY else payload[0]
    return kind(f"party {sender} aborted with {label}: {text}", party=party)


_TRAVELLING = (PeerFailed, PeerTimeout, UnexpectedFrame, PlanMismatch, TranscriptMismatch, MaterialUnusable)
