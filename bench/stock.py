"""Stock CrypTen: gloo, its trusted third party, its generators. Each party a process, and one for the third party."""

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench.child import END_SECONDS, ROOT
from mpc_infer.process import die_with_parent

ANSWER_SECONDS = 120.0
"""For one line of measurements; the first one waits for torch and CrypTen to load too."""
_CHUNK = 1 << 16


class Stock:
    """The processes of stock CrypTen. Use as a context manager.

    Args:
        parties: how many, without the third party.
        directory: where they meet: a file in it, one for each number of parties.
    """

    def __init__(self, parties: int, directory: Path) -> None:
        self._command = [sys.executable, "-m", "bench.stock_worker"]
        self._parties = parties
        self._rendezvous = directory / f"stock-{parties}"
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Stock":
        for rank in range(self._parties + 1):
            arguments = [*self._command, str(rank), str(self._parties), str(self._rendezvous)]
            self._processes.append(
                subprocess.Popen(
                    arguments,
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
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

    def measure(self, sizes: list[int], batch: int, repeat: int, seconds: float = ANSWER_SECONDS) -> list[float]:
        """Milliseconds of each evaluation, from input shares to the opened output, at party 0.

        Raises:
            TimeoutError: a party did not answer in time.
            EOFError: a party has ended.
        """
        line = json.dumps({"sizes": sizes, "batch": batch, "repeat": repeat}).encode() + b"\n"
        limit = time.monotonic() + seconds
        for process in self._processes[: self._parties]:
            # A short line: it fits the pipe's buffer, so that this does not wait.
            os.write(_descriptor(process.stdin), line)
        answers = [_read_line(process, limit) for process in self._processes[: self._parties]]
        times: list[float] = json.loads(answers[0])["ms"]
        return times


def _descriptor(stream: Any) -> int:
    return int(stream.fileno())


def _read_line(process: "subprocess.Popen[bytes]", limit: float) -> bytes:
    """The next line; nothing follows it before the next request."""
    descriptor, data = _descriptor(process.stdout), bytearray()
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    while not data.endswith(b"\n"):
        if not poller.poll(max(0.0, 1000 * (limit - time.monotonic()))):
            raise TimeoutError(f"process {process.pid} of stock CrypTen does not answer")
        piece = os.read(descriptor, _CHUNK)
        if not piece:
            raise EOFError(f"process {process.pid} of stock CrypTen has ended")
        data += piece
    return bytes(data)
