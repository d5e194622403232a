"""The life of a job, as the coordinator sees it. ::

    ACCEPTED ──> RUNNING ──> DONE ──> ANCHORED
        │           │
        └───────────┴──> FAILED

ACCEPTED: stored, waits for a lane. RUNNING: the parties are at work. DONE: result and receipt are stored.
ANCHORED: the receipt's batch root is on the chain. FAILED: the problem is stored; the job never runs again.

RUNNING lives in memory only: a job costs one commit when it is accepted and one when it ends; which of them waits for
the disk says jobs.py. A job that is found unfinished when the coordinator starts may have run: the parties are asked
for their answers (recovery.py).
"""

from collections.abc import Mapping
from types import MappingProxyType

from mpc_infer.errors import InternalError
from mpc_infer.store import JobState

MOVES: Mapping[JobState, frozenset[JobState]] = MappingProxyType(
    {
        JobState.ACCEPTED: frozenset({JobState.RUNNING, JobState.FAILED}),
        JobState.RUNNING: frozenset({JobState.DONE, JobState.FAILED}),
        JobState.DONE: frozenset({JobState.ANCHORED}),
        JobState.ANCHORED: frozenset(),
        JobState.FAILED: frozenset(),
    }
)
"""From each state to those that may follow."""

TERMINAL = frozenset(state for state, following in MOVES.items() if not following)
"""States that nothing follows: a watch ends there."""


def move(current: JobState, following: JobState) -> JobState:
    """The state that follows.

    Raises:
        InternalError: the move is not legal.
    """
    if following not in MOVES[current]:
        raise InternalError(f"a job cannot go from {current.name} to {following.name}")
    return following
