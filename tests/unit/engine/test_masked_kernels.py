"""Kernels are compiled when they are imported, for all types that they are called with, by one process of several."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba.core.dispatcher import Dispatcher

from bench.models import dense, random_weights
from mpc_infer.engine.masked import kernels, packing
from mpc_infer.preprocessing import masked_kernels, masked_products, masked_views
from tests.protocol.masked_parties import evaluate

MODULES = (kernels, packing, masked_kernels, masked_products, masked_views)
HELPERS = {"_inside", "_cut_row", "_cut_edge"}


def compiled() -> dict[str, list[object]]:
    found = {}
    for module in MODULES:
        for name, value in vars(module).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module.__name__ and name not in HELPERS:
                found[f"{module.__name__}.{name}"] = list(value.signatures)
    return found


def test_every_kernel_is_compiled_at_import():
    found = compiled()
    assert len(found) > 20
    assert [name for name, signatures in found.items() if not signatures] == []


@pytest.mark.parametrize("lean_from", [1 << 62, 0], ids=["fat", "lean"])
def test_a_session_compiles_nothing(lean_from):
    before = compiled()
    graph = dense([4, 8, 2])
    evaluate(graph, random_weights(graph), {"x": np.ones((2, 4))}, lean_from=lean_from)
    assert compiled() == before


@pytest.mark.parametrize("width", [1, 7, 12, 31, 32, 33, 40, 50, 63])
def test_packed_fields_add_up_each_by_itself(width):
    random = np.random.default_rng(width)
    for low in (0, 1):
        for count in (1, 63, 64, 65, 200):
            values = random.integers(0, 2**64 - 1, (2, count), dtype=np.uint64, endpoint=True)
            values[:, :2] = 2**64 - 1  # carries that must not leave their field
            packed = np.zeros((2, -(-count * width // 64)), dtype=np.uint64)
            for own, out in zip(values, packed, strict=True):
                packing.pack(own, low, width, out)
            packing.add_packed(packed[0], packed[1], packing.field_tops(width))
            found = np.zeros(count, dtype=np.uint64)
            packing.unpack(packed[0], low, width, found)
            fields = (values >> np.uint64(low)).sum(axis=0, dtype=np.uint64) & np.uint64(2**width - 1)
            assert (found == fields << np.uint64(low)).all()


@pytest.mark.slow
def test_of_processes_that_start_at_once_one_compiles(tmp_path: Path):
    source = tmp_path / "loops.py"
    source.write_text(
        "from mpc_infer.preprocessing.compiled import kernel\n"
        "@kernel('u8[::1], u8', 'u4[::1], u8')\n"
        "def add(words, number):\n"
        "    for i in range(words.size):\n"
        "        words[i] += number\n"
        "print(sum(add.stats.cache_misses.values()), sum(add.stats.cache_hits.values()))\n"
    )
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONPATH": str(Path.cwd())}
    started = [
        subprocess.Popen([sys.executable, source], env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    counts = [tuple(map(int, process.communicate(timeout=120)[0].split())) for process in started]
    assert sorted(counts) == [(0, 2), (2, 0)]
