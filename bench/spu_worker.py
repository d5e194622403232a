"""``python -m bench.spu_worker RANK PROTOCOL DIRECTORY ADDRESS...``: a party of SPU, started by `bench.spu` with the
Python of SPU's own environment. Imports nothing of ours.

Takes lines of JSON on stdin, answers with lines of JSON; ends when stdin does. What SPU itself prints goes to a file of
the directory: the bytes that it sent are read from there. Party 0 splits inputs and weights and hands the shares over
through the directory, before the clock starts.
"""

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import spu
from spu import libspu
from spu.utils import frontend

from bench import spu_graph

FRAC_BITS = 18
"""SPU's default in a ring of 64 bits; ours has 16."""
WAIT_MS = 120_000
_SENT = re.compile(r"Link details: total send bytes (\d+)")


class Party:
    """One party.

    Args:
        rank: its index.
        protocol: SEMI2K or ABY3.
        directory: shared by the parties, for shares.
        addresses: ``host:port`` of all, by index.
        log: where its output goes.
    """

    def __init__(self, rank: int, protocol: str, directory: Path, addresses: list[str], log: Path) -> None:
        self.rank, self._directory, self._size, self._log = rank, directory, len(addresses), log
        description = libspu.link.Desc()
        description.recv_timeout_ms = WAIT_MS
        for number, address in enumerate(addresses):
            description.add_party(f"P{number}", address)
        self._link = libspu.link.create_brpc(description, rank)
        self._config = libspu.RuntimeConfig(
            protocol=getattr(libspu.ProtocolKind, protocol),
            field=libspu.FieldType.FM64,
            fxp_fraction_bits=FRAC_BITS,
        )
        self._io = spu.Io(self._size, self._config)

    def measure(self, job: dict[str, Any]) -> dict[str, Any]:
        """Milliseconds of each evaluation from shares to shares, and the bytes that this party sent in one of them."""
        program, values = self._compiled(job)
        times = self._run(program, values, job["repeat"], self._config)
        if not job["counts"]:
            return {"ms": times, "bytes": None}
        counting = libspu.RuntimeConfig(self._config)
        counting.enable_pphlo_profile = True
        self._run(program, values, 1, counting)
        sent = _SENT.findall(self._log.read_text(errors="replace"))
        return {"ms": times, "bytes": int(sent[-1]) if sent else None}

    def _compiled(self, job: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        graph = json.loads(Path(job["graph"]).read_text())
        with np.load(job["tensors"], allow_pickle=False) as arrays:
            values = {name: arrays[name].astype(np.float32) for name in sorted(arrays)}

        def model(tensors: dict[str, Any]) -> Any:
            return spu_graph.evaluate(graph, tensors)

        visible = [libspu.Visibility.VIS_SECRET] * len(values)
        program, _ = frontend.compile(
            frontend.Kind.JAX, model, (values,), {}, list(values), visible, lambda outputs: ["output"]
        )
        return program, values

    def _run(self, program: Any, values: dict[str, Any], repeat: int, config: Any) -> list[float]:
        runtime = spu.Runtime(self._link.spawn(), config)
        for name, share in self._shares(values).items():
            runtime.set_var(name, share)
        times = []
        for _ in range(repeat):
            self._link.barrier()
            began = time.monotonic()
            runtime.run(program)
            times.append(1000 * (time.monotonic() - began))
        self._open(runtime.get_var("output"))
        return times

    def _shares(self, values: dict[str, Any]) -> dict[str, Any]:
        if self.rank == 0:
            for name, value in values.items():
                for owner, share in enumerate(self._io.make_shares(value, libspu.Visibility.VIS_SECRET)):
                    _write(self._directory / f"{name}-{owner}", share)
        self._link.barrier()
        shares = {name: _read(self._directory / f"{name}-{self.rank}") for name in values}
        self._link.barrier()
        return shares

    def _open(self, share: Any) -> None:
        _write(self._directory / f"output-{self.rank}", share)
        self._link.barrier()
        if self.rank == 0:
            shares = [_read(self._directory / f"output-{owner}") for owner in range(self._size)]
            np.save(self._directory / "opened.npy", self._io.reconstruct(shares))
        self._link.barrier()


def _write(path: Path, share: Any) -> None:
    chunks = [np.frombuffer(chunk, np.uint8) for chunk in (share.meta, *share.share_chunks)]
    np.savez(path.with_suffix(".npz"), *chunks)


def _read(path: Path) -> Any:
    share = libspu.Share()
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        share.meta, *share.share_chunks = (arrays[f"arr_{number}"].tobytes() for number in range(len(arrays)))
    return share


def _own_stdout(log: Path) -> TextIO:
    """What was stdout; everything else that is printed, by C++ too, goes to the log."""
    answers = os.fdopen(os.dup(1), "w")
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    return answers


def main() -> None:
    """Serve."""
    rank, protocol, directory, addresses = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4:]
    log = directory / f"log-{rank}.txt"
    answers = _own_stdout(log)
    party = Party(rank, protocol, directory, addresses, log)
    for line in sys.stdin:
        print(json.dumps(party.measure(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
