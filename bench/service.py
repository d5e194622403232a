"""The service on one machine: three parties, dealer, coordinator, chain and clients, with receipts and batching.

``python -m bench.service [--json] [--parties N] [--lanes N] [--clients N ...] [--seconds S]``. The digits MLP, one
row per job, delivery ``coordinator``, anchoring asynchronous. All clients live in one process, each with its own
identity and connection, and each sends its next job when the last is answered and checked; the receipts are real, and
a sample is verified afterwards as a bundle in seven steps. *End to end* is what the caller of `infer` waited, checks
included; *online* what the parties measured from the first to the last message of a session, *around* the
difference. CPU times are read from /proc (Linux) and hold on a busy machine too; latencies and throughput hold on an
idle one only.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from mpc_infer.client import AsyncClient, InferenceResult
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import OWNER
from mpc_infer.devnet.training import TRAINERS

CLIENTS = (1, 8, 64)
LANES = 2
SECONDS = 8.0
WARM_UP_S = 4.0
TARGETS = {"receipts_per_s": 200.0, "around_ms_p50_one_client": 15.0}
VERIFIED = 3
DEADLINE_S = 60.0
ROLES = {
    "party.lane": "lane",
    "party serve": "party",
    "coordinator serve": "coordinator",
    "dealer serve": "dealer",
    "chain serve": "chain",
    "embedded_server": "chain",
    "anvil": "chain",
}
Row = dict[str, Any]


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


def cpu_by_role() -> dict[str, float]:
    """CPU milliseconds of all processes that this one has started, and of this one, by role."""
    found: dict[str, float] = defaultdict(float)
    children, queue = _children(), [os.getpid()]
    while queue:
        pid = queue.pop()
        queue += children[pid]
        try:
            found[_role(pid)] += _cpu_ms(pid)
        except OSError:  # it has ended meanwhile
            continue
    return found


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all values does not exceed."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2)


async def _client(client: AsyncClient, rows: Any, first: int, until: float) -> list[InferenceResult]:
    """One client: the next job when the last is answered."""
    results: list[InferenceResult] = []
    for index in itertools.count(first):
        if time.monotonic() >= until:
            return results
        inputs = {"x": rows[index % len(rows)][None]}
        results.append(await client.infer("digits", inputs, deadline_s=DEADLINE_S))
    return results


async def _load(clients: Sequence[AsyncClient], rows: Any, seconds: float) -> list[InferenceResult]:
    until = time.monotonic() + seconds
    work = (_client(client, rows, 17 * index, until) for index, client in enumerate(clients))
    return [result for results in await asyncio.gather(*work) for result in results]


async def _verified(clients: Sequence[AsyncClient], results: Sequence[InferenceResult]) -> int:
    """Verify some receipts as a third party would, the chain included. Returns how many."""
    owner = {client.core.signer.address: client for client in clients}
    sample = results[:: max(1, len(results) // VERIFIED)][:VERIFIED]
    for result in sample:
        client = owner[result.request.request.owner]
        await client.wait_anchored(result)
        await client.verify(await client.bundle(result))
    return len(sample)


async def measure(clients: Sequence[AsyncClient], rows: Any, seconds: float) -> Row:
    """One number of clients: warm up, then measure."""
    await _load(clients, rows, min(WARM_UP_S, seconds))
    cpu, began = cpu_by_role(), time.monotonic()
    results = await _load(clients, rows, seconds)
    took, after = time.monotonic() - began, cpu_by_role()
    ends = [result.timings.end_to_end_ms for result in results]
    online = [result.timings.online_ms for result in results]
    around = [end - inside for end, inside in zip(ends, online, strict=True)]
    parts = {"end_to_end_ms": ends, "online_ms": online, "around_ms": around}
    quantiles = {
        f"{name}_{label}": quantile(values, share)
        for name, values in parts.items()
        for label, share in (("p50", 0.5), ("p99", 0.99))
    }
    spent = {role: round((after[role] - cpu.get(role, 0.0)) / len(results), 2) for role in sorted(after)}
    return {
        "clients": len(clients),
        "receipts": len(results),
        "receipts_per_s": round(len(results) / took, 1),
        **quantiles,
        "cpu_ms_per_receipt": spent,
        "cpu_ms_per_receipt_total": round(sum(spent.values()), 2),
        "verified": await _verified(clients, results),
    }


async def _on_network(net: Devnet, counts: Sequence[int], seconds: float) -> list[Row]:
    trained = next(found for trainer in TRAINERS if (found := trainer()).name == "digits")
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(AsyncClient(net.client(OWNER)))
        await owner.publish(trained.onnx, trained.name, 1, public=True, input_limit=trained.input_limit)
        clients = [
            await stack.enter_async_context(AsyncClient(net.client(f"client-{index}"))) for index in range(max(counts))
        ]
        return [await measure(clients[:count], trained.rows, seconds) for count in counts]


def run(parties: int = 3, counts: Sequence[int] = CLIENTS, seconds: float = SECONDS, lanes: int = LANES) -> Row:
    """The section ``service`` of a benchmark's JSON.

    Args:
        parties: 2 to 5.
        counts: numbers of concurrent clients, one measurement each.
        seconds: length of one measurement.
        lanes: of each party; with two, one session is judged or signed while another is computed.
    """
    size = {"parties": parties, "lanes": lanes}
    with tempfile.TemporaryDirectory() as directory, Devnet(Path(directory) / "net", **size) as net:
        rows = asyncio.run(_on_network(net, counts, seconds))
    return {
        "model": "digits",
        "parties": parties,
        "lanes": lanes,
        "targets": TARGETS,
        "receipts_per_s": max(row["receipts_per_s"] for row in rows),
        "around_ms_p50": rows[0]["around_ms_p50"],
        "rows": rows,
    }


def show(found: Row, console: Console) -> None:
    """The table."""
    table = Table(title=f"{found['model']}, {found['parties']} parties: milliseconds, p50 / p99")
    for column in ("clients", "receipts/s", "end to end", "online", "around", "CPU ms per receipt"):
        table.add_column(column, justify="right")
    for row in found["rows"]:
        pairs = (f"{row[f'{name}_ms_p50']} / {row[f'{name}_ms_p99']}" for name in ("end_to_end", "online", "around"))
        cpu = ", ".join(f"{role} {spent}" for role, spent in row["cpu_ms_per_receipt"].items() if spent)
        table.add_row(str(row["clients"]), str(row["receipts_per_s"]), *pairs, cpu)
    console.print(table)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, the table on stderr")
    parser.add_argument("--parties", type=int, default=3)
    parser.add_argument("--clients", type=int, nargs="+", default=list(CLIENTS), help="concurrent clients")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of one measurement")
    parser.add_argument("--lanes", type=int, default=LANES, help="lanes of each party")
    arguments = parser.parse_args()
    found = run(arguments.parties, arguments.clients, arguments.seconds, arguments.lanes)
    show(found, Console(stderr=arguments.json))
    if arguments.json:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
