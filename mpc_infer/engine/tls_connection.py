"""One TLS connection to one peer: frames in, frames out, never blocking."""

import select
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mpc_infer.engine.frames import HEADER_BYTES, MAX_REASON, ElementType, Header, Kind, decode_abort, pack_header
from mpc_infer.engine.tls_pipe import TlsPipe
from mpc_infer.errors import PeerFailed, UnexpectedFrame


class Expected(NamedTuple):
    """The one frame that may come next, apart from an ABORT."""

    kind: Kind
    session_id: bytes
    step: int
    dtype: ElementType
    dims: tuple[int, ...]
    max_length: int
    exact_length: bool

    def head(self, peer: int) -> bytes:
        """The header that this peer must send, when the length is known."""
        return pack_header(self.kind, peer, self.dtype, self.session_id, self.step, self.dims, self.max_length)

    def check(self, header: Header, peer: int) -> None:
        """Compare a header, before a byte of its payload is read.

        Raises:
            UnexpectedFrame: says what differs and names the peer.
        """
        for what, expected, got in (
            ("sender", peer, header.sender),
            ("session", self.session_id.hex(), header.session_id.hex()),
            ("kind", self.kind.name, header.kind.name),
            ("step", self.step, header.step),
            ("element type", self.dtype.name, header.dtype.name),
            ("shape", self.dims, header.dims),
        ):
            if expected != got:
                raise UnexpectedFrame(f"party {peer} sent a frame whose {what} is {got}, not {expected}", party=peer)
        if header.length > self.max_length or (self.exact_length and header.length != self.max_length):
            raise UnexpectedFrame(
                f"party {peer} sent {header.length} bytes where {self.max_length} were due", party=peer
            )


class Connection:
    """The state of one socket. The owner polls `wants` and calls `advance`.

    Args:
        pipe: after its handshake.
        peer: whose certificate it is.

    Attributes:
        aborted: whether the peer has said that the session is over.
    """

    def __init__(self, pipe: TlsPipe, peer: int) -> None:
        self.peer = peer
        self.aborted = False
        self._pipe = pipe
        self._outgoing: deque[memoryview] = deque()
        self._expected: Expected | None = None
        self._session_id = b""
        self._header: Header | None = None
        self._due = b""
        self._buffer = bytearray(HEADER_BYTES)
        self._filled = 0
        self._complete = False

    def fileno(self) -> int:
        """For poll."""
        return self._pipe.fileno()

    @property
    def sent(self) -> bool:
        """Whether everything queued has been handed to the kernel."""
        return not self._outgoing and not self._pipe.sending

    @property
    def received(self) -> bool:
        """Whether the expected frame is complete."""
        return self._complete

    @property
    def done(self) -> bool:
        """Whether nothing is left to do in this step."""
        return self._complete and self.sent

    @property
    def wants(self) -> int:
        """Poll events that would let `advance` make progress."""
        reading = 0 if self._complete or self._held else select.POLLIN
        return reading | (0 if self.sent else select.POLLOUT)

    @property
    def buffered(self) -> bool:
        """Whether bytes wait here or inside TLS, where poll does not see them."""
        if self._complete or self._held:
            return False
        return self._filled == len(self._buffer) or self._pipe.buffered

    def queue(self, frame: bytes | bytearray | memoryview) -> None:
        """Append a whole frame to what is to be sent."""
        self._outgoing.append(memoryview(frame))

    def send(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Append a frame to what is to be sent, and send what can be. `advance` says when the peer has gone.

        Args:
            pieces: one if it is bytes that fit into a TLS record.
        """
        first = pieces[0]
        if len(pieces) == 1 and isinstance(first, bytes) and not self._outgoing:
            try:
                if self._pipe.send_record(first):
                    return
            except OSError:
                return  # the pipe keeps the frame; `advance` will meet the error again
        self._outgoing.extend(map(memoryview, pieces))
        self.flush()

    def expect(self, expected: Expected, head: bytes = b"") -> None:
        """Name the next frame. The one before must have been taken.

        Args:
            head: the header that must come, where the length is known: then it is read together with the payload.
        """
        self._expected = expected
        self._session_id = expected.session_id
        if head and not self._filled:
            self._due = head
            self._buffer = bytearray(HEADER_BYTES + expected.max_length)

    def take(self) -> tuple[bytearray, int]:
        """The frame that is complete, and where its payload begins. What follows waits until it is expected, unless it
        is an ABORT.
        """
        payload = self._buffer, (HEADER_BYTES if self._due else 0)
        self._expected = self._header = None
        self._due = b""
        self._buffer = bytearray(HEADER_BYTES)
        self._filled = 0
        self._complete = False
        return payload

    def advance(self) -> None:
        """Send and receive what can be done without waiting.

        Raises:
            PeerFailed: the connection is gone.
            UnexpectedFrame: another frame came than the expected one.
            SessionAborted: the peer sent an ABORT; this is its reason.
        """
        # A peer that has gone may have said why: that is read before it is told that nothing can be sent any more.
        alive = self.sent or self.flush()
        try:
            if not self._complete:
                self._receive()
            if not alive:
                self._send()
        except OSError as error:
            raise PeerFailed(f"the connection to party {self.peer} broke: {error}", party=self.peer) from error

    def flush(self) -> bool:
        """Send what can be sent without waiting. False when the peer is gone. Never raises."""
        try:
            self._send()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket. Never raises."""
        self._pipe.close()

    def _send(self) -> None:
        while self._pipe.flush() and self._outgoing:
            view = self._outgoing.popleft()
            count = self._pipe.send(view)
            if count < len(view):
                self._outgoing.appendleft(view[count:])

    @property
    def _held(self) -> bool:
        # A header has come before anybody expects it.
        return self._header is None and self._expected is None and self._filled == HEADER_BYTES

    def _receive(self) -> None:
        if self._due and not self._filled and not self._pipe.buffered:
            # Most frames are there as a whole, in one record.
            if not self._read(self._pipe.receive_record, self._buffer):
                return
            self._look()
        while not self._complete and not self._held:
            rest = memoryview(self._buffer)[self._filled :]
            if rest and not self._read(self._pipe.receive_into, rest):
                return
            self._look()

    def _read(self, receive: Callable[[Any], int], window: bytearray | memoryview) -> int:
        try:
            count = receive(window)
        except EOFError as error:
            raise PeerFailed(f"party {self.peer} closed the connection", party=self.peer) from error
        self._filled += count
        return count

    def _look(self) -> None:
        if self._due and self._filled >= HEADER_BYTES:
            self._advance_due()
        if self._filled == len(self._buffer) and not self._complete:
            self._advance_frame()

    def _advance_due(self) -> None:
        # The frame that was due is read to its end. Any other one is read as if nothing had been known about it.
        if self._buffer.startswith(self._due):
            self._complete = self._filled == len(self._buffer)
            return
        self._due = b""
        header, rest = Header.from_bytes(self._buffer[:HEADER_BYTES]), self._buffer[HEADER_BYTES : self._filled]
        self._header = self._check_header(header)
        self._buffer = bytearray(header.length)
        self._buffer[: len(rest)] = rest[: header.length]
        self._filled = min(len(rest), header.length)

    def _advance_frame(self) -> None:
        if self._header is None:
            header = Header.from_bytes(self._buffer)
            if self._expected is None and header.kind is not Kind.ABORT:
                return
            self._header = self._check_header(header)
            self._buffer = bytearray(self._header.length)
            self._filled = 0
            if self._header.length:
                return
        if self._header.kind is Kind.ABORT:
            self.aborted = True
            raise decode_abort(bytes(self._buffer), self.peer)
        self._complete = True

    def _check_header(self, header: Header) -> Header:
        if header.kind is Kind.ABORT and header.length <= MAX_REASON:
            if header.session_id != self._session_id:
                raise UnexpectedFrame(f"party {self.peer} aborted another session", party=self.peer)
        elif self._expected is not None:
            self._expected.check(header, self.peer)
        else:
            raise UnexpectedFrame(f"party {self.peer} sent an abort that is too long", party=self.peer)
        return header
