"""Receipts on their way to the chain: batched, signed by every party, sent in one transaction. Survives restarts.

1. receipts without a batch, at most `max_size`, oldest first, become a batch: stored with its root first of all;
2. every party signs the root, after checking that it signed every receipt in the batch: stored;
3. one transaction anchors it: stored with its block and gas.
Each step is found again after a crash and repeated from there. If the transaction was sent and its answer lost, the
root is on the chain already, and is not sent again. One batch that cannot go on does not keep the others: each has its
own time for the next try. What a party disowns is set aside, the rest is batched anew; signatures that the chain
refuses are asked for again. The chain is asked later whether it still has a root: see recheck.py.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mpc_infer.chain.records import AnchorRecord, Block, TxResult
from mpc_infer.clock import Clock
from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.coordinator.parties import PartyDoor
from mpc_infer.coordinator.signing import Signing, split_signatures
from mpc_infer.errors import MpcInferError, ReceiptNotFound, TransactionFailed
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import Domain
from mpc_infer.ids import PartySetId
from mpc_infer.store import BatchRecord, BatchState
from mpc_infer.telemetry import Log

_LOG = Log("coordinator.anchoring")
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0


class Anchor(Protocol):
    """The chain as the outbox needs it; blocking. RegistryWriter is one."""

    def anchored(self, root: bytes, party_set: PartySetId) -> AnchorRecord | None:
        """What is known of a party set's root."""

    def head(self) -> Block:
        """The newest block."""

    def anchor(self, root: bytes, size: int, party_set: PartySetId, signatures: Sequence[bytes]) -> TxResult:
        """Send one transaction and wait until it is mined."""


@dataclass(frozen=True)
class AnchoringRules:
    """How receipts are batched and anchored.

    Attributes:
        max_size: receipts per batch.
        max_delay_s: seconds that the first of a batch waits for others.
        confirmations: blocks that must follow a root's before it counts as anchored.
    """

    domain: Domain
    party_set: PartySetId
    max_size: int
    max_delay_s: float
    confirmations: int = 0


@dataclass
class Try:
    """When a batch that did not get on is tried again, on the event loop's clock, and how long it waits after that."""

    due: float = 0.0
    pause_s: float = FIRST_BACKOFF_S

    def failed(self, now: float) -> None:
        """It did not get on."""
        self.due = now + self.pause_s
        self.pause_s = min(2 * self.pause_s, LONGEST_BACKOFF_S)


class Anchoring:
    """The outbox's task."""

    def __init__(
        self, ledger: Ledger, parties: Sequence[PartyDoor], chain: Anchor, rules: AnchoringRules, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._chain = chain
        self._rules = rules
        self._clock = clock
        self._signing = Signing(ledger, parties, rules.domain, clock)
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._waiting = 0
        self._tries: dict[bytes, Try] = {}
        self._sent: dict[bytes, TxResult] = {}

    def added(self) -> None:
        """A receipt was stored."""
        self._waiting += 1
        self._wake.set()
        if self._waiting >= self._rules.max_size:
            self._full.set()

    def wake(self) -> None:
        """There is something to do that is not a new receipt."""
        self._full.set()
        self._wake.set()

    async def run(self, anchored: Callable[[BatchRecord], Awaitable[None]]) -> None:
        """Batch, sign and anchor for ever: the body of a background task.

        Args:
            anchored: told of every batch whose root is on the chain.
        """
        pause_s: float | None = 0.0  # what a former run left behind
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._wake.wait()
            if self._wake.is_set():
                self._wake.clear()
                await self._gather()
            pause_s = await self._work(anchored)

    async def _gather(self) -> None:
        """Give other receipts time to join, unless the batch is full."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rules.max_delay_s):
                await self._full.wait()
        self._full.clear()
        self._waiting = 0

    async def _work(self, anchored: Callable[[BatchRecord], Awaitable[None]]) -> float | None:
        """Bring everything as far as it goes. Returns seconds until the next try; None: nothing is left."""
        loop = asyncio.get_running_loop()
        try:
            while await self._close_batch():
                pass
            batches = await self._ledger.do(lambda store: store.outbox.open_batches())
        except MpcInferError as error:
            _LOG.error("the outbox cannot be read", exception=error)
            return FIRST_BACKOFF_S
        self._tries = {batch.root: self._tries.get(batch.root, Try()) for batch in batches}
        for batch in batches:
            if self._tries[batch.root].due <= loop.time():
                await self._try_anchor(batch, anchored)
        return min((max(0.0, each.due - loop.time()) for each in self._tries.values()), default=None)

    async def _close_batch(self) -> bool:
        """Step 1. Returns whether there may be more."""
        size, now_ms = self._rules.max_size, self._clock.now_ms()
        receipts = await self._ledger.do(lambda store: store.outbox.unbatched_receipts(size))
        digests = [receipt.digest for receipt in receipts if receipt.party_set == self._rules.party_set]
        if not digests:
            return False
        root = merkle.root(digests)
        party_set = self._rules.party_set
        await self._ledger.do(lambda store: store.outbox.create_batch(root, party_set, digests, now_ms))
        return len(receipts) == size

    async def _try_anchor(self, batch: BatchRecord, anchored: Callable[[BatchRecord], Awaitable[None]]) -> None:
        try:
            done = await self._anchor(batch)
        except ReceiptNotFound:
            self._tries.pop(batch.root)
            self.wake()  # the batch is no more; what is left of it is batched anew
            return
        except MpcInferError as error:
            done = False
            _LOG.warning("a batch could not be anchored yet", root=batch.root, code=error.code, reason=error.message)
        if not done:
            self._tries[batch.root].failed(asyncio.get_running_loop().time())
            return
        self._tries.pop(batch.root)
        await anchored(batch)

    async def _anchor(self, batch: BatchRecord) -> bool:
        """Steps 2 and 3 for one batch. Returns whether it counts as anchored."""
        known = await asyncio.to_thread(self._chain.anchored, batch.root, batch.party_set)
        if known is None:
            result = self._sent[batch.root] = await self._send(batch)
        else:
            result = self._sent.get(batch.root) or _found(known)
        if not await self._confirmed(batch, result.block if known is None else known.block):
            return False
        self._sent.pop(batch.root, None)
        now_ms = self._clock.now_ms()
        await self._ledger.do(
            lambda store: store.outbox.anchor_batch(batch.root, result.hash, result.block, result.gas_used, now_ms)
        )
        _LOG.info("anchored", root=batch.root, receipts=len(batch.digests), block=result.block, gas=result.gas_used)
        return True

    async def _confirmed(self, batch: BatchRecord, block: int) -> bool:
        if self._rules.confirmations == 0:
            return True
        head = await asyncio.to_thread(self._chain.head)
        return head.number - block >= self._rules.confirmations

    async def _send(self, batch: BatchRecord) -> TxResult:
        """Step 3. Signatures that the chain refuses are asked for again, once: a key may have been rotated."""
        kept = batch.state is BatchState.SIGNED and batch.signatures is not None
        signatures = batch.signatures if kept and batch.signatures else await self._signing.sign(batch)
        try:
            return await self._send_signed(batch, signatures)
        except TransactionFailed as error:
            if not kept:
                raise
            _LOG.warning("the chain refuses a batch; it is signed again", root=batch.root, reason=error.message)
        return await self._send_signed(batch, await self._signing.sign(batch))

    async def _send_signed(self, batch: BatchRecord, signatures: bytes) -> TxResult:
        size, parts = len(batch.digests), split_signatures(signatures)
        return await asyncio.to_thread(self._chain.anchor, batch.root, size, batch.party_set, parts)


def _found(known: AnchorRecord) -> TxResult:
    """What is recorded for a root whose transaction's answer was lost: the block is known, hash and gas are not."""
    return TxResult(hash=b"", block=known.block, gas_used=0)
