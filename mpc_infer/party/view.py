"""The chain as a party sees it: a head that is looked at in the background, and verdicts kept per block.

A steady request costs no round trip to the chain: when a new block appears in which no model changed, all that was read
for the block before holds for it too; otherwise the pairs of model and owner that were asked about lately are read for
it at once, before it becomes the head.
"""

import asyncio
import contextlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from mpc_infer.chain.records import Block, ModelRecord, ModelStatus, PartySetRecord
from mpc_infer.errors import (
    ChainError,
    ChainUnavailable,
    ConfigError,
    ModelInactive,
    MpcInferError,
    NotFound,
    NotPermitted,
    PartySetMismatch,
    RegistryTooOld,
)
from mpc_infer.ids import Address, ModelHash, PartySetId
from mpc_infer.rpc.background import Background
from mpc_infer.telemetry import Log

_LOG = Log("party.view")
_CAPACITY = 1024
_WARM_PAIRS = 16
_START_TRIES = 30


class RegistryReader(Protocol):
    """What is needed of chain.Registry. Blocking; called in threads."""

    def head(self) -> Block:
        """The newest block."""

    def block(self, number: int) -> Block:
        """A block by its number."""

    def model(self, model_hash: ModelHash, block: int | None = None) -> ModelRecord:
        """A model version."""

    def models_changed(self, first: int, last: int) -> bool:
        """Whether anything about any model changed in these blocks."""

    def may_use(self, model_hash: ModelHash, user: Address, block: int | None = None) -> bool:
        """Whether a user may use it."""

    def party_set(self, party_set: PartySetId, block: int | None = None) -> PartySetRecord:
        """A party set."""


@dataclass(frozen=True)
class Verdict:
    """What the registry says at one block about one model and one user."""

    model: ModelRecord
    may_use: bool


class RegistryView:
    """Cached reads of the registry.

    Args:
        registry: the blocking reader.
        max_lag: blocks that a request may lie behind the head.
        poll_s: seconds between looks at the head.
        stale_s: seconds without a look that worked until nothing is judged any more: what was revoked since then would
            go unseen.
        background: where the watch over the head runs.
    """

    def __init__(
        self,
        registry: RegistryReader,
        *,
        max_lag: int,
        poll_s: float,
        stale_s: float = 60.0,
        background: Background | None = None,
    ) -> None:
        self._registry = registry
        self._max_lag = max_lag
        self._poll_s = poll_s
        self._stale_s = stale_s
        self._background = background or Background()
        self._head = Block(-1, 0)
        self._compared = b""
        """Hash of the newest block that was compared with the head before it (see `_carry`)."""
        self._looked_at = 0.0
        self._looking = asyncio.Lock()
        self._changes = 0
        """How often the chain took blocks back. What was read before the last time is forgotten."""
        self._verdicts: OrderedDict[tuple[int, bytes, str], Verdict] = OrderedDict()
        self._recent: OrderedDict[tuple[ModelHash, Address], None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    @property
    def head(self) -> int:
        """Number of the newest block seen."""
        return self._head.number

    async def start(self, party_set: PartySetId, members: tuple[Address, ...]) -> None:
        """Look at the chain once, check that the party set is the configured one, and go on looking in the background.

        Raises:
            ConfigError: the registry knows other members.
            ChainError: the chain does not answer, or does not know the set.
        """
        record = await self._patiently(party_set)
        if record.members != members:
            raise ConfigError(
                f"the registry's party set is {', '.join(record.members)}; configured is {', '.join(members)}",
                remedy="put the peers in the registry's order",
            )
        self._task = self._background.start(self._poll(), "registry-view")

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(self._task, return_exceptions=True)

    async def check_block(self, block: int) -> None:
        """Refuse a block that this party does not know, or that is too old.

        Raises:
            RegistryTooOld: ahead of our head, or too far behind it.
            ChainError: the chain does not answer, or has not for too long.
        """
        if block > self.head:
            async with self._looking:
                if block > self.head:
                    await self._look()
        if time.monotonic() - self._looked_at > self._stale_s:
            raise ChainUnavailable(f"this party has not seen the chain for {self._stale_s:.0f} s")
        if block > self.head:
            raise RegistryTooOld(f"block {block} is ahead of this party's head {self.head}")
        if block < self.head - self._max_lag:
            raise RegistryTooOld(f"block {block} is more than {self._max_lag} behind this party's head {self.head}")

    async def check_model(
        self, block: int, model_hash: ModelHash, owner: Address, party_set: PartySetId
    ) -> ModelRecord:
        """Return the model's record if it is active, for our party set, and the owner may use it.

        All of it must hold at the block named, which the receipt will name too, and at this party's own head: the
        caller chooses the block, and must not be able to choose one from before a revocation.

        Raises:
            ModelNotFound, ModelInactive, PartySetMismatch, NotPermitted: it may not be used.
            ChainError: the chain does not answer.
        """
        record = await self._judge(block, model_hash, owner, party_set)
        head = self.head
        if head != block:
            await self._judge(head, model_hash, owner, party_set)
        return record

    async def _judge(self, block: int, model_hash: ModelHash, owner: Address, party_set: PartySetId) -> ModelRecord:
        verdict = await self._verdict(block, model_hash, owner)
        if verdict.model.status != ModelStatus.ACTIVE:
            raise ModelInactive(f"the model version is {verdict.model.status.name.lower()} at block {block}")
        if verdict.model.party_set != party_set:
            raise PartySetMismatch("the model version is deployed to another party set")
        if not verdict.may_use:
            raise NotPermitted(f"{owner} may not use this model at block {block}", remedy="ask the model's owner")
        return verdict.model

    async def _verdict(self, block: int, model_hash: ModelHash, owner: Address) -> Verdict:
        self._remember((model_hash, owner))
        known = self._verdicts.get((block, model_hash, owner))
        return known or await self._ask(block, model_hash, owner)

    async def _ask(self, block: int, model_hash: ModelHash, owner: Address) -> Verdict:
        changes = self._changes
        verdict = await asyncio.to_thread(self._read, block, model_hash, owner)
        if changes == self._changes:
            self._keep((block, model_hash, owner), verdict)
        return verdict

    def _read(self, block: int, model_hash: ModelHash, owner: Address) -> Verdict:
        record = self._registry.model(model_hash, block=block)
        return Verdict(record, self._registry.may_use(model_hash, owner, block=block))

    def _keep(self, key: tuple[int, bytes, str], verdict: Verdict) -> None:
        self._verdicts[key] = verdict
        while len(self._verdicts) > _CAPACITY:
            self._verdicts.popitem(last=False)

    def _remember(self, pair: tuple[ModelHash, Address]) -> None:
        self._recent[pair] = None
        self._recent.move_to_end(pair)
        while len(self._recent) > _WARM_PAIRS:
            self._recent.popitem(last=False)

    async def _look(self) -> None:
        """Read the head. Blocks that were taken back take with them all that was read."""
        head = await asyncio.to_thread(self._registry.head)
        if self.head >= 0 and not await self._follows(head):
            self._forget()
        await self._carry(head)
        self._head, self._looked_at = head, time.monotonic()

    async def _follows(self, head: Block) -> bool:
        """Whether the head that we know is still part of the chain."""
        known = self._head
        if known.hash in (head.hash, head.parent):
            return True
        if head.number <= known.number:
            return False
        try:
            return (await asyncio.to_thread(self._registry.block, known.number)).hash == known.hash
        except NotFound:
            return False

    def _forget(self) -> None:
        _LOG.warning("the chain took blocks back", block=self.head)
        self._changes += 1
        self._verdicts.clear()

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self._follow()
            except MpcInferError as error:
                _LOG.warning("the registry cannot be read", code=error.code, reason=error.message)

    async def _follow(self) -> None:
        coming = await asyncio.to_thread(self._registry.head)
        if coming.hash != self._head.hash:
            await self._carry(coming)
            await self._warm(coming.number)
        async with self._looking:
            await self._look()
            if self._head.number == coming.number and self._head.hash != coming.hash:
                self._forget()  # what was just read may be of the other block of that number

    async def _carry(self, coming: Block) -> None:
        """What was read for the head holds for a later block, if no model changed in between. Read once per block.

        If the later block turns out not to follow the head, all is forgotten by who finds out, as ever.
        """
        known, changes = self._head, self._changes
        if not 0 <= known.number < coming.number <= known.number + self._max_lag or coming.hash == self._compared:
            return
        self._compared = coming.hash
        try:
            if await asyncio.to_thread(self._registry.models_changed, known.number + 1, coming.number):
                return
        except MpcInferError as error:
            _LOG.info("the registry's logs cannot be read; models are read anew", code=error.code)
            return
        if changes == self._changes:
            for (block, model_hash, owner), verdict in list(self._verdicts.items()):
                if block == known.number:
                    self._keep((coming.number, model_hash, owner), verdict)

    async def _warm(self, block: int) -> None:
        for model_hash, owner in list(self._recent):
            if (block, model_hash, owner) not in self._verdicts:
                try:
                    await self._ask(block, model_hash, owner)
                except MpcInferError as error:
                    _LOG.info("a model is no longer read ahead", model=model_hash, code=error.code)
                    self._recent.pop((model_hash, owner), None)

    async def _patiently(self, party_set: PartySetId) -> PartySetRecord:
        for _ in range(_START_TRIES - 1):
            try:
                await self._look()
                return await asyncio.to_thread(self._registry.party_set, party_set)
            except ChainError as error:
                _LOG.warning("waiting for the chain", reason=error.message)
                await asyncio.sleep(self._poll_s)
        await self._look()
        return await asyncio.to_thread(self._registry.party_set, party_set)
