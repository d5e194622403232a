"""A process of our own at the other end of a socket pair, spoken to in the frames of `mpc_infer.party.frames`.

Nothing secret is in its arguments or environment, and no code travels. It is killed with the thread that started it.
Every wait has a deadline.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mpc_infer.party.frames import Message, encode, receive_frame
from mpc_infer.process import die_with_parent

ROOT = Path(__file__).resolve().parent.parent
FRAME_SECONDS = 60.0
"""For a whole frame once its first byte is there, in either direction."""
END_SECONDS = 10.0


class Child:
    """Started by ``python -m MODULE DESCRIPTOR PARENT`` in the repository's root.

    Args:
        name: for errors.
        module: what to run.
        prefix: words before the command, of something that becomes it.
    """

    def __init__(self, name: str, module: str, prefix: Sequence[str] = ()) -> None:
        self.name = name
        self._sock, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-m", module, str(theirs.fileno()), str(os.getpid())],
                cwd=ROOT,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=2,  # stdout is the benchmark's own
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        self._sock.settimeout(FRAME_SECONDS)

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            OSError: the process is gone, or takes nothing.
        """
        self._sock.sendall(encode(message))

    def receive(self, limit: float) -> Message:
        """The next message.

        Args:
            limit: `time.monotonic()` seconds until which it must begin to come.

        Raises:
            TimeoutError: it did not.
            EOFError, OSError: the process is gone.
        """
        poller = select.poll()
        poller.register(self._sock, select.POLLIN)
        if not poller.poll(max(0.0, 1000 * (limit - time.monotonic()))):
            raise TimeoutError(f"{self.name} does not answer")
        return receive_frame(self._sock)

    def signal(self, number: int) -> None:
        """Send the process a signal, if it is there."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it now."""
        self._sock.close()
        self.signal(signal.SIGKILL)
        self._process.wait(END_SECONDS)

    def hang_up(self) -> None:
        """Close the socket: the process then ends by itself."""
        self._sock.close()

    def close(self) -> None:
        """Hang up and see it gone."""
        self.hang_up()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS / 2)
        self.kill()
