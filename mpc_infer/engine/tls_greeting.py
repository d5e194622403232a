"""A TLS connection that is being made, by dialling or by accepting, without blocking."""

import errno
import select
import socket
import ssl
import time

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
        self._plain: socket.socket | None = sock
        self._sock: socket.socket = sock
        self._context = context
        self._hostname = hostname

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

    def advance(self) -> ssl.SSLSocket | None:
        """Go on with the handshake; the socket when it is complete.

        Raises:
            OSError: it failed, or took too long.
        """
        if time.monotonic() > self.expires:
            raise TimeoutError("the handshake took too long")
        try:
            if self._plain is not None:
                self._wrap(self._plain)
            if isinstance(self._sock, ssl.SSLSocket):
                self._sock.do_handshake()
                return self._sock
        except ssl.SSLWantReadError:
            self.wants = select.POLLIN
        except ssl.SSLWantWriteError:
            self.wants = select.POLLOUT
        return None

    def close(self) -> None:
        """Give up. Never raises."""
        try:
            self._sock.close()
        except OSError:
            return

    def _wrap(self, plain: socket.socket) -> None:
        code = plain.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, "cannot connect")
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = self._context.wrap_socket(
            plain,
            server_side=self.peer is None,
            do_handshake_on_connect=False,
            server_hostname=self._hostname,
        )
        self._plain = None
