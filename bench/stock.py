"""Stock CrypTen: gloo, its trusted third party, its generators. Each party a process, and one for the third party.

Nothing of ours is imported here, since we replace parts of CrypTen for good. Started as
``python -m bench.stock RANK PARTIES RENDEZVOUS_FILE``; takes lines of JSON on stdin, answers with lines of JSON.
"""

import json
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def _import_crypten() -> Any:
    from torch.onnx._internal.torchscript_exporter import registration

    sys.modules["torch.onnx._internal.registration"] = registration
    import crypten

    return crypten


def main() -> None:
    """One process."""
    import torch

    rank, parties, rendezvous = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.set_num_threads(1)
    os.environ.update(
        DISTRIBUTED_BACKEND="gloo", RENDEZVOUS=f"file://{rendezvous}", WORLD_SIZE=str(parties), RANK=str(rank)
    )
    crypten = _import_crypten()
    crypten.cfg.mpc.provider = "TTP"
    if rank == parties:
        crypten.mpc.provider.TTPServer()
        return
    crypten.init()
    for line in sys.stdin:
        print(json.dumps(_measure(crypten, torch, json.loads(line))), flush=True)


def _measure(crypten: Any, torch: Any, job: dict[str, Any]) -> dict[str, Any]:
    torch.manual_seed(0)
    sizes = job["sizes"]
    layers = [
        (crypten.cryptensor(torch.randn(width, height) / width**0.5), crypten.cryptensor(torch.randn(height)))
        for width, height in pairwise(sizes)
    ]
    x = crypten.cryptensor(torch.randn(job["batch"], sizes[0]))
    times = []
    for _ in range(job["repeat"]):
        crypten.communicator.get().barrier()
        began = time.monotonic()
        with crypten.no_grad():
            value = x
            for index, (weight, bias) in enumerate(layers):
                value = value.matmul(weight) + bias
                if index < len(layers) - 1:
                    value = value.relu()
            value.get_plain_text()
        times.append(1000 * (time.monotonic() - began))
    return {"ms": times}


class Stock:
    """The processes of stock CrypTen. Use as a context manager."""

    def __init__(self, parties: int, directory: Path) -> None:
        self._command = [sys.executable, "-m", "bench.stock"]
        self._parties = parties
        self._rendezvous = directory / f"stock-{parties}"
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> "Stock":
        for rank in range(self._parties + 1):
            arguments = [*self._command, str(rank), str(self._parties), str(self._rendezvous)]
            self._processes.append(
                subprocess.Popen(arguments, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait()

    def measure(self, sizes: list[int], batch: int, repeat: int) -> list[float]:
        """Milliseconds of each evaluation, from input shares to the opened output, at party 0."""
        line = json.dumps({"sizes": sizes, "batch": batch, "repeat": repeat}) + "\n"
        parties = self._processes[: self._parties]
        for process in parties:
            assert process.stdin is not None
            process.stdin.write(line)
            process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for process in parties if process.stdout is not None]
        times: list[float] = answers[0]["ms"]
        return times


if __name__ == "__main__":
    main()
