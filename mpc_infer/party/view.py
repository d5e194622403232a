"""The chain as a party sees it: a head that is looked at in the background, and verdicts kept per block.

A steady request costs no round trip to the chain: when a new block appears, the pairs of model and owner that were
asked about lately are read for it at once.
"""

import asyncio
import contextlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

from mpc_infer.chain.records import Block, ModelRecord, ModelStatus, PartySetRecord
from mpc_infer.errors import (
    ChainError,
    ConfigError,
    ModelInactive,
    MpcInferError,
    NotPermitted,
    PartySetMismatch,
    RegistryTooOld,
)
from mpc_infer.ids import Address, ModelHash, PartySetId
from mpc_infer.telemetry import Log

_LOG = Log("party.view")
_CAPACITY = 1024
_WARM_PAIRS = 16
_START_TRIES = 30


class RegistryReader(Protocol):
    """What is needed of chain.Registry. Blocking; called in threads."""

    def head(self) -> Block:
        """The newest block."""

    def model(self, model_hash: ModelHash, block: int | None = None) -> ModelRecord:
        """A model version."""

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
    """

    def __init__(self, registry: RegistryReader, *, max_lag: int, poll_s: float) -> None:
        self._registry = registry
        self._max_lag = max_lag
        self._poll_s = poll_s
        self._head = -1
        self._verdicts: OrderedDict[tuple[int, bytes, str], Verdict] = OrderedDict()
        self._recent: OrderedDict[tuple[ModelHash, Address], None] = OrderedDict()
        self._task: asyncio.Task[None] | None = None

    @property
    def head(self) -> int:
        """Number of the newest block seen."""
        return self._head

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
        self._task = asyncio.create_task(self._poll(), name="registry-view")

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def check_block(self, block: int) -> None:
        """Refuse a block that this party does not know, or that is too old.

        Raises:
            RegistryTooOld: ahead of our head, or too far behind it.
            ChainError: the chain does not answer.
        """
        if block > self._head:
            await self._look()
        if block > self._head:
            raise RegistryTooOld(f"block {block} is ahead of this party's head {self._head}")
        if block < self._head - self._max_lag:
            raise RegistryTooOld(f"block {block} is more than {self._max_lag} behind this party's head {self._head}")

    async def check_model(
        self, block: int, model_hash: ModelHash, owner: Address, party_set: PartySetId
    ) -> ModelRecord:
        """Return the model's record if it is active at a block, for our party set, and the owner may use it.

        Raises:
            ModelNotFound, ModelInactive, PartySetMismatch, NotPermitted: it may not be used.
            ChainError: the chain does not answer.
        """
        verdict = await self._verdict(block, model_hash, owner)
        if verdict.model.status != ModelStatus.ACTIVE:
            raise ModelInactive(f"the model version is {verdict.model.status.name.lower()} at block {block}")
        if verdict.model.party_set != party_set:
            raise PartySetMismatch("the model version is deployed to another party set")
        if not verdict.may_use:
            raise NotPermitted(f"{owner} may not use this model", remedy="ask the model's owner")
        return verdict.model

    async def _verdict(self, block: int, model_hash: ModelHash, owner: Address) -> Verdict:
        key = (block, model_hash, owner)
        if key not in self._verdicts:
            self._keep(key, await asyncio.to_thread(self._read, block, model_hash, owner))
        self._remember((model_hash, owner))
        return self._verdicts[key]

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
        block = await asyncio.to_thread(self._registry.head)
        self._head = max(self._head, block.number)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            before = self._head
            try:
                await self._look()
                if self._head != before:
                    await self._warm()
            except MpcInferError as error:
                _LOG.warning("the registry cannot be read", code=error.code, reason=error.message)

    async def _warm(self) -> None:
        block = self._head
        for model_hash, owner in list(self._recent):
            if (block, model_hash, owner) not in self._verdicts:
                self._keep((block, model_hash, owner), await asyncio.to_thread(self._read, block, model_hash, owner))

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
