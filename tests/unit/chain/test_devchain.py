"""Development chains: finding, starting, ending, and refusing what they should not take."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from mpc_infer.chain.devchain import DevChain, find_anvil
from mpc_infer.chain.embedded import CLOCK_LAG_S, EmbeddedChain
from mpc_infer.chain.embedded_rpc import Dispatcher
from mpc_infer.chain.embedded_server import MAX_REQUEST_BYTES, serve_eth_tester
from mpc_infer.chain.rpc import JsonRpc
from mpc_infer.errors import ChainUnavailable, ConfigError, InvalidRequest
from mpc_infer.identity.signer import Signer


def test_the_named_anvil_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anvil = tmp_path / "anvil"
    anvil.write_text("#!/bin/sh\n")
    anvil.chmod(0o755)
    monkeypatch.setenv("ANVIL", str(anvil))
    assert find_anvil() == anvil


def test_a_named_anvil_that_cannot_run_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANVIL", str(tmp_path / "missing"))
    with pytest.raises(ConfigError, match="ANVIL"):
        find_anvil()


def test_anvil_is_found_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anvil = tmp_path / "anvil"
    anvil.write_text("#!/bin/sh\n")
    anvil.chmod(0o755)
    monkeypatch.delenv("ANVIL", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_anvil() == anvil


def test_an_anvil_that_ends_at_once_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    anvil = tmp_path / "anvil"
    anvil.write_text("#!/bin/sh\nexit 3\n")
    anvil.chmod(0o755)
    monkeypatch.setenv("ANVIL", str(anvil))
    with pytest.raises(ChainUnavailable, match="ended while it was starting"):
        DevChain("anvil").start(timeout_s=10)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(ConfigError, match="geth"):
        DevChain("geth")


def test_the_embedded_chain_serves_ends_and_bounds_requests(tmp_path: Path) -> None:
    chain = DevChain("eth-tester", log=tmp_path / "chain.log").start()
    try:
        rpc = JsonRpc(chain.url)
        assert rpc.call("eth_chainId") == "0x7a69"
        assert rpc.call("web3_clientVersion").startswith("mpc-infer-devchain")
        with pytest.raises(urllib.error.HTTPError, match="413"):
            urllib.request.urlopen(chain.url, b" " * (MAX_REQUEST_BYTES + 1), timeout=10)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            urllib.request.urlopen(chain.url, b"not json", timeout=10)
        batch = json.dumps([{"id": n, "method": "eth_blockNumber"} for n in (1, 2)]).encode()
        with urllib.request.urlopen(chain.url, batch, timeout=10) as response:
            assert [item["result"] for item in json.load(response)] == ["0x0", "0x0"]
        pid = chain.pid
        assert pid is not None
    finally:
        chain.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    chain.stop()


def test_the_chain_dies_with_its_parent() -> None:
    program = (
        "import time\nfrom mpc_infer.chain.devchain import DevChain\n"
        "print(DevChain('eth-tester').start().pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait(10)
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_only_loopback_is_served() -> None:
    with pytest.raises(ConfigError, match="loopback"):
        serve_eth_tester("0.0.0.0", 0)


def test_the_embedded_clock_does_not_pass_the_true_time() -> None:
    chain = EmbeddedChain([Signer.generate().address])
    assert chain.head().header.timestamp <= time.time() - CLOCK_LAG_S + 1


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x02\xc0", b"\xff" * 100])
def test_bytes_that_are_no_transaction_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        EmbeddedChain([]).send_raw(raw)


@pytest.mark.parametrize(
    "request_",
    [
        None,
        1,
        "text",
        {},
        {"method": 7},
        {"method": "eth_call", "params": {}},
        {"method": "eth_call", "params": []},
        {"method": "eth_call", "params": [{"to": "0x12"}]},
        {"method": "eth_call", "params": [{"to": None, "data": 5}]},
        {"method": "eth_getBalance", "params": ["nonsense", "latest"]},
        {"method": "eth_getBalance", "params": ["0x" + "00" * 20, "0x99"]},
        {"method": "eth_getLogs", "params": [{"fromBlock": "0x0", "toBlock": "0xffffffff", "topics": 3}]},
        {"method": "eth_sendRawTransaction", "params": ["0x00"]},
        {"method": "eth_sendTransaction", "params": [{}]},
    ],
)
def test_malformed_requests_get_an_error(request_: object) -> None:
    answer = Dispatcher(EmbeddedChain([])).answer(request_)
    assert "error" in answer
    assert "result" not in answer
