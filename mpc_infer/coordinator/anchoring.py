"""Receipts on their way to the chain: batched, signed by every party, sent in one transaction. Survives restarts.

1. receipts without a batch, at most `max_size`, oldest first, become a batch: stored with its root first of all;
2. every party signs the root, after checking that it signed every receipt in the batch: stored;
3. one transaction anchors it: stored with its block and gas.
Each step is found again after a crash and repeated from there. If the transaction was sent and its answer lost, the
root is on the chain already, and is not sent again.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mpc_infer.chain.records import AnchorRecord, TxResult
from mpc_infer.clock import Clock
from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.coordinator.parties import PartyDoor, on_all
from mpc_infer.encoding import same_digest
from mpc_infer.errors import BadSignature, InternalError, InvalidRequest, MpcInferError
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import BatchRoot, Domain, check_signer
from mpc_infer.ids import PartySetId
from mpc_infer.rpc.messages import SIGNATURE_BYTES, signature_from
from mpc_infer.store import BatchRecord, BatchState
from mpc_infer.telemetry import Log
from mpc_infer.v1 import party_pb2

_LOG = Log("coordinator.anchoring")
SIGN_TIMEOUT_S = 20.0
FIRST_BACKOFF_S = 0.5
LONGEST_BACKOFF_S = 30.0


class Anchor(Protocol):
    """The chain as the outbox needs it; blocking. RegistryWriter is one."""

    def anchored(self, root: bytes, party_set: PartySetId) -> AnchorRecord | None:
        """What is known of a party set's root."""

    def anchor(self, root: bytes, size: int, party_set: PartySetId, signatures: Sequence[bytes]) -> TxResult:
        """Send one transaction and wait until it is mined."""


@dataclass(frozen=True)
class AnchoringRules:
    """How receipts are batched: receipts per batch, and seconds that the first of a batch waits for others."""

    domain: Domain
    party_set: PartySetId
    max_size: int
    max_delay_s: float


class Anchoring:
    """The outbox's task."""

    def __init__(
        self, ledger: Ledger, parties: Sequence[PartyDoor], chain: Anchor, rules: AnchoringRules, clock: Clock
    ) -> None:
        self._ledger = ledger
        self._parties = parties
        self._chain = chain
        self._rules = rules
        self._clock = clock
        self._wake = asyncio.Event()
        self._full = asyncio.Event()
        self._waiting = 0

    def added(self) -> None:
        """A receipt was stored."""
        self._waiting += 1
        self._wake.set()
        if self._waiting >= self._rules.max_size:
            self._full.set()

    async def run(self, anchored: Callable[[BatchRecord], Awaitable[None]]) -> None:
        """Batch, sign and anchor for ever: the body of a background task.

        Args:
            anchored: told of every batch whose root is on the chain.
        """
        backoff = FIRST_BACKOFF_S
        self._wake.set()  # what a former run left behind
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._gather()
            if await self._work(anchored):
                backoff = FIRST_BACKOFF_S
                continue
            await asyncio.sleep(backoff)
            backoff = min(2 * backoff, LONGEST_BACKOFF_S)
            self._wake.set()

    async def _gather(self) -> None:
        """Give other receipts time to join, unless the batch is full."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._rules.max_delay_s):
                await self._full.wait()
        self._full.clear()
        self._waiting = 0

    async def _work(self, anchored: Callable[[BatchRecord], Awaitable[None]]) -> bool:
        """Bring everything as far as it goes. Returns whether nothing is left."""
        try:
            while await self._close_batch():
                pass
            batches = await self._ledger.do(lambda store: store.outbox.open_batches())
        except MpcInferError as error:
            _LOG.error("the outbox cannot be read", exception=error)
            return False
        results = [await self._try_anchor(batch, anchored) for batch in batches]
        return all(results)

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

    async def _try_anchor(self, batch: BatchRecord, anchored: Callable[[BatchRecord], Awaitable[None]]) -> bool:
        try:
            await self._anchor(batch)
        except MpcInferError as error:
            _LOG.warning("a batch could not be anchored yet", root=batch.root, code=error.code, reason=error.message)
            return False
        await anchored(batch)
        return True

    async def _anchor(self, batch: BatchRecord) -> None:
        signatures = batch.signatures
        if batch.state is BatchState.PENDING or signatures is None:
            signatures = await self._signed(batch)
        known = await asyncio.to_thread(self._chain.anchored, batch.root, batch.party_set)
        result = _found(known) if known is not None else await self._send(batch, signatures)
        now_ms = self._clock.now_ms()
        await self._ledger.do(
            lambda store: store.outbox.anchor_batch(batch.root, result.hash, result.block, result.gas_used, now_ms)
        )
        _LOG.info("anchored", root=batch.root, receipts=len(batch.digests), block=result.block, gas=result.gas_used)

    async def _signed(self, batch: BatchRecord) -> bytes:
        """Step 2."""
        request = party_pb2.SignRootRequest(receipt_digests=batch.digests)
        answers = await on_all(self._parties, lambda party: party.call("SignRoot", request, SIGN_TIMEOUT_S))
        digest = BatchRoot(batch.root, len(batch.digests), batch.party_set).digest(self._rules.domain)
        for party, answer in zip(self._parties, answers, strict=True):
            _check_root(party, answer, batch.root, digest)
        signatures = b"".join(answer.signature.signature for answer in answers)
        await self._ledger.do(lambda store: store.outbox.sign_batch(batch.root, signatures))
        return signatures

    async def _send(self, batch: BatchRecord, signatures: bytes) -> TxResult:
        """Step 3."""
        size, parts = len(batch.digests), split_signatures(signatures)
        return await asyncio.to_thread(self._chain.anchor, batch.root, size, batch.party_set, parts)


def split_signatures(joined: bytes) -> list[bytes]:
    """The signatures of a stored batch.

    Raises:
        InternalError: not a whole number of them.
    """
    if len(joined) % SIGNATURE_BYTES:
        raise InternalError("a stored batch has broken signatures")
    return [joined[start : start + SIGNATURE_BYTES] for start in range(0, len(joined), SIGNATURE_BYTES)]


def _found(known: AnchorRecord) -> TxResult:
    """What is recorded for a root whose transaction's answer was lost: the block is known, hash and gas are not."""
    return TxResult(hash=b"", block=known.block, gas_used=0)


def _check_root(party: PartyDoor, answer: party_pb2.SignRootResponse, root: bytes, digest: bytes) -> None:
    if not same_digest(answer.root, root):
        raise InvalidRequest(f"party {party.index} signed another root", party=party.index)
    signer, signature = signature_from(answer.signature)
    if signer != party.address:
        raise BadSignature(f"party {party.index} signed in another name", party=party.index)
    check_signer(digest, signature, party.address)
