"""`make bench JSON=1` as it is run, with one small model."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.rows import FIELDS

ROOT = Path(__file__).parents[2]
OURS = ("mpc-infer/masked", "mpc-infer/crypten")
COMMAND = ["-m", "bench.speed", "--json", "--only", "logreg", "--parties", "2", "--seconds", "0.1", "--systems"]


@pytest.mark.slow
def test_one_object_on_stdout_with_the_declared_rows():
    command = [sys.executable, *COMMAND, *OURS, "crypten", "spu/semi2k", "spu/aby3", "torch"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, timeout=280, check=True)
    found = json.loads(done.stdout)
    assert found["service"] is None
    by_system = {row["system"]: row for row in found["rows"] if row["batch"] == 1}
    skipped = {each["what"] for each in found["skipped"]}
    assert set(by_system) == {*OURS, "crypten", "torch"} | (set() if "SPU" in skipped else {"spu/semi2k"})
    for row in found["rows"]:
        assert tuple(row) == FIELDS
        assert row["online_ms"] > 0
        assert row["cpu_s"] >= 0
        assert row["max_abs_error"] < 1e-2
    _check_costs(by_system)
    assert [bound["batch"] for bound in found["bounds"]] == [1, 64]
    assert all(bound["bound_ms"] > 0 for bound in found["bounds"])


def _check_costs(by_system):
    whole = by_system["mpc-infer/masked"]
    assert all(whole[name] is not None for name in FIELDS)
    assert whole["bytes"] > 8 * 100  # its share of the masked input
    crypten = by_system["crypten"]
    assert crypten["rounds"] == 2  # the factors of the product, then the output
    assert crypten["bytes"] >= 8 * (100 + 100 + 1)
    assert all(crypten[name] is None for name in ("offline_ms", "dealer_ms", "material_bytes"))
    if spu := by_system.get("spu/semi2k"):
        assert spu["bytes"] > 8 * 100
        assert spu["rounds"] is None
