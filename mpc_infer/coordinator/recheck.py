"""Whether the chain still has what it had: a block may be dropped after it was seen."""

import asyncio
from collections.abc import Callable

from mpc_infer.coordinator.anchoring import Anchor
from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.errors import MpcInferError
from mpc_infer.ids import PartySetId
from mpc_infer.telemetry import Log

_LOG = Log("coordinator.recheck")
RECENT = 256
"""How many batches are looked at again after a restart; while the coordinator runs, no more can be outstanding."""


class Recheck:
    """Asks once more for every root that was anchored, some time later. What is gone is sent again.

    Args:
        reopened: told whenever a batch must be sent again.
    """

    def __init__(self, ledger: Ledger, chain: Anchor, pause_s: float, reopened: Callable[[], None]) -> None:
        self._ledger = ledger
        self._chain = chain
        self._pause_s = pause_s
        self._reopened = reopened
        self._young: set[bytes] = set()
        self._sure: set[bytes] = set()

    async def run(self) -> None:
        """The body of a background task. A root is looked at when it is at least one pause old."""
        while True:
            await asyncio.sleep(self._pause_s)
            try:
                await self._look()
            except MpcInferError as error:
                _LOG.warning("anchored roots could not be looked at again", code=error.code, reason=error.message)

    async def _look(self) -> None:
        batches = await self._ledger.do(lambda store: store.outbox.recent_anchored(RECENT))
        for batch in batches:
            if batch.root in self._young and batch.root not in self._sure:
                await self._look_at(batch.root, batch.party_set)
        self._young = {batch.root for batch in batches}
        self._sure &= self._young

    async def _look_at(self, root: bytes, party_set: PartySetId) -> None:
        if await asyncio.to_thread(self._chain.anchored, root, party_set) is not None:
            self._sure.add(root)
            return
        _LOG.error("the chain no longer has a root that was anchored; it is sent again", root=root)
        await self._ledger.do(lambda store: store.outbox.reopen_batch(root))
        self._reopened()
