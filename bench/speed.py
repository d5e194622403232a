"""The engines side by side on one machine, in one run: ours over TLS with a dealer, stock CrypTen, SPU, plain torch.

``python -m bench.speed [--json] [--only mlp,lenet,service] [--parties 2 3] [--systems ...] [--seconds S]``. Every
system is alone on the machine while it is measured. What the columns mean is said in
docs/benchmarks.md; what is done for one row in `bench.measure`; what bounds our rows in `bench.bounds`.
What cannot be measured is left out with a word; the exit status is 1 where that is something of ours.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from bench import bounds, measure
from bench.child import ROOT
from bench.fleet import Fleet
from bench.graphs import MODELS
from bench.rows import SYSTEMS, Case, Row, cases, in_order
from bench.spu import PROTOCOLS, Spu, missing
from bench.stock import Stock
from bench.table import show_bounds, show_rows
from mpc_infer.engine import get_engine
from mpc_infer.errors import ModelRefused, MpcInferError

Measured = Callable[[Case], Row | None]
SERVICE = "service"
SERVICE_SECONDS = 1800.0
STEP_SECONDS = 60.0
"""Of our parties: the last one may take so long to get its material."""


class Benchmark:
    """All measurements of one run.

    Args:
        systems: of `SYSTEMS`.
        sizes: numbers of parties.
        seconds: for the evaluations of each row.
        console: for progress.

    Attributes:
        rows, bounds: what was found.
        skipped: what was not measured, and why.
    """

    def __init__(self, systems: Sequence[str], sizes: Sequence[int], seconds: float, console: Console) -> None:
        self._systems, self._sizes, self._seconds, self._console = systems, sizes, seconds, console
        self.rows: list[Row] = []
        self.bounds: list[Row] = []
        self.skipped: list[dict[str, str]] = []
        self.machine = bounds.machine()

    def run(self, names: Sequence[str]) -> None:
        """Measure some models."""
        reason = missing() if set(self._systems) & set(PROTOCOLS) else ""
        if reason:
            self._skip("SPU", reason)
            self._systems = [system for system in self._systems if system not in PROTOCOLS]
        made = cases(names)
        for system, parties in self._places():
            left = list(made)
            while left:
                try:
                    self._measure(system, parties, left)
                except (EOFError, TimeoutError, MpcInferError) as error:  # it starts anew for the next one
                    self._skip(f"{system}, {parties} parties, {left[0].model}, {left[0].batch} rows", str(error))
                    del left[0]
        self.rows = in_order(self.rows)

    def _places(self) -> Iterator[tuple[str, int]]:
        for system in self._systems:
            if system == "torch":
                yield system, 1
                continue
            for parties in self._sizes:
                if system not in PROTOCOLS or parties in PROTOCOLS[system][1]:
                    yield system, parties

    def _measure(self, system: str, parties: int, left: list[Case]) -> None:
        """Measure cases and take them off the list."""
        with tempfile.TemporaryDirectory() as path, ExitStack() as processes:
            measured = self._start(system, parties, Path(path), processes)
            while left:
                self._console.print(f"{system}, {parties} parties: {left[0].model}, {left[0].batch} rows", style="dim")
                row = measured(left[0])
                if row is not None:
                    self.rows.append(row)
                del left[0]

    def _start(self, system: str, parties: int, directory: Path, processes: ExitStack) -> Measured:
        """Start a system; what measures a case on it."""
        if system == "torch":
            return lambda case: measure.plaintext(case, self._seconds)
        if system == "crypten":
            peer = processes.enter_context(Stock(parties, directory, counts=True, provider="TFP"))
            return lambda case: measure.stock(peer, parties, case, self._seconds, directory)
        if system in PROTOCOLS:
            spu = processes.enter_context(Spu(system, parties, directory))
            return lambda case: measure.spu(spu, system, parties, case, self._seconds, directory)
        fleet = processes.enter_context(Fleet(parties, engine=system.partition("/")[2], step_timeout_s=STEP_SECONDS))
        return lambda case: self._on_ours(fleet, case)

    def _on_ours(self, fleet: Fleet, case: Case) -> Row | None:
        try:
            get_engine(fleet.engine).plan(case.graph, case.batch, fleet.size)
        except ModelRefused:
            return None  # CrypTen's operators are fewer
        row, session_ms = measure.ours(fleet, case, self._seconds)
        if fleet.engine == "masked":
            self.bounds.append(bounds.bound(case, row, session_ms, self.machine))
        return row

    def _skip(self, what: str, reason: str) -> None:
        self.skipped.append({"what": what, "reason": reason})
        self._console.print(f"SKIPPED {what}: {reason}", style="bold red")

    def service(self) -> dict[str, Any] | None:
        """What `bench.service` finds, run as a process of its own."""
        self._console.print("the service", style="dim")
        command = [sys.executable, "-m", "bench.service", "--json"]
        # Its exit status says whether its own limit holds; its figures are wanted either way.
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=SERVICE_SECONDS, check=False
        )
        if not done.stdout.strip():
            self._skip(SERVICE, f"it ended with status {done.returncode} and said nothing; its errors are above")
            return None
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def main(words: Sequence[str] | None = None) -> int:
    """Command line; ``words`` in place of the process's own."""
    arguments = _arguments(words)
    torch.set_num_threads(1)
    console = Console(stderr=True)
    names = arguments.only.split(",")
    run = Benchmark(arguments.systems, arguments.parties, arguments.seconds, console)
    run.run([name for name in names if name != SERVICE])
    found = {
        "rows": run.rows,
        "service": run.service() if SERVICE in names else None,
        "bounds": run.bounds,
        "machine": run.machine,
        "skipped": run.skipped,
    }
    tables = Console(stderr=arguments.json)
    show_rows(run.rows, tables)
    show_bounds(run.bounds, tables)
    if arguments.json:
        print(json.dumps(found))
    return 1 if any(each["what"].startswith("mpc-infer/") for each in run.skipped) else 0


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, everything else on stderr")
    parser.add_argument("--only", default="", help="models, and service, with commas; everything if empty")
    parser.add_argument("--parties", type=int, nargs="+", default=[2, 3])
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), metavar="SYSTEM")
    parser.add_argument("--seconds", type=float, default=4.0, help="for the evaluations of each row")
    arguments = parser.parse_args(words)
    arguments.only = arguments.only or ",".join([*MODELS, SERVICE])
    unknown = set(arguments.only.split(",")) - {*MODELS, SERVICE}
    if unknown:
        parser.error(f"no such model: {', '.join(sorted(unknown))}; there are {', '.join([*MODELS, SERVICE])}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
