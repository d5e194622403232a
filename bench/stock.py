"""Stock CrypTen: gloo, its generators, its providers of tuples. Each party a process, and one for the third party."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.lines import LineProcesses

ANSWER_SECONDS = 300.0
"""For one line of measurements; the first one waits for torch and CrypTen to load too."""


class Stock:
    """The processes of stock CrypTen. Use as a context manager.

    Args:
        parties: how many, without the third party.
        directory: where they meet: a file in it, one for each number of parties.
        provider: of tuples: TTP is the trusted third party; TFP, CrypTen's default, lets party 0 make them all.
        counts: let CrypTen count rounds and bytes, for `measure_graph`.
        places: for each process, the third party's last, words before its command and the address that it listens on;
            without them all are on loopback.
    """

    def __init__(
        self,
        parties: int,
        directory: Path,
        *,
        provider: str = "TTP",
        counts: bool = False,
        places: Sequence[tuple[list[str], str]] = (),
    ) -> None:
        meeting = str(directory / f"stock-{parties}")
        commands = []
        for rank in range(parties + (provider == "TTP")):
            prefix, address = places[rank] if places else ([], "")
            worker = [sys.executable, "-m", "bench.stock_worker", str(rank), str(parties), meeting, address]
            commands.append([*prefix, *worker])
        environment = {"STOCK_PROVIDER": provider, "STOCK_COUNTS": "1" if counts else ""}
        self._processes = LineProcesses("stock CrypTen", commands, environment, answering=parties)

    def __enter__(self) -> "Stock":
        self._processes.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.__exit__()

    @property
    def pids(self) -> list[int]:
        """Of all processes, the third party's last if there is one."""
        return self._processes.pids

    def measure_graph(self, graph: dict[str, Any], tensors: Path, repeat: int) -> dict[str, Any]:
        """Evaluate a graph of `bench.graphs`: milliseconds, error and rounds at party 0, bytes that a party sends.

        CrypTen counts at each party what it sends and what it receives, what the third party sends included: the bytes
        are half the mean of that.
        """
        job = {"graph": graph, "tensors": str(tensors), "repeat": repeat}
        answers = self._processes.ask(job, ANSWER_SECONDS)
        return {**answers[0], "bytes": round(sum(answer["bytes"] for answer in answers) / len(answers) / 2)}

    def measure(self, sizes: list[int], batch: int, repeat: int, seconds: float = ANSWER_SECONDS) -> list[float]:
        """Milliseconds of each evaluation, from input shares to the opened output, at party 0.

        Raises:
            TimeoutError: a party did not answer in time.
            EOFError: a party has ended.
        """
        times: list[float] = self._processes.ask({"sizes": sizes, "batch": batch, "repeat": repeat}, seconds)[0]["ms"]
        return times
