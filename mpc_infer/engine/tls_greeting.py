"""A TLS connection that is being made, by dialling or by accepting, without blocking."""

import errno
import select
import socket
import ssl
import time

from mpc_infer.engine.tls_pipe import TlsPipe

# A stranger that connects and says nothing holds one of a few places, for this long.
GREETING_SECONDS = 5.0
_IN_PROGRESS = (0, errno.EINPROGRESS, errno.EALREADY)


class Greeting:
    """A socket on its way to being a connection.

    Args:
        sock: non-blocking; connecting (when dialled) or connected (when accepted).
        context: of the side that this process plays.
        peer: index of the party that was dialled; None for an accepted socket.
        hostname: name that the peer's certificate must carry, when dialled.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, peer: int | None, hostname: str | None) -> None:
        self.peer = peer
        self.wants = select.POLLOUT if peer is not None else select.POLLIN
        self.expires = time.monotonic() + GREETING_SECONDS
        self._sock = sock
        self._context = context
        self._hostname = hostname
        self._pipe: TlsPipe | None = None

    @classmethod
    def dial(cls, target: tuple[str, int], context: ssl.SSLContext, peer: int, hostname: str) -> "Greeting":
        """Start to connect.

        Raises:
            OSError: refused at once, or the name does not resolve.
        """
        family, kind, protocol, _, address = socket.getaddrinfo(*target, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        code = sock.connect_ex(address)
        if code not in _IN_PROGRESS:
            sock.close()
            raise OSError(code, "cannot connect")
        return cls(sock, context, peer=peer, hostname=hostname)

    def fileno(self) -> int:
        """For poll."""
        return self._sock.fileno()

    def advance(self) -> TlsPipe | None:
        """Go on with the handshake; the connection when it is complete.

        Raises:
            OSError: it failed, or took too long.
        """
        if time.monotonic() > self.expires:
            raise TimeoutError("the handshake took too long")
        if self._pipe is None:
            self._pipe = self._wrap()
        try:
            done = self._pipe.shake_hands()
        except EOFError as error:
            raise ConnectionError("the peer hung up during the handshake") from error
        self.wants = select.POLLIN | (select.POLLOUT if self._pipe.sending else 0)
        return self._pipe if done else None

    def close(self) -> None:
        """Give up. Never raises."""
        try:
            self._sock.close()
        except OSError:
            return

    def _wrap(self) -> TlsPipe:
        code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, "cannot connect")
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return TlsPipe(self._sock, self._context, server_side=self.peer is None, hostname=self._hostname)
