"""Answers are not kept for ever: an output share is of use to nobody once its owner has had the time to fetch it."""

import asyncio

from mpc_infer.clock import Clock
from mpc_infer.errors import StoreError
from mpc_infer.store import PartyStore
from mpc_infer.telemetry import Log

_LOG = Log("party.pruning")
LONGEST_PAUSE_S = 600.0


async def pruning(store: PartyStore, clock: Clock, keep_s: float) -> None:
    """Drop the answers that were stored long ago: the body of a background task.

    Args:
        store: where they are.
        clock: where the time comes from.
        keep_s: how long an answer is kept.
    """
    while True:
        try:
            await _drop(store, clock.now_ms() - int(keep_s * 1000))
        except StoreError as error:
            _LOG.error("old answers could not be dropped", exception=error)
        await asyncio.sleep(min(keep_s, LONGEST_PAUSE_S))


async def _drop(store: PartyStore, before_ms: int) -> None:
    """In small steps: jobs wait for the store meanwhile."""
    while dropped := await asyncio.to_thread(store.drop_answers, before_ms):
        _LOG.info("old answers dropped", answers=dropped)
