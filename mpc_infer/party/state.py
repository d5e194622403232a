"""What a party and its sessions go through, and which moves are legal. ::

    party      STARTING ──▶ SERVING ──▶ DRAINING ──▶ STOPPED
                   └────────────────────────────────────▲

    session    CHECKING ──▶ CONSUMED ──▶ RUNNING ──▶ SIGNED
                   └──────────┴────────────┴──────▶ FAILED

A session that is CONSUMED has spent its nonce and its job id, durably, whatever happens next: a crash leaves it failed.
"""

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Generic, TypeVar

from mpc_infer.errors import InternalError


class PartyState(Enum):
    """The life of the process."""

    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    STOPPED = "stopped"


class SessionState(Enum):
    """The life of one session at this party."""

    CHECKING = "checking"
    CONSUMED = "consumed"
    RUNNING = "running"
    SIGNED = "signed"
    FAILED = "failed"


MOVES: Mapping[Enum, frozenset[Enum]] = MappingProxyType(
    {
        PartyState.STARTING: frozenset({PartyState.SERVING, PartyState.STOPPED}),
        PartyState.SERVING: frozenset({PartyState.DRAINING}),
        PartyState.DRAINING: frozenset({PartyState.STOPPED}),
        PartyState.STOPPED: frozenset(),
        SessionState.CHECKING: frozenset({SessionState.CONSUMED, SessionState.FAILED}),
        SessionState.CONSUMED: frozenset({SessionState.RUNNING, SessionState.FAILED}),
        SessionState.RUNNING: frozenset({SessionState.SIGNED, SessionState.FAILED}),
        SessionState.SIGNED: frozenset(),
        SessionState.FAILED: frozenset(),
    }
)


_Kind = TypeVar("_Kind", bound=Enum)


class State(Generic[_Kind]):
    """A state that only moves as the table says."""

    def __init__(self, start: _Kind) -> None:
        self._now = start

    @property
    def now(self) -> _Kind:
        """Where it stands."""
        return self._now

    def move(self, target: _Kind) -> None:
        """Go to another state.

        Raises:
            InternalError: the table knows no such move.
        """
        if target not in MOVES[self._now]:
            raise InternalError(f"no move from {self._now.value} to {target.value}")
        self._now = target
