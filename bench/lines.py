"""Processes that take lines of JSON on stdin and answer each with a line of JSON: how the peers are driven."""

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bench.child import END_SECONDS, ROOT
from mpc_infer.process import die_with_parent

_CHUNK = 1 << 16


class LineProcesses:
    """Use as a context manager.

    Args:
        name: for errors.
        commands: one process each, started in the repository's root.
        environment: beside what this process has.
        answering: how many of them, from the first on, take lines; all unless given.
    """

    def __init__(
        self,
        name: str,
        commands: Sequence[Sequence[str]],
        environment: Mapping[str, str],
        answering: int | None = None,
    ) -> None:
        self._name, self._commands, self._environment = name, commands, environment
        self._answering = len(commands) if answering is None else answering
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "LineProcesses":
        for command in self._commands:
            self._processes.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    env={**os.environ, **self._environment},
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
            )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait(END_SECONDS)

    @property
    def pids(self) -> list[int]:
        """Of all processes."""
        return [process.pid for process in self._processes]

    def ask(self, job: Mapping[str, Any], seconds: float) -> list[dict[str, Any]]:
        """What each one answers to a job.

        Raises:
            TimeoutError: one did not answer in time.
            EOFError: one has ended.
        """
        line = json.dumps(job).encode() + b"\n"
        limit = time.monotonic() + seconds
        asked = self._processes[: self._answering]
        for process in asked:
            # A short line: it fits the pipe's buffer, so that this does not wait.
            os.write(_descriptor(process.stdin), line)
        return [json.loads(self._read_line(process, limit)) for process in asked]

    def _read_line(self, process: "subprocess.Popen[bytes]", limit: float) -> bytes:
        """The next line; nothing follows it before the next request."""
        descriptor, data = _descriptor(process.stdout), bytearray()
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        while not data.endswith(b"\n"):
            if not poller.poll(max(0.0, 1000 * (limit - time.monotonic()))):
                raise TimeoutError(f"process {process.pid} of {self._name} does not answer")
            piece = os.read(descriptor, _CHUNK)
            if not piece:
                raise EOFError(f"process {process.pid} of {self._name} has ended")
            data += piece
        return bytes(data)


def _descriptor(stream: Any) -> int:
    return int(stream.fileno())
