"""SPU 0.9.5 over brpc: each party a process, with the Python of an environment of its own (``make bench`` makes it)."""

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from bench.child import ROOT
from bench.lines import LineProcesses
from mpc_infer.devnet.ports import free_ports

PYTHON = ROOT / "build" / "spu" / "bin" / "python"
REQUIREMENTS = "bench/requirements-spu.txt"
PROTOCOLS = {"spu/semi2k": ("SEMI2K", (2, 3)), "spu/aby3": ("ABY3", (3,))}
"""Its protocol and for how many parties, by system."""
ANSWER_SECONDS = 300.0
PROBE_SECONDS = 60.0


def missing() -> str:
    """Why there is no SPU here; empty if there is."""
    if not PYTHON.exists():
        return f"no environment in {PYTHON.parents[1]}; `make bench` makes one from {REQUIREMENTS}"
    try:
        subprocess.run(
            [PYTHON, "-c", "import spu"],
            check=True,
            capture_output=True,
            timeout=PROBE_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (subprocess.SubprocessError, OSError) as error:
        return f"{PYTHON} cannot import it ({type(error).__name__}); see {REQUIREMENTS}"
    return ""


class Spu:
    """The processes of SPU. Use as a context manager.

    Args:
        system: a key of `PROTOCOLS`.
        parties: how many.
        directory: for shares and logs; private to the caller.
    """

    def __init__(self, system: str, parties: int, directory: Path) -> None:
        self._directory = directory
        protocol, _ = PROTOCOLS[system]
        addresses = [f"127.0.0.1:{port}" for port in free_ports(parties)]
        worker = [os.fspath(PYTHON), "-m", "bench.spu_worker"]
        commands = [[*worker, str(rank), protocol, str(directory), *addresses] for rank in range(parties)]
        self._processes = LineProcesses(system, commands, {"JAX_PLATFORMS": "cpu", "JAX_TRACEBACK_FILTERING": "off"})

    def __enter__(self) -> "Spu":
        self._processes.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._processes.__exit__()

    @property
    def pids(self) -> list[int]:
        """Of all parties."""
        return self._processes.pids

    def measure(self, graph: bytes, tensors: Path, repeat: int, *, counts: bool) -> dict[str, Any]:
        """Evaluate a graph: milliseconds at party 0, bytes that a party sends (if counted), the opened output.

        Counting takes one more evaluation, which is not timed.
        """
        at = self._directory / "graph.json"
        at.write_bytes(graph)
        job = {"graph": str(at), "tensors": str(tensors), "repeat": repeat, "counts": counts}
        try:
            answers = self._processes.ask(job, ANSWER_SECONDS)
        except EOFError as error:
            raise EOFError(f"{error}: {self._last_word()}") from error
        sent = [answer["bytes"] for answer in answers]
        opened = np.load(self._directory / "opened.npy", allow_pickle=False)
        return {
            "ms": answers[0]["ms"],
            "bytes": None if None in sent else round(sum(sent) / len(sent)),
            "output": opened,
        }

    def _last_word(self) -> str:
        lines = (self._directory / "log-0.txt").read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
