"""How the parties of a lane find each other at the start of a session, whatever happened in the one before.

The party with the higher index dials. A connection counts when its certificate is that of a party of the set and a
HELLO for this very session has come over it; anything else that is met (an old session's frames, a closed socket, a
stranger) is dropped and dialled anew until the deadline.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mpc_infer.engine.frames import ElementType, Header, Kind
from mpc_infer.engine.tls_connection import Connection, Expected
from mpc_infer.engine.tls_greeting import Greeting
from mpc_infer.engine.tls_pipe import TlsPipe
from mpc_infer.errors import NotAuthenticated, SessionAborted
from mpc_infer.identity.certs import identity_host, peer_identity
from mpc_infer.ids import Address
from mpc_infer.telemetry import Log

REDIAL_SECONDS = 0.05
MAX_GREETINGS = 16

_log = Log("engine.link")


@dataclass
class Meeting:
    """The connections of one lane, and the means to make them.

    Attributes:
        rank: this party's index.
        addresses: the parties' identities, by index.
        targets: host and port at which each peer's lane listens.
        listener: this lane's listening socket, non-blocking.
        server, client: TLS contexts, mutual authentication.
        connections: peers whose connection is usable.
    """

    rank: int
    addresses: Sequence[Address]
    targets: Sequence[tuple[str, int]]
    listener: socket.socket
    server: ssl.SSLContext
    client: ssl.SSLContext
    connections: dict[int, Connection] = field(default_factory=dict)
    _greetings: list[Greeting] = field(default_factory=list)
    _dial_at: dict[int, float] = field(default_factory=dict)
    _met: set[int] = field(default_factory=set)
    _session_id: bytes = b""

    def open(self, session_id: bytes) -> None:
        """Start to meet for a session: greet the peers that are still connected, dial the others."""
        self._session_id = session_id
        self._met.clear()
        self._dial_at = {peer: 0.0 for peer in range(self.rank) if peer not in self.connections}
        for connection in self.connections.values():
            self._greet(connection)

    def missing(self) -> list[int]:
        """Peers that have not been met yet."""
        peers = (peer for peer in range(len(self.addresses)) if peer != self.rank)
        return [peer for peer in peers if peer not in self._met]

    def advance(self) -> None:
        """Do whatever can be done without waiting.

        Raises:
            SessionAborted: a peer has given this session up already; this is its reason.
        """
        self._accept()
        self._dial()
        for greeting in list(self._greetings):
            self._advance_greeting(greeting)
        for connection in list(self.connections.values()):
            self._advance_connection(connection)

    def wait(self, seconds: float) -> None:
        """Sleep until something can be done, at most this long and never longer than the time to the next dialling."""
        poller = select.poll()
        poller.register(self.listener, select.POLLIN)
        for greeting in self._greetings:
            poller.register(greeting.fileno(), greeting.wants)
        for connection in self.connections.values():
            if connection.wants:
                poller.register(connection.fileno(), connection.wants)
        poller.poll(1000 * max(0.0, min(seconds, REDIAL_SECONDS)))

    def settle(self) -> None:
        """Everybody has been met: forget half-made connections."""
        self._drop_greetings(lambda _: True)

    def close(self) -> None:
        """Drop all connections. Never raises."""
        self.settle()
        for connection in self.connections.values():
            connection.close()
        self.connections.clear()

    def _greet(self, connection: Connection) -> None:
        hello = Header(Kind.HELLO, self.rank, ElementType.BYTES, self._session_id, 0, (), 0)
        connection.expect(Expected(Kind.HELLO, self._session_id, 0, ElementType.BYTES, (), 0, True))
        connection.queue(hello.to_bytes())

    def _accept(self) -> None:
        for _ in range(MAX_GREETINGS):
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setblocking(False)
            self._make_room()
            self._greetings.append(Greeting(sock, self.server, peer=None, hostname=None))

    def _make_room(self) -> None:
        # Strangers that connect and say nothing must not keep a peer out: the oldest goes. A peer needs a moment only.
        accepted = [greeting for greeting in self._greetings if greeting.peer is None]
        if len(accepted) >= MAX_GREETINGS:
            self._drop_greetings(lambda other: other is accepted[0])

    def _dial(self) -> None:
        now = time.monotonic()
        for peer, due in list(self._dial_at.items()):
            if now >= due:
                self._dial_peer(peer, now)

    def _dial_peer(self, peer: int, now: float) -> None:
        del self._dial_at[peer]
        try:
            hostname = identity_host(self.addresses[peer], "party")
            self._greetings.append(Greeting.dial(self.targets[peer], self.client, peer, hostname))
        except OSError:
            self._dial_at[peer] = now + REDIAL_SECONDS

    def _advance_greeting(self, greeting: Greeting) -> None:
        try:
            pipe = greeting.advance()
            if pipe is not None:
                self._greetings.remove(greeting)
                self._adopt(pipe, greeting.peer)
        except (OSError, NotAuthenticated) as error:
            _log.debug("greeting failed", reason=str(error), party=greeting.peer)
            self._drop_greetings(lambda other: other is greeting)
            greeting.close()
            self._redial(greeting.peer)

    def _adopt(self, pipe: TlsPipe, dialled: int | None) -> None:
        peer = self._identify(pipe)
        if (dialled is None and peer <= self.rank) or (dialled is not None and peer != dialled):
            raise NotAuthenticated(f"party {peer} came where it does not belong", party=peer)
        self._met.discard(peer)
        former = self.connections.pop(peer, None)
        if former is not None:
            former.close()
        self.connections[peer] = Connection(pipe, peer)
        self._greet(self.connections[peer])

    def _identify(self, pipe: TlsPipe) -> int:
        certificate = pipe.certificate
        if certificate is None:
            raise NotAuthenticated("a peer showed no certificate")
        peer = peer_identity(certificate)
        if peer.role != "party" or peer.address not in self.addresses:
            raise NotAuthenticated(f"{peer.address} ({peer.role}) is not a party of this set")
        return list(self.addresses).index(peer.address)

    def _advance_connection(self, connection: Connection) -> None:
        try:
            connection.advance()
            if connection.done:
                # From here on only an ABORT is read: the peer may have gone on to its first round.
                connection.take()
                self._met.add(connection.peer)
        except SessionAborted as error:
            if connection.aborted:
                raise
            _log.debug("connection dropped", reason=error.message, party=connection.peer)
            connection.close()
            del self.connections[connection.peer]
            self._met.discard(connection.peer)
            self._redial(connection.peer)

    def _redial(self, peer: int | None) -> None:
        if peer is not None and peer < self.rank:
            self._dial_at[peer] = time.monotonic() + REDIAL_SECONDS

    def _drop_greetings(self, which: Callable[[Greeting], bool]) -> None:
        for greeting in [item for item in self._greetings if which(item)]:
            greeting.close()
            self._greetings.remove(greeting)
