"""Results are not kept for ever: their owners have had the time to fetch them."""

import asyncio

from mpc_infer.clock import Clock
from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.errors import StoreError
from mpc_infer.telemetry import Log

_LOG = Log("coordinator.pruning")
LONGEST_PAUSE_S = 600.0


async def pruning(ledger: Ledger, clock: Clock, keep_s: float) -> None:
    """Drop the results of jobs that ended long ago: the body of a background task.

    Args:
        ledger: where they are.
        clock: where the time comes from.
        keep_s: how long a result is kept.
    """
    while True:
        before_ms = clock.now_ms() - int(keep_s * 1000)
        try:
            await _drop(ledger, before_ms)
        except StoreError as error:
            _LOG.error("old results could not be dropped", exception=error)
        await asyncio.sleep(min(keep_s, LONGEST_PAUSE_S))


async def _drop(ledger: Ledger, before_ms: int) -> None:
    """In small steps: jobs wait for the store meanwhile."""
    while dropped := await ledger.do(lambda store: store.drop_results(before_ms)):
        _LOG.info("old results dropped", jobs=dropped)
