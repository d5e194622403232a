"""Our CrypTen back end against stock CrypTen, on one machine, in one run, taking turns.

``python -m bench.overhead [--json] [--repeat N]``. Ours: TLS 1.3 between parties, AES-CTR, material made ahead with
the real dealer over mutual TLS (reported), exact truncation, agreement at the beginning, commitments and transcript at
the end. Stock: plaintext gloo, torch's generators, its trusted third party, local truncation, one opening at the end.
One torch thread per party in both. Exit status 1 when a ratio of medians is above 1.2.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.fleet import Fleet
from bench.models import dense, random_weights
from bench.stock import Stock
from mpc_infer.engine import get_engine

MODELS = {"logistic 30-1": [30, 1], "mlp 64-64-32-10": [64, 64, 32, 10], "mlp 784-128-128-10": [784, 128, 128, 10]}
LIMIT = 1.2
BLOCK = 5
TABLE_WIDTH = 150


def measure(fleet: Fleet, stock: Stock, name: str, batch: int, repeat: int) -> dict[str, Any]:
    """One model, batch and number of parties."""
    sizes = MODELS[name]
    graph = dense(sizes)
    fleet.load(graph, random_weights(graph))
    x = {"x": np.random.default_rng(0).normal(size=(batch, sizes[0]))}
    fleet.infer(graph, x)
    stock.measure(sizes, batch, 1)
    ours, theirs, offline = [], [], []
    for _ in range(repeat):
        materials = [fleet.prepare(graph, batch) for _ in range(BLOCK)]
        offline += [material.offline_ms for material in materials]
        results = [fleet.infer(graph, x, material).results[0] for material in materials]
        ours += [result.online_ms for result in results]
        theirs += stock.measure(sizes, batch, BLOCK)
    plan = get_engine("crypten").plan(graph, batch, fleet.size)
    return {
        "model": name,
        "parties": fleet.size,
        "batch": batch,
        "ours_ms": round(statistics.median(ours), 2),
        "stock_ms": round(statistics.median(theirs), 2),
        "ratio": round(statistics.median(ours) / statistics.median(theirs), 3),
        "rounds": plan.rounds + 2,
        "bytes_per_party": plan.bytes_sent,
        "offline_ms": round(statistics.median(offline), 2),
        "material_bytes": plan.material_bytes,
        "correction_bytes": plan.correction_bytes,
        "samples": len(ours),
    }


def run(repeat: int, parties: list[int]) -> list[dict[str, Any]]:
    """All measurements."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        for size in parties:
            with Stock(size, Path(directory)) as stock, Fleet(size) as fleet:
                for name in MODELS:
                    rows += [measure(fleet, stock, name, batch, repeat) for batch in (1, 64)]
    return rows


def show(rows: list[dict[str, Any]], console: Console) -> None:
    """The table."""
    table = Table(title="CrypTen: ours (TLS, own dealer) against stock (gloo, trusted third party), medians")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if column == "model" else "right")
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    console.print(table)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, the table on stderr")
    parser.add_argument("--repeat", type=int, default=4, help=f"blocks of {BLOCK} evaluations each")
    parser.add_argument("--parties", type=int, nargs="+", default=[2, 3])
    arguments = parser.parse_args()
    rows = run(arguments.repeat, arguments.parties)
    console = Console(stderr=arguments.json)
    console.width = max(console.width, TABLE_WIDTH)
    show(rows, console)
    worst = max(row["ratio"] for row in rows)
    if arguments.json:
        print(json.dumps({"benchmark": "overhead", "limit": LIMIT, "worst_ratio": worst, "rows": rows}))
    return 0 if worst <= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
