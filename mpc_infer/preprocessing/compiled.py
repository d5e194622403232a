"""The one way in which loops are compiled here: by numba, when their module is imported, and kept on disk.

A role pays for compiling when it starts and never in a session, and a machine pays once: of several processes that
start at the same time one compiles and the others read. What is kept lies beside the source, or where
``NUMBA_CACHE_DIR`` says, or in the user's cache; where none of these can be written it is compiled at every start.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])
LOCK = "kernels.lock"


def kernel(*signatures: str) -> Callable[[Function], Function]:
    """Compile a function, with the interpreter's lock released while it runs.

    Unsigned words are never mixed with Python integers in a kernel: numba would make floats of them.

    Args:
        signatures: argument types in numba's notation (``u8[::1]``: uint64, one axis, C order), one for each set of
            types that it is called with; none for a function that only other kernels call. Another set of types would
            be compiled at its first call.
    """

    def compiled(function: Function) -> Function:
        made = _jit(function)
        with _alone(made.stats.cache_path):
            for signature in signatures:
                made.compile(f"void({signature})")
        return cast(Function, made)

    return compiled


def _jit(function: Callable[..., object]) -> Any:
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # nowhere to keep it
        return numba.njit(nogil=True, error_model="numpy")(function)


@contextmanager
def _alone(directory: str | None) -> Iterator[None]:
    """Hold the directory in which a function is kept against other processes: numba's index of it is not locked."""
    if directory is None:
        yield
        return
    with (Path(directory) / LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # kept for the seconds that one function takes; freed if its holder dies
        yield
