"""ONNX's own checker, in a process of its own: names, order (so no cycles), attributes, types and shapes.

It is C++ that was not written for files from strangers: some make it read beyond its arrays, or take all memory. There
it ends alone, within limits of memory and time, and the file is refused. The process is started for the first file and
kept for the next ones; it ends with this one.
"""

import atexit
import os
import select
import struct
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from mpc_infer.errors import CorruptModel

TIMEOUT_S = 120.0
"""Longest check of one file."""
_SCRIPT = Path(__file__).with_name("checker_main.py")


def check_consistency(data: bytes) -> None:
    """Have ONNX check a file.

    Raises:
        CorruptModel: it finds something wrong, does not end in time, or does not survive the file.
    """
    fault = _CHECKER.judge(data)
    if fault:
        raise CorruptModel(f"the model is inconsistent: {fault}", remedy="export it again; onnx.checker says more")


class _Checker:
    """The process, or none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def judge(self, data: bytes) -> str:
        """What is wrong with a file; empty where nothing is."""
        with self._lock:
            process = self._running()
            try:
                return _ask(process, data)
            except TimeoutError:
                self.end()
                return f"ONNX's checker needs more than {TIMEOUT_S:.0f} s"
            except (OSError, EOFError):
                self.end()
                status = process.returncode
                return f"ONNX's checker did not survive it ({f'signal {-status}' if status < 0 else 'it ended'})"
            except BaseException:
                # Whoever interrupts must not leave an answer behind that the next file would get.
                self.end()
                raise

    def _running(self) -> "subprocess.Popen[bytes]":
        process = self._process
        # A forked copy of this process must not write into the same pipe.
        if process is None or self._owner != os.getpid() or process.poll() is not None:
            environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and script
                [sys.executable, "-P", str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=environment,
            )
            self._process, self._owner = process, os.getpid()
        return process

    def end(self) -> None:
        """Kill the process."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        with suppress(OSError):
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def _ask(process: "subprocess.Popen[bytes]", data: bytes) -> str:
    if process.stdin is None or process.stdout is None:
        raise EOFError
    process.stdin.write(struct.pack(">Q", len(data)))
    process.stdin.write(data)
    process.stdin.flush()
    deadline = time.monotonic() + TIMEOUT_S
    (size,) = struct.unpack(">I", _read(process, 4, deadline))
    return _read(process, size, deadline).decode("utf-8", "replace")


def _read(process: "subprocess.Popen[bytes]", size: int, deadline: float) -> bytes:
    if process.stdout is None:
        raise EOFError
    pipe, found = process.stdout.fileno(), b""
    while len(found) < size:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise TimeoutError
        piece = os.read(pipe, size - len(found))
        if not piece:
            raise EOFError
        found += piece
    return found


_CHECKER = _Checker()
atexit.register(_CHECKER.end)
