"""What a process asks of the kernel."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.keystore import Keystore
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.process import die_with_parent

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")

LOADS = """
import ctypes, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)
before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
from mpc_infer.identity.keystore import Keystore
Keystore(sys.argv[1])
print(before, ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE)[0])
"""


@linux
def test_a_process_that_reads_a_keystore_leaves_no_picture_of_its_memory(tmp_path: Path) -> None:
    authority, signer = CertificateAuthority.create("test network"), Signer.generate()
    tls = TlsCredentials(authority.certificate_pem, *authority.issue(signer.address, "client"))
    Keystore.create(tmp_path / "keys", signer=signer, tls=tls)
    command = [sys.executable, "-c", LOADS, str(tmp_path / "keys")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["1", "0", "0"]


PARENT = """
import subprocess, sys, time
from mpc_infer.process import die_with_parent
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], preexec_fn=die_with_parent())
print(child.pid, flush=True)
time.sleep(60)
"""


@linux
def test_a_child_does_not_outlive_its_parent() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        child = int(parent.stdout.readline())
        parent.kill()
    limit = time.monotonic() + 20
    while Path(f"/proc/{child}").exists() and "\nState:\tZ" not in Path(f"/proc/{child}/status").read_text():
        assert time.monotonic() < limit, "the child outlived its parent"
        time.sleep(0.05)


@linux
def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    bind = die_with_parent()
    middle = os.fork()
    if middle == 0:  # somebody else's child now, as seen from `bind`
        if os.fork() == 0:
            bind()
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
    assert os.waitstatus_to_exitcode(os.waitpid(middle, 0)[1]) == 1


def test_children_of_a_process_with_channels_live():
    """Lanes, roles of a devnet, the checker of ONNX files: with gRPC's support of forks one in thirty died at once."""
    done = subprocess.run([sys.executable, "-c", CHANNELS], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0"] * 200
    assert done.stderr == ""


CHANNELS = """
import mpc_infer
import subprocess
from concurrent.futures import ThreadPoolExecutor
import grpc
from mpc_infer.process import die_with_parent

server = grpc.server(ThreadPoolExecutor(2))
port = server.add_insecure_port("127.0.0.1:0")
server.start()
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
grpc.channel_ready_future(channel).result(10)
for _ in range(200):
    print(subprocess.run(["true"], preexec_fn=die_with_parent(), timeout=10).returncode)
"""
