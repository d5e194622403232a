"""The one way in which loops are compiled here: by numba, kept on disk, with the interpreter's lock released."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function for the types of its first call.

    Unsigned words are never mixed with Python integers in a kernel: numba would make floats of them.
    """
    compiled: Any
    try:
        compiled = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        # Nowhere to keep it: a read-only installation without a home directory. NUMBA_CACHE_DIR names a place.
        compiled = numba.njit(nogil=True, error_model="numpy")(function)
    return cast(Function, compiled)
