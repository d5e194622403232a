"""Free ports on loopback."""

import secrets
import socket
from contextlib import closing

from mpc_infer.errors import Unavailable

# Below Linux's ephemeral range, from which outgoing connections take theirs: a port found free stays free of those.
_FIRST, _LAST = 20_000, 32_000
_TRIES = 1_000


def _is_free(host: str, port: int) -> bool:
    with closing(socket.socket()) as probe:
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Different ports that nobody listens on.

    Raises:
        Unavailable: none could be found.
    """
    found: set[int] = set()
    for _ in range(_TRIES):
        port = _FIRST + secrets.randbelow(_LAST - _FIRST)
        if port not in found and _is_free(host, port):
            found.add(port)
        if len(found) == count:
            return sorted(found)
    raise Unavailable(f"no {count} free ports on {host} between {_FIRST} and {_LAST}", remedy="stop other devnets")
