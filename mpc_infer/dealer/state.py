"""What a dealer goes through. It keeps nothing between requests. ::

STARTING ──▶ SERVING ──▶ DRAINING ──▶ STOPPED
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class DealerState(Enum):
    """The life of the process."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


MOVES: Mapping[DealerState, frozenset[DealerState]] = MappingProxyType(
    {
        DealerState.STARTING: frozenset({DealerState.SERVING, DealerState.STOPPED}),
        DealerState.SERVING: frozenset({DealerState.DRAINING}),
        DealerState.DRAINING: frozenset({DealerState.STOPPED}),
        DealerState.STOPPED: frozenset(),
    }
)
