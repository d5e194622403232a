"""What processes have cost so far, read from /proc (Linux)."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: Iterable[int]) -> float:
    """User and system time of some processes, all threads."""
    return sum(_cpu(pid) for pid in pids)


def peak_mb(pids: Iterable[int]) -> float:
    """Sum of the largest resident sets so far, in MiB."""
    return sum(_peak(pid) for pid in pids) / 1024


def reset_peak(pids: Iterable[int]) -> None:
    """Let `peak_mb` begin anew at what is resident now."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _cpu(pid: int) -> float:
    # The name of a process may hold spaces and brackets: fields are counted from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)
