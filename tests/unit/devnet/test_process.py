import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mpc_infer.devnet.process import RoleProcess, stop_all, wait_until
from mpc_infer.errors import InternalError, Unavailable

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print(child.pid, flush=True); time.sleep(600)",
]


def gone(pid: int) -> bool:
    """Whether a process is no more; a zombie that nobody reaps in this sandbox counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def started(tmp_path: Path, command: list[str], name: str = "role") -> RoleProcess:
    role = RoleProcess(name, command, tmp_path / f"{name}.log")
    role.start()
    assert eventually(lambda: role.tail() != "")
    return role


def test_a_role_starts_logs_and_stops(tmp_path: Path) -> None:
    role = started(tmp_path, SLEEP)
    assert role.alive
    assert role.tail() == "up"
    assert role.log.stat().st_mode & 0o777 == 0o600
    stop_all([role])
    assert not role.alive
    assert gone(role.pid)


def test_a_stopped_role_is_stopped_too(tmp_path: Path) -> None:
    role = started(tmp_path, SLEEP)
    role.signal(signal.SIGSTOP)
    stop_all([role])
    assert not role.alive


def test_what_ignores_sigterm_is_killed_with_its_children(tmp_path: Path) -> None:
    role = started(tmp_path, STUBBORN)
    child = int(role.tail())
    role.ask_to_stop()
    role.finish(seconds=0.2)
    assert not role.alive
    assert eventually(lambda: gone(child))


def test_a_role_that_ends_is_reported_with_its_log(tmp_path: Path) -> None:
    role = RoleProcess("party7", [sys.executable, "-c", "import sys; sys.exit('no such key')"], tmp_path / "log")
    role.start()
    with pytest.raises(Unavailable, match=r"(?s)party7 ended with status 1.*no such key"):
        wait_until(lambda: False, [role], 30, "party7")


def test_waiting_has_an_end(tmp_path: Path) -> None:
    role = started(tmp_path, SLEEP)
    with pytest.raises(Unavailable, match="not ready after"):
        wait_until(lambda: False, [role], 0.1, "the role")
    stop_all([role])


def test_a_role_that_never_started_has_no_pid(tmp_path: Path) -> None:
    role = RoleProcess("role", SLEEP, tmp_path / "log")
    with pytest.raises(InternalError):
        _ = role.pid
    assert role.tail() == "(no log)"
    stop_all([role])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel's parent-death signal is Linux's")
def test_nothing_outlives_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from mpc_infer.devnet.process import RoleProcess;"
        "sleep = [sys.executable, '-c', 'import time; time.sleep(600)'];"
        f"role = RoleProcess('role', sleep, Path({str(tmp_path / 'log')!r}));"
        "role.start(); print(role.pid, flush=True); time.sleep(600)"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert supervisor.stdout is not None
    child = int(supervisor.stdout.readline())
    assert not gone(child)
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait(20)
    supervisor.stdout.close()
    assert eventually(lambda: gone(child))
