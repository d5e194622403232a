"""Private neural-network inference among several parties, with receipts that anyone can check.

The public face of the client SDK. Everything else is imported from its own package.
"""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpc_infer.client import AsyncClient, Client, InferenceResult

# Before gRPC is loaded. With its support of forks, of children that a process with a channel starts, every thirtieth
# died before it became the program that it was to be (grpc/grpc#43055). Ours never use gRPC between fork and exec.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

__version__ = "0.1.0"
__all__ = ["AsyncClient", "Client", "InferenceResult", "__version__"]


def __getattr__(name: str) -> object:
    """Import the SDK on first use, so that a role that never acts as a client does not load it."""
    if name in ("AsyncClient", "Client", "InferenceResult"):
        from mpc_infer import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
