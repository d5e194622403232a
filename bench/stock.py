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
        counts: let CrypTen count rounds and bytes, for `measure_graph`.
    """

    def __init__(self, parties: int, directory: Path, *, counts: bool = False) -> None:
        self._counts = counts
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
                    env={**os.environ, "STOCK_COUNTS": "1"} if self._counts else None,
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
        """Of all processes, the third party's last."""
        return [process.pid for process in self._processes]

    def measure_graph(self, graph: dict[str, Any], tensors: Path, repeat: int) -> dict[str, Any]:
        """Evaluate a graph of `bench.graphs`: milliseconds; error, rounds and bytes of the last, at party 0."""
        return self._ask({"graph": graph, "tensors": str(tensors), "repeat": repeat}, ANSWER_SECONDS)

    def measure(self, sizes: list[int], batch: int, repeat: int, seconds: float = ANSWER_SECONDS) -> list[float]:
        """Milliseconds of each evaluation, from input shares to the opened output, at party 0.

        Raises:
            TimeoutError: a party did not answer in time.
            EOFError: a party has ended.
        """
        times: list[float] = self._ask({"sizes": sizes, "batch": batch, "repeat": repeat}, seconds)["ms"]
        return times

    def _ask(self, job: dict[str, Any], seconds: float) -> dict[str, Any]:
        line = json.dumps(job).encode() + b"\n"
        limit = time.monotonic() + seconds
        for process in self._processes[: self._parties]:
            # A short line: it fits the pipe's buffer, so that this does not wait.
            os.write(_descriptor(process.stdin), line)
        answers = [_read_line(process, limit) for process in self._processes[: self._parties]]
        answer: dict[str, Any] = json.loads(answers[0])
        return answer


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
