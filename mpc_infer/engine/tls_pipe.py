"""A TLS connection over a non-blocking socket, with the encryption apart from the socket.

Many records go through one system call: for frames of a megabyte that is worth a third of the time, and for small ones
the layers of `ssl.SSLSocket` are left out.
"""

import socket
import ssl

CHUNK_BYTES = 1 << 18
"""Plaintext that is encrypted before it is handed to the kernel, and ciphertext that is read at once."""


class TlsPipe:
    """One end of a connection. Methods never block.

    Args:
        sock: connected, non-blocking.
        context: of the side that this process plays.
        server_side: whether the socket was accepted.
        hostname: name that the peer's certificate must carry, when dialled.
    """

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext, *, server_side: bool, hostname: str | None
    ) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=server_side, server_hostname=hostname)
        self._unsent = memoryview(b"")
        self._room = bytearray(CHUNK_BYTES)
        self._window = memoryview(self._room)

    def fileno(self) -> int:
        """For poll."""
        return self._sock.fileno()

    @property
    def sending(self) -> bool:
        """Whether ciphertext waits for the kernel to take it."""
        return bool(self._unsent)

    @property
    def buffered(self) -> bool:
        """Whether there may be bytes to read that poll does not see."""
        return self._incoming.pending > 0 or self._tls.pending() > 0

    @property
    def certificate(self) -> bytes | None:
        """The peer's certificate, DER, after the handshake."""
        return self._tls.getpeercert(binary_form=True)

    def shake_hands(self) -> bool:
        """Go on with the handshake. True when it is complete and everything is sent.

        Raises:
            OSError: it failed.
        """
        done = False
        while not done:
            try:
                self._tls.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                if not self._fill():
                    break
            finally:
                self._flush()
        return done and not self._unsent

    def send(self, data: memoryview) -> int:
        """Encrypt and send. How many bytes were taken; fewer than all when the kernel takes no more.

        Raises:
            OSError: the connection is gone.
        """
        taken = 0
        while not self._unsent and taken < len(data):
            limit = min(len(data), taken + CHUNK_BYTES)
            while taken < limit:
                taken += self._tls.write(data[taken:limit])
            self._flush()
        return taken

    def send_record(self, data: bytes) -> bool:
        """What `send` does of bytes that fit into one record, in fewer steps. False, and nothing done, if something
        waits to be sent.

        Raises:
            OSError: the connection is gone.
        """
        if self._unsent:
            return False
        self._tls.write(data)
        self._flush()
        return True

    def receive_record(self, window: bytearray) -> int:
        """What `receive_into` does where nothing is `buffered`, in fewer steps: one look at the socket, one record.

        Raises:
            OSError: the connection is gone; EOFError, which is not one, when the peer has closed it.
        """
        if not self._fill():
            return 0
        try:
            read: int = self._tls.read(len(window), window)  # type: ignore[assignment]
        except ssl.SSLWantReadError:
            read = 0
        else:
            if not read:
                raise EOFError("the peer has said that nothing follows")
        if self._outgoing.pending:
            self._flush()
        return read

    def flush(self) -> bool:
        """Send ciphertext that waits. True when none is left."""
        self._flush()
        return not self._unsent

    def receive_into(self, window: memoryview) -> int:
        """Read what has come, at most as much as fits. 0: nothing.

        Raises:
            OSError: the connection is gone; EOFError, which is not one, when the peer has closed it.
        """
        count = self._decrypt(window) if self.buffered else 0
        try:
            while count < len(window) and self._fill():
                count += self._decrypt(window[count:])
        except (OSError, EOFError):
            # What came before the end is read first; the end will be met again.
            if not count:
                raise
        return count

    def close(self) -> None:
        """Close the socket. Never raises."""
        try:
            self._sock.close()
        except OSError:
            return

    def _decrypt(self, window: memoryview) -> int:
        count = 0
        try:
            while count < len(window) and self.buffered:
                read: int = self._tls.read(len(window) - count, window[count:])  # type: ignore[assignment]
                if not read and not count:
                    raise EOFError("the peer has said that nothing follows")
                if not read:
                    break
                count += read
        except ssl.SSLWantReadError:
            pass
        if self._outgoing.pending:
            self._flush()
        return count

    def _fill(self) -> bool:
        try:
            count = self._sock.recv_into(self._room)
        except BlockingIOError:
            return False
        if count == 0:
            raise EOFError("the connection was closed")
        self._incoming.write(self._window[:count])
        return True

    def _flush(self) -> None:
        while True:
            if not self._unsent:
                if not self._outgoing.pending:
                    return
                self._unsent = memoryview(self._outgoing.read())
            try:
                self._unsent = self._unsent[self._sock.send(self._unsent) :]
            except BlockingIOError:
                return
