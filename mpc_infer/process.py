"""What a process asks of the kernel: no picture of its memory, and no life after its parent's."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def protect_memory() -> None:
    """No core dump of this process, and no debugger of the same user may attach: keys and shares are in its memory.

    Everywhere the limit of core files goes to zero, for children too; on Linux the process is also not dumpable.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    if _is_linux():
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def bind_to_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that started it ends; end at once if the parent is gone.

    Args:
        parent: its process id, as the parent itself knew it.
    """
    if _is_linux():
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def die_with_parent() -> Callable[[], None] | None:
    """What a child runs between fork and exec to that end (``preexec_fn``); None where there is no such thing."""
    if not _is_linux():
        return None
    # Loaded here, before the fork: a child of a threaded process may do next to nothing.
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return bind


def _is_linux() -> bool:
    return sys.platform.startswith("linux")
