"""One operating-system process per role, none of which outlives the process that started it.

Three nets, one under the other: `stop` asks politely and then kills the whole process group; every child leads a
session of its own, so that Ctrl-C reaches only the supervisor, which then stops them in order; and the kernel kills
each child when the supervisor dies without a chance to do either (Linux: PR_SET_PDEATHSIG).
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mpc_infer.errors import InternalError, Unavailable
from mpc_infer.process import die_with_parent

STOP_SECONDS = 8.0
TAIL_LINES = 15
TAIL_BYTES = 16_384


class RoleProcess:
    """A role's process: its command, its log and its life.

    Start it from a thread that lives as long as it should: the kernel's signal comes when that *thread* ends.
    """

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name = name
        self.command = tuple(command)
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the role; also the id of its process group.

        Raises:
            InternalError: it was never started.
        """
        return self._running().pid

    @property
    def alive(self) -> bool:
        """Whether the process exists."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, its output appended to the log."""
        if self.alive:
            return
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own command, no shell
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
                preexec_fn=die_with_parent(),
            )
        finally:
            os.close(descriptor)

    def signal(self, number: int) -> None:
        """Send a signal to the role and to every process it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def ask_to_stop(self) -> None:
        """SIGTERM to the role alone (it ends its own workers), and SIGCONT in case it was stopped."""
        if self.alive:
            self.signal(signal.SIGCONT)
            self._running().terminate()

    def finish(self, seconds: float = STOP_SECONDS) -> int:
        """Wait for the end, then kill what is left of the group. Returns the exit status."""
        process = self._running()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        self.signal(signal.SIGKILL)
        return process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """SIGKILL to the role and everything it started."""
        self.signal(signal.SIGKILL)
        self._running().wait(STOP_SECONDS)

    def check(self) -> None:
        """Raise if the process has ended.

        Raises:
            Unavailable: with the tail of the log.
        """
        if not self.alive:
            status = self._running().returncode
            raise Unavailable(
                f"{self.name} ended with status {status}; the end of {self.log}:\n{self.tail()}",
                remedy="read the log",
            )

    def tail(self, lines: int = TAIL_LINES) -> str:
        """The last lines of the log."""
        if not self.log.exists():
            return "(no log)"
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None:
            raise InternalError(f"{self.name} was never started")
        return self._process


def wait_until(ready: Callable[[], bool], roles: Sequence[RoleProcess], seconds: float, what: str) -> None:
    """Poll until `ready`, as long as every role lives.

    Raises:
        Unavailable: a role ended, or the time is over.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        for role in roles:
            role.check()
        if time.monotonic() > deadline:
            tails = "\n".join(f"--- {role.name}\n{role.tail()}" for role in roles)
            raise Unavailable(f"{what} not ready after {seconds:.0f} s:\n{tails}", remedy="read the logs")
        time.sleep(0.05)


def stop_all(roles: Sequence[RoleProcess]) -> None:
    """Stop all roles at once, then see each of them gone."""
    started = [role for role in roles if role._process is not None]
    for role in started:
        role.ask_to_stop()
    for role in started:
        role.finish()
