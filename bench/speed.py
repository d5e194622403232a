"""The engines side by side on one machine, in one run: ours over TLS with a dealer, stock CrypTen, plaintext torch.

``python -m bench.speed [--json] [--only mlp,lenet] [--parties 2 3] [--repeat N]``. Online milliseconds go from shares
of the input to shares of the output; stock CrypTen opens it, too. Session milliseconds are those of all that ours
does around it: agreement at the beginning, commitments and transcripts at the end. Material is made ahead, one
evaluation at a time; offline milliseconds are the slowest party's from the first message to prepared material, the
dealer's work included. CPU seconds are those of all processes, dealer and offline work included, for one evaluation.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench import reference
from bench.fleet import Fleet
from bench.graphs import BATCHES, MODELS
from bench.processes import cpu_seconds, peak_mb
from bench.stock import Stock
from mpc_infer.graph import Graph

ENGINES = ("masked", "crypten")
CRYPTEN_MODELS = ("logreg", "mlp")
"""What our CrypTen back end computes."""

Row = dict[str, Any]


def sample(graph: Graph, batch: int) -> Any:
    """An input with values near one."""
    return np.random.default_rng(batch).normal(size=graph.inputs[0].with_batch(batch))


def ours(fleet: Fleet, name: str, graph: Graph, weights: Row, batch: int, repeat: int) -> Row:
    """One model on our engine."""
    x = sample(graph, batch)
    fleet.load(graph, weights)
    fleet.infer(graph, {"x": x})
    pids = [*fleet.party_pids, fleet.dealer_pid]
    before, dealer_before = cpu_seconds(pids), cpu_seconds([fleet.dealer_pid])
    online, sessions, prepared, outputs = [], [], [], {}
    for _ in range(repeat):
        prepared.append(fleet.prepare(graph, batch))
        inference = fleet.infer(graph, {"x": x}, prepared[-1])
        online.append(inference.results[0].evaluated_ms)
        sessions.append(inference.results[0].online_ms)
        outputs = inference.outputs
    spent, dealt = cpu_seconds(pids) - before, cpu_seconds([fleet.dealer_pid]) - dealer_before
    exact = plaintext(graph, weights, x)
    result = inference.results[0]
    return {
        **key(name, batch, fleet.size, f"mpc-infer/{fleet.engine}"),
        "online_ms": round(statistics.median(online), 3),
        "session_ms": round(statistics.median(sessions), 3),
        "offline_ms": round(statistics.median(each.offline_ms for each in prepared), 2),
        "dealer_ms": round(1000 * dealt / repeat, 2),
        "cpu_s": round(spent / repeat, 4),
        "rounds": result.rounds,
        "bytes": result.bytes_sent,
        "material_bytes": prepared[-1].material_bytes,
        "peak_mb": round(peak_mb(pids)),
        "max_abs_error": float(np.abs(next(iter(outputs.values())) - exact).max()),
    }


def stock(peer: Stock, parties: int, name: str, graph: Graph, weights: Row, batch: int, repeat: int, at: Path) -> Row:
    """One model on stock CrypTen."""
    np.savez(at / "tensors.npz", **{**weights, "x": sample(graph, batch)})
    description = json.loads(graph.to_bytes())
    peer.measure_graph(description, at / "tensors.npz", 1)
    before = cpu_seconds(peer.pids)
    answer = peer.measure_graph(description, at / "tensors.npz", repeat)
    return {
        **key(name, batch, parties, "crypten"),
        "online_ms": round(statistics.median(answer["ms"]), 2),
        "session_ms": 0.0,
        "offline_ms": 0.0,
        "dealer_ms": 0.0,
        "cpu_s": round((cpu_seconds(peer.pids) - before) / repeat, 4),
        "rounds": answer["rounds"],
        "bytes": answer["bytes"],
        "material_bytes": 0,
        "peak_mb": round(peak_mb(peer.pids)),
        "max_abs_error": answer["error"],
    }


def key(name: str, batch: int, parties: int, system: str) -> Row:
    """What a row is about."""
    return {"model": name, "batch": batch, "parties": parties, "system": system}


def plaintext(graph: Graph, weights: Row, x: Any) -> Any:
    """The same in float64."""
    values = {name: torch.tensor(value) for name, value in {**weights, "x": x}.items()}
    return reference.evaluate(json.loads(graph.to_bytes()), values).numpy()


def torch_row(name: str, graph: Graph, weights: Row, batch: int) -> Row:
    """Plaintext torch in float32 on one thread."""
    values = {key: torch.tensor(value, dtype=torch.float32) for key, value in weights.items()}
    values["x"] = torch.tensor(sample(graph, batch), dtype=torch.float32)
    description, times = json.loads(graph.to_bytes()), []
    with torch.no_grad():
        for _ in range(20):
            began = time.perf_counter()
            reference.evaluate(description, values)
            times.append(1000 * (time.perf_counter() - began))
    empty = dict.fromkeys(("session_ms", "offline_ms", "dealer_ms", "rounds", "bytes", "material_bytes", "peak_mb"), 0)
    spent = statistics.median(times)
    return {**key(name, batch, 1, "torch"), "online_ms": round(spent, 3), "cpu_s": round(spent / 1000, 5), **empty}


def measure(names: list[str], sizes: list[int], repeat: int, console: Console) -> list[Row]:
    """All rows."""
    rows: list[Row] = []
    made = {name: MODELS[name]() for name in names}
    with tempfile.TemporaryDirectory() as directory:
        for parties in sizes:
            with Stock(parties, Path(directory), counts=True) as peer, Fleet(parties, engine="masked") as fleet:
                for name, (graph, weights) in made.items():
                    for batch in BATCHES[name]:
                        console.print(f"{name}, {batch} rows, {parties} parties")
                        rows.append(ours(fleet, name, graph, weights, batch, 4 * repeat))
                        fleet_rows = Path(directory)
                        rows.append(stock(peer, parties, name, graph, weights, batch, repeat, fleet_rows))
        for name, (graph, weights) in made.items():
            rows += [torch_row(name, graph, weights, batch) for batch in BATCHES[name]]
    return rows


def show(rows: list[Row], console: Console) -> None:
    """The table, with how many times faster than stock CrypTen each of our rows is."""
    table = Table(title="One evaluation, medians; bytes are those that one party sends")
    columns = list(rows[0])
    for column in [*columns, "faster"]:
        table.add_column(column.replace("_", " "), justify="left" if column in ("model", "system") else "right")
    for row in rows:
        table.add_row(*(f"{row.get(column, '')}" for column in columns), _faster(row, rows))
    console.print(table)


def _faster(row: Row, rows: list[Row]) -> str:
    same = ("model", "batch", "parties")
    for other in rows:
        if other["system"] == "crypten" and all(other[part] == row[part] for part in same):
            return f"{other['online_ms'] / row['online_ms']:.1f}x"
    return ""


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, the table on stderr")
    parser.add_argument("--only", default=",".join(MODELS), help="models, with commas")
    parser.add_argument("--parties", type=int, nargs="+", default=[2, 3])
    parser.add_argument(
        "--repeat", type=int, default=5, help="evaluations of stock CrypTen; four times as many of ours"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(arguments.only.split(","), arguments.parties, arguments.repeat, Console(stderr=True))
    show(rows, Console(stderr=arguments.json))
    if arguments.json:
        print(json.dumps({"rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
