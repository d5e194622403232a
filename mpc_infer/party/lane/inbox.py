"""What the main process says to a lane: requests wait in a queue, orders to abort count at once."""

import os
import queue
import socket
import threading
from collections import OrderedDict

from mpc_infer.errors import SessionAborted
from mpc_infer.party.frames import PING, Message, encode, receive_frame

_REMEMBERED = 256


class Inbox:
    """The lane's end of the socket, read by a thread of its own because a session blocks the main one.

    That thread answers pings: what cannot be interrupted is at work, and not dead.

    The process ends when the other end closes: whatever it computed, nobody is there to take it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._aborted: OrderedDict[bytes, str] = OrderedDict()
        self._current = b""
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def next(self) -> Message:
        """The next request; waits for one for as long as the main process lives."""
        return self._requests.get()

    def next_within(self, seconds: float) -> Message | None:
        """The next request, if one comes in time."""
        try:
            return self._requests.get(timeout=seconds)
        except queue.Empty:
            return None

    def answer(self, message: Message) -> None:
        """Send an answer."""
        with self._sending:
            self._sock.sendall(encode(message))

    def enter(self, session_id: bytes) -> None:
        """Say which session runs now, or none (empty)."""
        with self._lock:
            self._current = session_id

    def cancelled(self) -> SessionAborted | None:
        """The reason to end the current session, if it was aborted. Asked by the link while it waits."""
        with self._lock:
            reason = self._aborted.get(self._current)
        return None if reason is None else SessionAborted(f"the session was called off: {reason}")

    def _read(self) -> None:
        try:
            while True:
                message = receive_frame(self._sock)
                if message.kind == "abort":
                    self._abort(message.blob("session"), message.text("reason"))
                elif message.kind == PING:
                    self.answer(Message("pong", message.number))
                else:
                    self._requests.put(message)
        except (EOFError, OSError):
            os._exit(0)

    def _abort(self, session_id: bytes, reason: str) -> None:
        with self._lock:
            self._aborted[session_id] = reason
            while len(self._aborted) > _REMEMBERED:
                self._aborted.popitem(last=False)
