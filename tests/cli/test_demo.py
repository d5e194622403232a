"""The demo as a newcomer runs it: its own process, its output, and nothing left behind however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "mpc_infer.cli", "demo"]
SECONDS = 240


def processes_of(directory: Path) -> list[int]:
    """Processes whose command line or environment of files names a directory."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            working = [str(each.readlink()) for each in (entry / "fd").iterdir()]
        except OSError:
            continue
        if str(directory).encode() in command or any(link.startswith(str(directory)) for link in working):
            found.append(int(entry.name))
    return found


def eventually(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def test_the_demo_prints_one_json_object_and_every_receipt_verifies(tmp_path: Path) -> None:
    net = tmp_path / "net"
    done = subprocess.run(
        [*DEMO, "--json", "--parties", "2", "--keep", str(net)], capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["parties"], report["engine"]) == (2, "masked")
    assert [model["name"] for model in report["models"]] == ["breast-cancer", "digits"]
    for model in report["models"]:
        assert model["receipts"] == model["receipts_verified"] > 0
        assert model["max_abs_error"] <= 2e-3
        assert abs(model["accuracy_plain"] - model["accuracy_private"]) * model["rows"] <= 1.001
        assert {"model_hash", "online_ms_p50", "end_to_end_ms_p50", "rounds", "bytes_per_party"} <= set(model)
    assert sum(anchor["receipts"] for anchor in report["anchors"]) == sum(m["receipts"] for m in report["models"])
    assert all({"root", "tx", "gas", "receipts"} <= set(anchor) for anchor in report["anchors"])
    assert len(list((net / "receipts").glob("*.json"))) == sum(model["receipts"] for model in report["models"])
    assert processes_of(tmp_path) == []


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
    ids=lambda number: number.name,
)
def test_nothing_outlives_the_demo(tmp_path: Path, number: signal.Signals) -> None:
    net = tmp_path / "net"
    log = tmp_path.with_suffix(".log")
    with log.open("wb") as output:
        demo = subprocess.Popen([*DEMO, "--parties", "2", "--keep", str(net)], stdout=output, stderr=output)
    assert eventually(lambda: b"party1 serves" in log.read_bytes(), 120), log.read_text()
    assert len(processes_of(net)) >= 6
    demo.send_signal(number)
    status = demo.wait(60)
    # -2 is CPython's own way to end after Ctrl-C within code that was compiled at run time; a shell shows it as 130.
    assert status in {signal.SIGINT: (130, -2), signal.SIGTERM: (143,), signal.SIGKILL: (-9,)}[number]
    assert eventually(lambda: processes_of(net) == [], 20), processes_of(net)
    assert b"Traceback" not in log.read_bytes()
