"""What a request costs around the computation: latencies and CPU time by role, on a network of its own.

``python -m bench.service [--json] [--parties N ...] [--repeat N]``. Single rows from one client over mTLS, delivery
``coordinator``, anchoring asynchronous, first with pauses, then back to back. *Online* is what the parties measured
from the first to the last message of a session, *offline* the making of material inside it, *end to end* what the
caller of `Client.infer` waited, checks included. CPU times are read from /proc (Linux) and hold on a busy machine too;
latencies hold on an idle one only. Exit status 1 when end to end minus online is above 25 ms at the median.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mpc_infer.client import Client, InferenceResult
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from mpc_infer.devnet.training import TRAINERS

LIMIT_MS = 25.0
WARM_UP = 20
PAUSES = {"pauses": 0.2, "back to back": 0.0}
ROLES = {
    "party.lane": "lane",
    "party serve": "party",
    "coordinator serve": "coordinator",
    "dealer serve": "dealer",
    "chain serve": "chain",
    "anvil": "chain",
}


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it has ended meanwhile
            continue
        found[parent].append(int(path.parent.name))
    return found


def _role(pid: int) -> str:
    if pid == os.getpid():
        return "client"
    command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return next((role for mark, role in ROLES.items() if mark in command), "other")


def _cpu_ms(pid: int) -> float:
    """Milliseconds that the threads of a process ran so far."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6


def cpu_by_role() -> dict[str, list[float]]:
    """CPU milliseconds of every process that this one has started, and of this one, by role."""
    children, found, queue = _children(), defaultdict(list), [os.getpid()]
    while queue:
        pid = queue.pop()
        queue += children[pid]
        try:
            found[_role(pid)].append(_cpu_ms(pid))
        except OSError:  # it has ended meanwhile
            continue
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


def _latencies(results: Sequence[InferenceResult]) -> dict[str, float]:
    parts: dict[str, Callable[[InferenceResult], float]] = {
        "online_ms": lambda result: result.timings.online_ms,
        "offline_ms": lambda result: result.timings.offline_ms,
        "end_to_end_ms": lambda result: result.timings.end_to_end_ms,
        "around_ms": lambda result: result.timings.end_to_end_ms - result.timings.online_ms,
    }
    return {
        f"{name}_{label}": quantile([part(result) for result in results], share)
        for name, part in parts.items()
        for label, share in (("p50", 0.5), ("p99", 0.99))
    }


def measure(client: Client, model: str, rows: Any, pause_s: float, repeat: int) -> dict[str, Any]:
    """Latencies, and CPU milliseconds per request of one process of each role."""
    for index in range(WARM_UP):
        client.infer(model, {"x": rows[index % len(rows)][None]})
    time.sleep(1.0)  # the stock of material is filled
    before, results = cpu_by_role(), []
    for index in range(repeat):
        time.sleep(pause_s)
        results.append(client.infer(model, {"x": rows[index % len(rows)][None]}))
    after = cpu_by_role()
    cpu = {
        role: round((sum(after[role]) - sum(before[role])) / repeat / len(after[role]), 2)
        for role in sorted(after)
        if len(after[role]) == len(before.get(role, ()))
    }
    return {**_latencies(results), "cpu_ms_per_request": cpu, "samples": repeat}


def run(sizes: Sequence[int], repeat: int) -> list[dict[str, Any]]:
    """All measurements."""
    rows: list[dict[str, Any]] = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as directory, Devnet(Path(directory) / "net", parties=size) as net:
            rows += [{"parties": size, **row} for row in _on_network(net, repeat)]
    return rows


def _on_network(net: Devnet, repeat: int) -> Iterator[dict[str, Any]]:
    with Client(net.client(OWNER)) as owner, Client(net.client(DATA_OWNER)) as client:
        for trainer in TRAINERS:
            trained = trainer()
            owner.publish(trained.onnx, trained.name, 1, public=True)
            for name, pause_s in PAUSES.items():
                measured = measure(client, trained.name, trained.rows, pause_s, repeat)
                yield {"model": trained.name, "load": name, **measured}


def show(rows: Sequence[dict[str, Any]], console: Console) -> None:
    """The table."""
    table = Table(title="One row at a time: milliseconds (p50 / p99), and CPU milliseconds per request and process")
    roles = sorted({role for row in rows for role in row["cpu_ms_per_request"]})
    for column in ("model", "parties", "load", "online", "offline", "end to end", "end to end - online"):
        table.add_column(column)
    for role in roles:
        table.add_column(f"CPU {role}", justify="right")
    for row in rows:
        pairs = (
            f"{row[f'{name}_ms_p50']} / {row[f'{name}_ms_p99']}"
            for name in ("online", "offline", "end_to_end", "around")
        )
        cpu = (str(row["cpu_ms_per_request"].get(role, "")) for role in roles)
        table.add_row(row["model"], str(row["parties"]), row["load"], *pairs, *cpu)
    console.print(table)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, the table on stderr")
    parser.add_argument("--repeat", type=int, default=100, help="requests per measurement")
    parser.add_argument("--parties", type=int, nargs="+", default=[3])
    arguments = parser.parse_args()
    rows = run(arguments.parties, arguments.repeat)
    show(rows, Console(stderr=arguments.json))
    worst = max(row["around_ms_p50"] for row in rows)
    if arguments.json:
        print(json.dumps({"benchmark": "service", "limit_ms": LIMIT_MS, "worst_around_ms_p50": worst, "rows": rows}))
    return 0 if worst <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
