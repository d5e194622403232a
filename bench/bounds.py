"""What bounds our online time, measured in the same run: three floors that an evaluation cannot get under.

- products: the model's matrix products on plaintext 64-bit integers, one thread: plaintext integer inference;
- wake-ups: half a round trip on a link for each round, since all parties send at once;
- memory: all of a party's material read once.

A party does these one after another, so that their sum is the bound. Parties that share cores or memory cannot reach
it: it is what a party alone on a core would need.
"""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from bench.rows import Case, Row
from mpc_infer.graph import Node
from mpc_infer.graph.ir import infer_shapes

TIMES = 7
MEMORY_WORDS = 1 << 25
ROUND_TRIPS = 1000
PRINTED_SECONDS = 120.0
Machine = dict[str, Any]


def machine() -> Machine:
    """This machine: its round trip in microseconds, its memory's speed in bytes a second, rounds in lock step."""
    return {
        "cpu": _cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "round_trip_us": round(_round_trip_us(), 1),
        "memory_bytes_s": round(_memory_speed()),
        "lockstep": json.loads(_printed("bench.lockstep", "--json"))["lockstep"],
    }


def bound(case: Case, row: Row, session_ms: float, here: Machine) -> Row:
    """The floors under a row of ours, in milliseconds, and how many times their sum the row is."""
    floors = {
        "products_ms": products_ms(case),
        "wake_ups_ms": row["rounds"] * here["round_trip_us"] / 2000,
        "memory_ms": 1000 * row["material_bytes"] / here["memory_bytes_s"],
    }
    total = sum(floors.values())
    return {
        **{name: row[name] for name in ("model", "batch", "parties", "online_ms")},
        "session_ms": round(session_ms, 3),
        **{name: round(value, 4) for name, value in floors.items()},
        "bound_ms": round(total, 4),
        "times_bound": round(row["online_ms"] / total, 1),
    }


def products_ms(case: Case) -> float:
    """Milliseconds that the products of one evaluation take."""
    shapes = infer_shapes(case.graph, case.batch)
    sizes = [size for node in case.graph.nodes for size in _sizes(node, shapes)]
    times = {size: _fastest(*size) for size in set(sizes)}
    return sum(times[size] for size in sizes)


def _sizes(node: Node, shapes: dict[str, tuple[int, ...]]) -> list[tuple[int, int, int]]:
    """(m, k, n) of each matrix product in a node."""
    out = shapes[node.outputs[0]]
    if node.op == "Linear":
        inner, columns = shapes[node.inputs[1]]
        return [(math.prod(out[:-1]), inner, columns)]
    if node.op == "MatMul":
        return [(out[-2], shapes[node.inputs[0]][-1], out[-1])] * math.prod(out[:-2])
    if node.op == "Conv":
        filters, *patch = shapes[node.inputs[1]]
        groups = int(str(node.attributes["group"]))
        return [(filters // groups, math.prod(patch), math.prod(out[2:]))] * (out[0] * groups)
    return []


def _fastest(rows: int, inner: int, columns: int) -> float:
    random = np.random.default_rng(0)
    left, right = (random.integers(-(2**40), 2**40, shape) for shape in ((rows, inner), (inner, columns)))
    out = np.zeros((rows, columns), dtype=np.int64)
    left_torch, right_torch = torch.from_numpy(left), torch.from_numpy(right)
    ways: tuple[Callable[[], object], ...] = (
        lambda: _multiply_add(left, right, out),
        lambda: torch.matmul(left_torch, right_torch),
    )
    return min(_median_ms(way) for way in ways)


@numba.njit(cache=True)
def _multiply_add(left: Any, right: Any, out: Any) -> None:
    for i in range(left.shape[0]):
        for k in range(left.shape[1]):
            for j in range(right.shape[1]):
                out[i, j] += left[i, k] * right[k, j]


def _median_ms(way: Callable[[], object]) -> float:
    way()
    times = []
    for _ in range(TIMES):
        began = time.perf_counter()
        way()
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def _memory_speed() -> float:
    words = np.ones(MEMORY_WORDS, dtype=np.uint64)
    return 1000 * words.nbytes / _median_ms(lambda: words.sum())


def _round_trip_us() -> float:
    return float(_printed("bench.round_trip", "--rounds", str(ROUND_TRIPS)).splitlines()[0].split()[1])


def _printed(module: str, *arguments: str) -> str:
    # In a process of its own, since it forks and this one has threads.
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PRINTED_SECONDS).stdout


def _cpu_name() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
