"""What a session needs of the network among the parties."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass
class Counters:
    """What one session has cost this party so far. Bytes are those of frames, before TLS adds its own."""

    rounds: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


class Link(Protocol):
    """All-to-all messages among the parties of one lane, in lock step.

    Every call of `exchange` and `exchange_bytes` is one round, numbered from 0 in each session. All parties must make
    the same calls in the same order. A link is used by one thread. Every method raises a SessionAborted when the
    session cannot go on: PeerFailed and PeerTimeout name the party at fault, UnexpectedFrame says what was wrong, and
    whatever another party aborted with is raised here too. After any of these the link is idle again, and `begin`
    starts the next session.
    """

    @property
    def rank(self) -> int:
        """This party's index."""

    @property
    def size(self) -> int:
        """How many parties there are, this one included."""

    @property
    def counters(self) -> Counters:
        """Costs since `begin`."""

    def begin(self, session_id: bytes, deadline: float) -> None:
        """Meet all peers in a session.

        Args:
            session_id: 16 bytes, the same at every party, never used twice.
            deadline: `time.monotonic()` seconds after which every wait of this session fails.
        """

    def exchange(self, array: Array, meanwhile: Callable[[], None] | None = None) -> list[Array]:
        """Send an array (int64 or uint64, C order) to all, and receive one of the same type and shape from each.

        Args:
            array: not to be changed before this returns.
            meanwhile: called once while the peers' arrays are on their way.

        Returns:
            The parties' arrays by index, this party's own among them.
        """

    def exchange_bytes(self, messages: Sequence[bytes], *, max_bytes: int) -> list[bytes]:
        """Send a message to each party, and receive one from each. The entry at this party's own index is handed back.

        Args:
            messages: one per party, by index.
            max_bytes: no message may be longer.
        """

    def abort(self, error: BaseException) -> None:
        """Tell everybody that the session is over and why, without waiting for them. Never raises."""

    def end(self) -> None:
        """Leave the session after its last round. Connections stay for the next one."""

    def close(self) -> None:
        """Release all connections. Never raises."""


def sum_ring(arrays: Sequence[Array]) -> Array:
    """Sum modulo 2^64."""
    total = np.array(arrays[0], copy=True)
    for array in arrays[1:]:
        np.add(total, array, out=total)
    return total
