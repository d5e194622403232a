"""One case on one system: what becomes a row.

Online milliseconds go from shares of the input to shares of the output at party 0; stock CrypTen opens it, too.
Material is made ahead; offline milliseconds are the slowest party's, from the first message to prepared material, the
dealer's work included. CPU seconds are those of all processes for one evaluation, dealer and offline work included.
Memory is the sum of the largest resident sets of all processes while this case was measured.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench import reference
from bench.fleet import Fleet, Inference, Prepared
from bench.processes import cpu_seconds, peak_mb, reset_peak
from bench.rows import Case, Row
from bench.spu import Spu
from bench.stock import Stock

FEWEST, MOST = 3, 100
"""Evaluations of one case."""


def repeats(seconds: float, once_ms: float) -> int:
    """How many evaluations fit into a time."""
    return max(FEWEST, min(MOST, int(1000 * seconds / max(once_ms, 0.01))))


def ours(fleet: Fleet, case: Case, seconds: float) -> tuple[Row, float]:
    """On one of our engines. Also the milliseconds of the whole session: agreement at the beginning, commitments and
    transcripts at the end.
    """
    fleet.load(case.graph, case.weights, case.fixed)
    began = time.monotonic()
    for _ in range(FEWEST):  # caches fill, threads start
        _evaluate(fleet, case)
    pids = [*fleet.party_pids, fleet.dealer_pid]
    repeat = repeats(seconds, 1000 * (time.monotonic() - began) / FEWEST)
    reset_peak(pids)
    before, dealer_before = cpu_seconds(pids), cpu_seconds([fleet.dealer_pid])
    done = [_evaluate(fleet, case) for _ in range(repeat)]
    dealt, spent = cpu_seconds([fleet.dealer_pid]) - dealer_before, cpu_seconds(pids) - before
    prepared, results = [each for each, _ in done], [inference.results[0] for _, inference in done]
    row = case.row(
        fleet.size,
        f"mpc-infer/{fleet.engine}",
        [result.evaluated_ms for result in results],
        offline_ms=round(statistics.median(each.offline_ms for each in prepared), 2),
        dealer_ms=round(1000 * dealt / repeat, 2),
        cpu_s=round(spent / repeat, 5),
        rounds=results[-1].rounds,
        bytes=round(statistics.mean(result.bytes_sent for result in done[-1][1].results)),
        material_bytes=prepared[-1].material_bytes,
        peak_mb=round(peak_mb(pids)),
        max_abs_error=max(case.error(next(iter(inference.outputs.values()))) for _, inference in done),
    )
    return row, statistics.median(result.online_ms for result in results)


def _evaluate(fleet: Fleet, case: Case) -> tuple[Prepared, Inference]:
    prepared = fleet.prepare(case.graph, case.batch)
    inference = fleet.infer(case.graph, case.inputs, prepared)
    fleet.drop(prepared)
    return prepared, inference


def stock(peer: Stock, parties: int, case: Case, seconds: float, directory: Path) -> Row:
    """On stock CrypTen."""
    tensors = write_tensors(case, directory)
    once = peer.measure_graph(case.description, tensors, FEWEST)["ms"]
    repeat = repeats(seconds, statistics.median(once))
    reset_peak(peer.pids)
    before = cpu_seconds(peer.pids)
    answer = peer.measure_graph(case.description, tensors, repeat)
    return case.row(
        parties,
        "crypten",
        answer["ms"],
        cpu_s=round((cpu_seconds(peer.pids) - before) / repeat, 5),
        rounds=answer["rounds"],
        bytes=answer["bytes"],
        peak_mb=round(peak_mb(peer.pids)),
        max_abs_error=answer["error"],
    )


def spu(peer: Spu, system: str, parties: int, case: Case, seconds: float, directory: Path) -> Row:
    """On SPU. CPU seconds leave out what loading and compiling cost, measured by as much loading and compiling."""
    tensors, graph = write_tensors(case, directory), case.graph.to_bytes()
    first = peer.measure(graph, tensors, FEWEST, counts=True)
    repeat = repeats(seconds, statistics.median(first["ms"]))
    reset_peak(peer.pids)
    start = cpu_seconds(peer.pids)
    peer.measure(graph, tensors, 1, counts=False)
    middle = cpu_seconds(peer.pids)
    answer = peer.measure(graph, tensors, 1 + repeat, counts=False)
    spent = (cpu_seconds(peer.pids) - middle) - (middle - start)
    return case.row(
        parties,
        system,
        answer["ms"],
        cpu_s=round(max(0.0, spent) / repeat, 5),
        bytes=first["bytes"],
        peak_mb=round(peak_mb(peer.pids)),
        max_abs_error=case.error(answer["output"]),
    )


def plaintext(case: Case, seconds: float) -> Row:
    """In torch, float32, one thread."""
    tensors = {
        name: torch.tensor(value, dtype=torch.float32) for name, value in {**case.weights, **case.inputs}.items()
    }
    times: list[float] = []
    spent, output = time.process_time(), torch.zeros(0)
    limit = time.monotonic() + seconds
    with torch.no_grad():
        while len(times) < FEWEST or (time.monotonic() < limit and len(times) < MOST):
            began = time.perf_counter()
            output = reference.evaluate(case.description, tensors)
            times.append(1000 * (time.perf_counter() - began))
    cpu = (time.process_time() - spent) / len(times)
    return case.row(1, "torch", times, cpu_s=round(cpu, 6), max_abs_error=case.error(output.numpy()))


def write_tensors(case: Case, directory: Path) -> Path:
    """Weights and input in a file for a peer."""
    tensors: dict[str, Any] = {**case.weights, **case.inputs}
    np.savez(directory / "tensors.npz", **tensors)
    return directory / "tensors.npz"
