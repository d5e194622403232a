"""A lane's process: no secret where others can read it, and no life of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.keystore import Keystore
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials

# A party's main process reduced to one lane host: it prints the lane's process id and waits.
PARENT = """
import asyncio, sys
from pathlib import Path
from mpc_infer.identity.keystore import Keystore
from mpc_infer.party.lane_host import LaneHost
from mpc_infer.party.lane_setup import LaneSetup

async def main():
    keys = Keystore(sys.argv[1])
    setup = LaneSetup(
        number=0, rank=0, addresses=(keys.address, keys.address), targets=("127.0.0.1:0", "127.0.0.1:1"),
        credentials=keys.tls, dealer_target="127.0.0.1:1", dealer_address=keys.address, dealer_key_id=b"",
        engine="masked", opens_models=True, threads=1, material=Path(sys.argv[1]) / "material",
        material_key=bytes(32), ready_batches=1, ready_bytes=1, step_s=5.0, log_level="WARNING", log_json=False,
    )
    lane = LaneHost(0, setup.to_message, kill_grace_s=1, longest_s=60, max_waiting=1, max_models=1)
    await lane.start()
    print(lane._process.pid, flush=True)
    await asyncio.sleep(300)

asyncio.run(main())
"""


@pytest.fixture
def keystore(tmp_path) -> Keystore:
    authority = CertificateAuthority.create("test network")
    signer = Signer.generate()
    issued = authority.issue(signer.address, "party", ["127.0.0.1"], 1)
    return Keystore.create(tmp_path / "keys", signer=signer, tls=TlsCredentials(authority.certificate_pem, *issued))


@pytest.fixture
def parent(keystore, tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path / "keys")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait(10)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_the_end(pid: int) -> None:
    limit = time.monotonic() + 20
    while alive(pid):
        assert time.monotonic() < limit, "the lane outlived its parent"
        time.sleep(0.05)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_lane_shows_no_secret_and_dies_with_its_parent(parent, keystore, number):
    pid = int(parent.stdout.readline())
    visible = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    for secret in (keystore.tls.key_pem[40:80], keystore.signer.key_bytes(), keystore.storage_key):
        assert secret not in visible
        assert secret.hex().encode() not in visible
    assert alive(pid)
    parent.send_signal(number)
    wait_for_the_end(pid)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_signal_to_the_whole_group_leaves_the_end_to_the_parent(parent):
    pid = int(parent.stdout.readline())
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(pid, number)
    time.sleep(0.5)
    assert alive(pid)
    assert parent.poll() is None
