"""Messages between a party's main process and its lanes, over an inherited pair of sockets.

A frame is u32 length of what follows ‖ u32 length of the header ‖ header ‖ blobs, little endian. The header is JSON:
``{"kind": …, "number": …, "fields": {name: text or number}, "blobs": [[name, length], …]}``. The sockets join two
processes of the same user and program; the limits are there to fail early, not against an attacker.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from mpc_infer.errors import InternalError, MessageTooLarge, MpcInferError
from mpc_infer.rpc.status import error_class

MAX_FRAME = (3 << 30) + (64 << 20)
"""Most bytes in one frame: a model share, public weights and an opening, each as large as a message may be; and the
graph."""
MATERIAL_READY = "material-ready"
"""Kind of the one message that a lane sends unasked: a batch is in memory, with nothing left to do before the input."""
PING = "ping"
"""Kind of what a lane answers at once, whatever it is busy with."""
_LENGTH = struct.Struct("<I")

Scalar = str | int | float | None


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        kind: what it asks for or answers.
        number: joins an answer to its request.
        fields: texts and numbers.
        blobs: bytes; never shown in logs or repr.
    """

    kind: str
    number: int = 0
    fields: Mapping[str, Scalar] = field(default_factory=dict)
    blobs: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def text(self, name: str) -> str:
        """A text field."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else self._lacks(name)

    def integer(self, name: str) -> int:
        """A whole number."""
        value = self.fields.get(name)
        return value if isinstance(value, int) else self._lacks(name)

    def real(self, name: str) -> float:
        """A number."""
        value = self.fields.get(name)
        return float(value) if isinstance(value, int | float) else self._lacks(name)

    def blob(self, name: str) -> bytes:
        """A blob.

        Raises:
            InternalError: there is none of this name.
        """
        return self.blobs[name] if name in self.blobs else self._lacks(name)

    def _lacks(self, name: str) -> NoReturn:
        raise InternalError(f"message {self.kind} between a lane and its party has no valid {name}")


def encode(message: Message) -> bytes:
    """A message as one frame.

    Raises:
        MessageTooLarge: it does not fit.
    """
    header = json.dumps(
        {
            "kind": message.kind,
            "number": message.number,
            "fields": dict(message.fields),
            "blobs": [[name, len(blob)] for name, blob in message.blobs.items()],
        }
    ).encode()
    size = _LENGTH.size + len(header) + sum(map(len, message.blobs.values()))
    if size > MAX_FRAME:
        raise MessageTooLarge(f"a message of {size} bytes for a lane, at most {MAX_FRAME} fit")
    return b"".join([_LENGTH.pack(size), _LENGTH.pack(len(header)), header, *message.blobs.values()])


def decode(body: bytes) -> Message:
    """The message in a frame without its leading length.

    Raises:
        InternalError: it is malformed.
    """
    try:
        (length,) = _LENGTH.unpack_from(body)
        start = _LENGTH.size + length
        header = json.loads(body[_LENGTH.size : start])
        blobs = {}
        for name, size in header["blobs"]:
            blobs[name] = body[start : start + size]
            start += size
        if start != len(body):
            raise InternalError("a frame between a lane and its party has the wrong length")
        return Message(header["kind"], header["number"], header["fields"], blobs)
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise InternalError("a frame between a lane and its party is malformed") from error


def _checked_length(head: bytes) -> int:
    length: int = _LENGTH.unpack(head)[0]
    if length > MAX_FRAME:
        raise InternalError(f"a frame between a lane and its party claims {length} bytes")
    return length


async def read_frame(reader: asyncio.StreamReader) -> Message:
    """The next message.

    Raises:
        asyncio.IncompleteReadError: the other side is gone.
    """
    length = _checked_length(await reader.readexactly(_LENGTH.size))
    return decode(await reader.readexactly(length))


def _receive(sock: socket.socket, size: int) -> bytes:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = sock.recv_into(view)
        if count == 0:
            raise EOFError
        view = view[count:]
    return bytes(buffer)


def receive_frame(sock: socket.socket) -> Message:
    """The next message, blocking.

    Raises:
        EOFError: the other side is gone.
    """
    return decode(_receive(sock, _checked_length(_receive(sock, _LENGTH.size))))


def error_message(number: int, error: MpcInferError) -> Message:
    """An error as an answer."""
    return Message("error", number, error_fields(error))


def error_fields(error: MpcInferError, ending: str = "") -> dict[str, Scalar]:
    """An error as fields of a message, whose names end in something."""
    values = {"code": error.code, "message": error.message, "remedy": error.remedy, "party": error.party}
    return {name + ending: value for name, value in values.items()}


def error_of(message: Message, ending: str = "") -> MpcInferError:
    """The error that some fields carry."""
    party = message.fields.get("party" + ending)
    return error_class(message.text("code" + ending))(
        message.text("message" + ending),
        remedy=message.text("remedy" + ending),
        party=party if isinstance(party, int) else None,
    )


def raise_error(message: Message) -> Message:
    """Return an answer, or raise the error that it carries."""
    if message.kind != "error":
        return message
    raise error_of(message)
