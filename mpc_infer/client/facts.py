"""What a client believes before it sends anything: what the chain says, and of the coordinator only what agrees."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mpc_infer.chain.records import ContractAddresses, ModelRecord, PartyRecord
from mpc_infer.chain.registry import Registry
from mpc_infer.client.transport import CoordinatorDoor
from mpc_infer.encoding import same_digest, to_address
from mpc_infer.errors import InvalidRequest, ModelNotFound, PartySetMismatch
from mpc_infer.graph.ir import Graph
from mpc_infer.ids import Address, PartySetId
from mpc_infer.model.manifest import Manifest
from mpc_infer.sharing.sealing import SealingPublicKey, Suite
from mpc_infer.v1 import common_pb2, coordinator_pb2

MAX_CACHED = 256
CALL_TIMEOUT_S = 30.0
MAX_LISTED = 10_000


@dataclass(frozen=True)
class PartyFacts:
    """One party: its address and its sealing key of the suite in use, both as the PartyRegistry has them."""

    address: Address
    sealing_key: SealingPublicKey


@dataclass(frozen=True)
class NetworkFacts:
    """The party set that the coordinator serves, in its order."""

    party_set: PartySetId
    parties: tuple[PartyFacts, ...]

    @property
    def members(self) -> tuple[Address, ...]:
        """The parties' addresses in the party set's order."""
        return tuple(party.address for party in self.parties)


@dataclass(frozen=True)
class ModelFacts:
    """One model version whose manifest hashes to what the chain has."""

    manifest: Manifest
    graph: Graph


Value = TypeVar("Value")


class Cache(Generic[Value]):
    """Remembers answers for some seconds; at most `MAX_CACHED` of them."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._entries: dict[str, tuple[float, Value]] = {}

    async def get(self, key: str, load: Callable[[], Awaitable[Value]]) -> Value:
        """The cached value, or what load returns."""
        entry = self._entries.get(key)
        if entry is not None and time.monotonic() - entry[0] < self._ttl_s:
            return entry[1]
        value = await load()
        if len(self._entries) >= MAX_CACHED:
            self._entries.clear()
        self._entries[key] = (time.monotonic(), value)
        return value

    def clear(self) -> None:
        """Believe nothing that was read before."""
        self._entries.clear()


class Facts:
    """Reads and checks facts about the network and its models."""

    def __init__(self, door: CoordinatorDoor, registry: Registry, suite: Suite, ttl_s: float) -> None:
        self._door = door
        self._registry = registry
        self._suite = suite
        self._networks: Cache[NetworkFacts] = Cache(ttl_s)
        self._models: Cache[ModelFacts] = Cache(ttl_s)

    def forget(self) -> None:
        """Read everything again next time."""
        self._networks.clear()
        self._models.clear()

    async def network(self, deadline: float = math.inf) -> NetworkFacts:
        """The party set and its keys.

        Args:
            deadline: when to give up asking the coordinator, on the clock of ``time.monotonic()``.

        Raises:
            PartySetMismatch: the coordinator names another chain, contract, party or key than the chain does.
        """
        return await self._networks.get("", lambda: self._load_network(_call_until(deadline)))

    async def model(self, name: str, deadline: float = math.inf) -> ModelFacts:
        """The active version of a name.

        Args:
            name: of the model.
            deadline: as for `network`.

        Raises:
            ModelNotFound: the chain has no active version, or the coordinator does not have its manifest.
            PartySetMismatch: the version belongs to another party set.
            InvalidRequest: the manifest names another owner, name, version or party set than the registry.
        """
        return await self._models.get(name, lambda: self._load_model(name, deadline))

    async def summaries(self, name: str = "") -> tuple[ModelFacts, ...]:
        """All versions that the coordinator lists, each consistent in itself."""
        found: list[ModelFacts] = []
        while len(found) < MAX_LISTED:
            after = found[-1].manifest.hash if found else b""
            page = await self._listed(_call_until(math.inf), name=name, after=after)
            if not page:
                return tuple(found)
            found.extend(page)
        raise InvalidRequest(f"the coordinator lists more than {MAX_LISTED} models", remedy="ask for one name")

    async def _listed(self, deadline: float, **wanted: str | bytes) -> list[ModelFacts]:
        request = coordinator_pb2.ListModelsRequest(**wanted)  # type: ignore[arg-type]
        answer = await self._door.call("ListModels", request, deadline)
        return [_model_facts(summary) for summary in answer.models]

    async def _load_network(self, deadline: float) -> NetworkFacts:
        answer = await self._door.call("GetNetwork", coordinator_pb2.GetNetworkRequest(), deadline)
        return await asyncio.to_thread(self._checked_network, answer)

    def _checked_network(self, answer: coordinator_pb2.GetNetworkResponse) -> NetworkFacts:
        if answer.chain_id != self._registry.chain_id:
            raise PartySetMismatch(f"the coordinator serves chain {answer.chain_id}, not {self._registry.chain_id}")
        _check_contracts(answer, self._registry.addresses)
        party_set = PartySetId(answer.party_set)
        record = self._registry.party_set(party_set)
        named = tuple(to_address(party.address) for party in answer.parties)
        if named != record.members:
            raise PartySetMismatch(f"the coordinator names the parties {named}, the chain {record.members}")
        parties = tuple(self._checked_party(info) for info in answer.parties)
        return NetworkFacts(party_set, parties)

    def _checked_party(self, info: common_pb2.PartyInfo) -> PartyFacts:
        record = self._registry.party(to_address(info.address))
        return PartyFacts(record.address, _sealing_key(info, record, self._suite))

    async def _load_model(self, name: str, deadline: float) -> ModelFacts:
        network = await self.network(deadline)
        record = await asyncio.to_thread(self._active, name)
        listed = await self._listed(_call_until(deadline), model_hash=record.model_hash)
        facts = next((each for each in listed if each.manifest.hash == record.model_hash), None)
        if facts is None:
            raise ModelNotFound(f"the coordinator does not have the active version of {name!r}")
        if facts.manifest.party_set_id != network.party_set:
            raise PartySetMismatch(f"model {name!r} belongs to another party set than the coordinator's")
        check_record(facts.manifest, record)
        return facts

    def _active(self, name: str) -> ModelRecord:
        return self._registry.model(self._registry.active_model(name))


def _call_until(deadline: float) -> float:
    return min(deadline, time.monotonic() + CALL_TIMEOUT_S)


def check_record(manifest: Manifest, record: ModelRecord) -> None:
    """The parties sign only for the manifest's owner; name and version are what the owner told the registry.

    Raises:
        InvalidRequest: the registry says something else than the manifest.
    """
    said = (manifest.owner, manifest.name, manifest.version, manifest.party_set_id)
    known = (record.owner, record.name, record.version, record.party_set)
    for what, in_manifest, in_registry in zip(("owner", "name", "version", "party set"), said, known, strict=True):
        if in_manifest != in_registry:
            raise InvalidRequest(
                f"the registry names another {what} for this version of {record.name!r} than its manifest",
                remedy="do not use this version; tell the model's owner",
            )


def _check_contracts(answer: coordinator_pb2.GetNetworkResponse, ours: ContractAddresses) -> None:
    pairs = (
        ("PartyRegistry", answer.party_registry, ours.party_registry),
        ("ModelRegistry", answer.model_registry, ours.model_registry),
        ("ReceiptAnchor", answer.receipt_anchor, ours.receipt_anchor),
    )
    for name, theirs, expected in pairs:
        if to_address(theirs) != expected:
            raise PartySetMismatch(f"the coordinator uses another {name} than {expected}", remedy="check [chain]")


def _sealing_key(info: common_pb2.PartyInfo, record: PartyRecord, suite: Suite) -> SealingPublicKey:
    offered = next((key for key in info.sealing_keys if key.suite == int(suite)), None)
    if offered is None:
        raise PartySetMismatch(f"party {info.index} publishes no key of suite {suite.name}", party=info.index)
    key = SealingPublicKey(suite, offered.public_key)
    if key.key_id not in record.sealing_key_ids:
        raise PartySetMismatch(
            f"the sealing key offered for party {info.index} is not registered on the chain",
            remedy="do not send anything through this coordinator before this is understood",
            party=info.index,
        )
    return key


def _model_facts(summary: coordinator_pb2.ModelSummary) -> ModelFacts:
    manifest, graph = Manifest.from_bytes(summary.manifest), Graph.from_bytes(summary.graph)
    if not same_digest(manifest.hash, summary.model_hash):
        raise InvalidRequest("the coordinator lists a manifest under a hash that is not its own")
    if not same_digest(graph.digest, manifest.graph_digest):
        raise InvalidRequest(f"the graph listed for {manifest.name!r} is not the one in its manifest")
    return ModelFacts(manifest, graph)
