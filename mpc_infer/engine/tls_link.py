"""The link between parties: one TLS 1.3 socket per pair of parties and lane, mutually authenticated.

One thread, one writer per socket, non-blocking sends and receives in one poll loop: two parties that send large frames
to each other at the same time cannot block one another.
"""

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mpc_infer.engine.frames import HEADER_BYTES, ElementType, Header, Kind, encode_abort, with_sender
from mpc_infer.engine.link import Array, Counters
from mpc_infer.engine.tls_connection import Connection, Expected
from mpc_infer.engine.tls_meeting import Meeting
from mpc_infer.engine.tls_wait import Waiting, flush_all, wait_for_one
from mpc_infer.errors import InternalError, MessageTooLarge, MpcInferError, PeerFailed, PeerTimeout, SessionAborted
from mpc_infer.identity.tls import TlsCredentials, client_context, server_context
from mpc_infer.ids import Address

MAX_FRAME_BYTES = 1 << 30
CAUSE_SECONDS = 0.2
"""How long a party whose peer has gone waits for another one to say why."""
JOINED_BYTES = (1 << 14) - HEADER_BYTES
"""Up to one TLS record, header and payload are copied together; larger payloads are sent from where they lie."""
_TYPES = {np.dtype(np.uint64): ElementType.UINT64, np.dtype(np.int64): ElementType.INT64}


@dataclass(frozen=True)
class LinkConfig:
    """Where the parties of one lane are.

    Attributes:
        rank: this party's index.
        addresses: identities of all parties, by index: what their certificates must say.
        listen: host and port of this party's lane.
        targets: host and port of every party's lane, by index (the own entry is not used).
        credentials: this party's TLS key and certificate, and the authority for the others'.
        step_timeout_s: longest wait for one round, in seconds.
        max_frame_bytes: largest payload sent or accepted.
    """

    rank: int
    addresses: tuple[Address, ...]
    listen: tuple[str, int]
    targets: tuple[tuple[str, int], ...]
    credentials: TlsCredentials
    step_timeout_s: float = 30.0
    max_frame_bytes: int = MAX_FRAME_BYTES


class TlsLink:
    """`Link` over TLS sockets.

    Args:
        config: see there.
        cancelled: asked every tenth of a second during a wait; an error that it returns aborts the session.

    Raises:
        OSError: the lane's port cannot be bound.
    """

    def __init__(self, config: LinkConfig, *, cancelled: Callable[[], SessionAborted | None] | None = None) -> None:
        self._config = config
        self._waiting = Waiting(cancelled, len(config.addresses))
        self._listener = _listen(config.listen)
        self._meeting = Meeting(
            config.rank,
            config.addresses,
            config.targets,
            self._listener,
            _without_tickets(server_context(config.credentials)),
            client_context(config.credentials),
        )
        self._session_id = b""
        self._deadline = 0.0
        self._step = 0
        self._counters = Counters()

    @property
    def rank(self) -> int:
        """This party's index."""
        return self._config.rank

    @property
    def size(self) -> int:
        """How many parties there are."""
        return len(self._config.addresses)

    @property
    def counters(self) -> Counters:
        """Costs since `begin`."""
        return self._counters

    @property
    def port(self) -> int:
        """The port that this lane listens on."""
        return int(self._listener.getsockname()[1])

    def begin(self, session_id: bytes, deadline: float) -> None:
        """Meet all peers in a session (see `Link.begin`)."""
        if len(session_id) != 16:
            raise InternalError("a session id has 16 bytes")
        if self._session_id:
            self.abort(SessionAborted("the next session began before this one ended"))
        self._session_id, self._deadline, self._step, self._counters = session_id, deadline, 0, Counters()
        self._guard(self._meet)

    def exchange(self, array: Array, meanwhile: Callable[[], None] | None = None) -> list[Array]:
        """One round of arrays of the same type and shape (see `Link.exchange`)."""
        array = np.asarray(array, order="C")
        expected = self._expect_array(array)
        head, payload = expected.head(self.rank), _bytes_of(array)
        pieces = (head, payload) if array.nbytes > JOINED_BYTES else (b"".join((head, payload)),)
        for peer, connection in self._meeting.connections.items():
            connection.expect(expected, with_sender(head, peer))
            connection.send(pieces)
        if meanwhile is not None:
            meanwhile()
        frames = self._round(len(self._meeting.connections) * (HEADER_BYTES + array.nbytes))
        shape, dtype = array.shape, array.dtype
        return [np.ndarray(shape, dtype, *frames[peer]) if peer in frames else array for peer in range(self.size)]

    def exchange_bytes(self, messages: Sequence[bytes], *, max_bytes: int) -> list[bytes]:
        """One round of messages (see `Link.exchange_bytes`)."""
        if not self._session_id:
            raise InternalError("a round outside a session")
        if max(map(len, messages)) > max_bytes:
            raise MessageTooLarge(f"a message among parties is longer than {max_bytes} bytes")
        expected = Expected(Kind.DATA, self._session_id, self._step, ElementType.BYTES, (), max_bytes, False)
        total = 0
        for peer, connection in self._meeting.connections.items():
            frame = self._bytes_frame(Kind.DATA, messages[peer])
            connection.expect(expected)
            connection.send((frame,))
            total += len(frame)
        frames = self._round(total)
        return [bytes(frames[peer][0]) if peer in frames else messages[peer] for peer in range(self.size)]

    def abort(self, error: BaseException) -> None:
        """Send everybody an ABORT, as far as that goes without waiting, and drop all connections. Never raises."""
        connections = list(self._meeting.connections.values())
        if self._session_id and connections:
            frame = self._bytes_frame(Kind.ABORT, encode_abort(error))
            for connection in connections:
                connection.queue(frame)
            flush_all(connections)
        self._session_id = b""
        self._meeting.close()

    def end(self) -> None:
        """Leave the session; connections stay."""
        self._session_id = b""

    def close(self) -> None:
        """Release everything. Never raises."""
        self.abort(SessionAborted("the party shuts down"))
        self._listener.close()

    def _expect_array(self, array: Array) -> Expected:
        if not self._session_id:
            raise InternalError("a round outside a session")
        if array.dtype not in _TYPES:
            raise InternalError(f"arrays of {array.dtype} do not travel between parties")
        if array.nbytes > self._config.max_frame_bytes:
            raise MessageTooLarge(f"{array.nbytes} bytes in one round; the limit is {self._config.max_frame_bytes}")
        return Expected(Kind.DATA, self._session_id, self._step, _TYPES[array.dtype], array.shape, array.nbytes, True)

    def _bytes_frame(self, kind: Kind, payload: bytes) -> bytes:
        header = Header(kind, self.rank, ElementType.BYTES, self._session_id, self._step, (), len(payload))
        return header.to_bytes() + payload

    def _guard(self, work: Callable[[], None]) -> None:
        # Whatever ends a session here ends it everywhere.
        try:
            work()
        except MpcInferError as error:
            self.abort(error)
            raise

    def _meet(self) -> None:
        self._meeting.open(self._session_id)
        limit = self._limit()
        self._meeting.advance()
        while missing := self._meeting.missing():
            if time.monotonic() >= limit:
                raise PeerTimeout(f"party {missing[0]} did not come to the session in time", party=missing[0])
            self._waiting.check_cancelled()
            self._meeting.wait(limit - time.monotonic())
            self._meeting.advance()
        self._meeting.settle()

    def _round(self, sent: int) -> dict[int, tuple[bytearray, int]]:
        self._guard(self._pump)
        frames = {peer: connection.take() for peer, connection in self._meeting.connections.items()}
        counters = self._counters
        self._step += 1
        counters.rounds += 1
        counters.bytes_sent += sent
        for buffer, start in frames.values():
            counters.bytes_received += len(buffer) if start else HEADER_BYTES + len(buffer)
        return frames

    def _pump(self) -> None:
        limit = self._limit()
        pending = list(self._meeting.connections.values())
        while pending:
            for connection in self._waiting.ready(pending, limit, self._step):
                self._advance(connection)
            pending = [connection for connection in pending if not connection.done]
            if pending:
                # Bytes that trickle in hold nobody beyond the session's end.
                self._waiting.check(pending, self._deadline, self._step)

    def _advance(self, connection: Connection) -> None:
        try:
            connection.advance()
        except PeerFailed as error:
            raise self._first_cause(error) from error

    def _first_cause(self, failure: PeerFailed) -> SessionAborted:
        # A peer that gave up closes its sockets. If another one says why, that is the better answer.
        limit = time.monotonic() + CAUSE_SECONDS
        others = [item for item in self._meeting.connections.values() if item.peer != failure.party]
        for connection in others:
            while time.monotonic() < limit:
                try:
                    connection.advance()
                except PeerFailed:
                    break
                except SessionAborted as cause:
                    return cause
                if connection.received:
                    break
                wait_for_one(connection, limit)
        return failure

    def _limit(self) -> float:
        return min(self._deadline, time.monotonic() + self._config.step_timeout_s)


def _bytes_of(array: Array) -> memoryview:
    return array.data.cast("B") if array.size and array.ndim else memoryview(array.tobytes())


def _listen(address: tuple[str, int]) -> socket.socket:
    family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    listener = socket.create_server(address, family=family, backlog=16)
    listener.setblocking(False)
    return listener


def _without_tickets(context: ssl.SSLContext) -> ssl.SSLContext:
    # Sessions are never resumed; tickets would only be bytes to read past.
    context.num_tickets = 0
    return context
