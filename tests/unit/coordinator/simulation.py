"""A network in one process: a chain that is a dictionary, and parties that really open, add, commit and sign.

The model is y = x + b, which needs no communication among the parties: shares of x and b are added. Everything around
it (sealing, commitments, signatures, batches) is the real thing.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mpc_infer.chain.records import (
    AnchorRecord,
    Block,
    ContractAddresses,
    ModelRecord,
    ModelStatus,
    PartyRecord,
    PartySetRecord,
    TxResult,
)
from mpc_infer.client.aio import AsyncClient
from mpc_infer.client.config import ClientConfig
from mpc_infer.client.core import Core
from mpc_infer.clock import ManualClock
from mpc_infer.coordinator.config import CoordinatorConfig
from mpc_infer.coordinator.server import running
from mpc_infer.encoding import digest, to_address
from mpc_infer.errors import (
    ChainUnavailable,
    JobConflict,
    ModelNotFound,
    NotFound,
    PeerTimeout,
    ReceiptNotFound,
    SessionAborted,
    TransactionFailed,
)
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import BatchRoot, Domain, JobRequest, ModelHolding, Receipt, engine_word, sign
from mpc_infer.graph.ir import Graph, Node, Op, TensorSpec
from mpc_infer.graph.onnx_import import ImportedModel
from mpc_infer.identity.signer import Signer
from mpc_infer.model.manifest import Manifest
from mpc_infer.rpc.messages import sealed_from, sealed_to, sealing_key_from, sealing_key_to, signature_to
from mpc_infer.sharing import (
    SealingKeys,
    decode_tensors,
    encode_tensors,
    fresh_salt,
    input_context,
    open_commitment,
    output_context,
    seal,
    sealed_input_context,
    sealed_model_context,
    sealed_result_context,
    share_commitment,
    split_opening,
)
from mpc_infer.v1 import common_pb2, coordinator_pb2, party_pb2

PARTY_SET = bytes(range(32))
CONTRACTS = ContractAddresses(*(to_address(bytes([byte]) * 20) for byte in (1, 2, 3)))
START_MS = 1_750_000_000_000
BIAS = np.array([0.5, -1.0, 2.0])
GRAPH = Graph(
    inputs=(TensorSpec("x", (None, 3)),),
    outputs=(TensorSpec("y", (None, 3)),),
    weights=(TensorSpec("b", (3,)),),
    nodes=(Node("add", Op.ADD, ("x", "b"), ("y",)),),
)
IMPORTED = ImportedModel(GRAPH, {"b": BIAS})


class Chain:
    """What a Registry and a RegistryWriter say, from dictionaries."""

    chain_id = 31337
    addresses = CONTRACTS
    receipt_domain = Domain(31337, CONTRACTS.receipt_anchor)
    model_domain = Domain(31337, CONTRACTS.model_registry)

    def __init__(self, parties: dict[str, PartyRecord], caller: str) -> None:
        self.parties = parties
        self.caller = caller
        self.models: dict[bytes, ModelRecord] = {}
        self.users: set[tuple[bytes, str]] = set()
        self.anchors: dict[bytes, AnchorRecord] = {}
        self.height = 1
        self.down = False
        self.lose_next_answer = False
        self.reads = 0

    def _up(self) -> None:
        self.reads += 1
        if self.down:
            raise ChainUnavailable("the chain is down")

    def _mined(self) -> TxResult:
        self.height += 1
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise ChainUnavailable("the answer was lost")
        return TxResult(self.height.to_bytes(32, "big"), self.height, 21_000)

    def head(self) -> Block:
        self._up()
        return Block(self.height, START_MS // 1000)

    def party_set(self, party_set: bytes, block: int | None = None) -> PartySetRecord:
        self._up()
        if party_set != PARTY_SET:
            raise NotFound("no such set")
        return PartySetRecord(PARTY_SET, tuple(self.parties), len(self.parties), 0)

    def party(self, address: str, block: int | None = None) -> PartyRecord:
        self._up()
        if address not in self.parties:
            raise NotFound("no such party")
        return self.parties[address]

    def signer_valid(self, identity: str, signer: str, timestamp: int, block: int | None = None) -> bool:
        return identity == signer

    def model(self, model_hash: bytes, block: int | None = None) -> ModelRecord:
        self._up()
        if model_hash not in self.models:
            raise ModelNotFound("no such model")
        return self.models[model_hash]

    def active_model(self, name: str, block: int | None = None) -> bytes:
        self._up()
        for record in self.models.values():
            if record.name == name and record.status is ModelStatus.ACTIVE:
                return record.model_hash
        raise ModelNotFound("no active version")

    def propose(self, model_hash: bytes, name: str, version: int, party_set: bytes) -> TxResult:
        self._up()
        if model_hash in self.models:
            raise TransactionFailed("proposed before")
        record = ModelRecord(model_hash, self.caller, name, version, party_set, ModelStatus.PROPOSED, False)
        self.models[model_hash] = record
        return self._mined()

    def _move(self, model_hash: bytes, status: ModelStatus) -> TxResult:
        self._up()
        self.models[model_hash] = replace(self.models[model_hash], status=status)
        return self._mined()

    def stage(self, model_hash: bytes, holdings: list[bytes]) -> TxResult:
        return self._move(model_hash, ModelStatus.STAGED)

    def activate(self, model_hash: bytes) -> TxResult:
        return self._move(model_hash, ModelStatus.ACTIVE)

    def deprecate(self, model_hash: bytes) -> TxResult:
        return self._move(model_hash, ModelStatus.DEPRECATED)

    def set_public(self, model_hash: bytes, public: bool) -> TxResult:
        return self._mined()

    def set_user(self, model_hash: bytes, user: str, allowed: bool) -> TxResult:
        (self.users.add if allowed else self.users.discard)((model_hash, user))
        return self._mined()

    def signer_revoked(self, identity: str, signer: str, timestamp: int, block: int | None = None) -> bool:
        return False

    def anchored(self, root: bytes, party_set: bytes, block: int | None = None) -> AnchorRecord | None:
        self._up()
        found = self.anchors.get(root)
        return found if found is not None and found.party_set == party_set else None

    def anchor(self, root: bytes, size: int, party_set: bytes, signatures: list[bytes]) -> TxResult:
        self._up()
        if root in self.anchors:
            raise TransactionFailed("anchored before")
        self.anchors[root] = AnchorRecord(root, size, START_MS // 1000, self.height + 1, party_set)
        return self._mined()


class Hall:
    """Where the parties of a session meet."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.commitments: dict[bytes, dict[int, bytes]] = {}
        self.changed = asyncio.Condition()
        self.aborted: dict[bytes, str] = {}

    async def exchange(self, session: bytes, index: int, commitment: bytes) -> list[bytes]:
        async with self.changed:
            table = self.commitments.setdefault(session, {})
            table[index] = commitment
            self.changed.notify_all()
            await self.changed.wait_for(lambda: len(table) == self.size or session in self.aborted)
        if session in self.aborted:
            missing = next((place for place in range(self.size) if place not in table), None)
            raise PeerTimeout("the session was called off", party=missing)
        return [table[place] for place in range(self.size)]

    async def abort(self, session: bytes, reason: str) -> None:
        async with self.changed:
            self.aborted[session] = reason
            self.changed.notify_all()


Hook = Callable[["Party", Any], Awaitable[Any]]


@dataclass
class Party:
    """A party in the same process. `hooks` replace a method's answer, to misbehave."""

    index: int
    hall: Hall
    domain: Domain
    model_domain: Domain
    signer: Signer = field(default_factory=Signer.generate)
    keys: SealingKeys = field(default_factory=SealingKeys.generate)
    hooks: dict[str, Hook] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.models: dict[bytes, tuple[Manifest, dict[str, Any]]] = {}
        self.answers: dict[bytes, tuple[bytes, Any]] = {}
        self.signed: set[bytes] = set()
        self.material: set[bytes] = set()

    @property
    def address(self) -> Any:
        return self.signer.address

    async def watch(self, lost: Callable[[], None]) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.calls.append("close")

    async def call(self, method: str, request: Any, timeout_s: float) -> Any:
        self.calls.append(method)
        hook = self.hooks.get(method)
        work = hook(self, request) if hook is not None else getattr(self, "on_" + method)(request)
        try:
            async with asyncio.timeout(timeout_s):
                return await work
        except TimeoutError as error:
            raise PeerTimeout(f"party {self.index} timed out") from error

    async def on_GetInfo(self, request: Any) -> party_pb2.GetInfoResponse:  # noqa: N802
        keys = [sealing_key_to(key) for key in self.keys.public_keys]
        info = common_pb2.PartyInfo(index=self.index, address=bytes.fromhex(self.address[2:]), sealing_keys=keys)
        return party_pb2.GetInfoResponse(info=info, party_set=PARTY_SET, lanes=1)

    async def on_InstallModel(self, request: party_pb2.InstallModelRequest) -> Any:  # noqa: N802
        manifest = Manifest.from_bytes(request.manifest)
        context = sealed_model_context(manifest.hash, self.address)
        _, data = split_opening(self.keys.unseal(sealed_from(request.sealed_share), context))
        self.models[manifest.hash] = (manifest, decode_tensors(data))
        holding = sign(ModelHolding(manifest.hash, PARTY_SET), self.model_domain, self.signer)
        return party_pb2.InstallModelResponse(holding=signature_to(self.address, holding))

    async def on_PrepareMaterial(self, request: party_pb2.PrepareMaterialRequest) -> Any:  # noqa: N802
        self.material.update([request.material_id, *request.further_ids])
        return party_pb2.PrepareMaterialResponse(plan_digest=bytes(32), offline_ms=1.0, material_bytes=64)

    async def on_RunJob(self, message: party_pb2.RunJobRequest) -> Any:  # noqa: N802
        request = JobRequest.from_words(message.job_request)
        known = self.answers.get(request.job_id)
        if known is not None:
            if known[0] != message.job_request:
                raise JobConflict("other contents")
            return known[1]
        if message.material_id:
            self.material.remove(message.material_id)
        answer = await self._answer(message, request)
        self.answers[request.job_id] = (message.job_request, answer)
        return answer

    async def _answer(self, message: party_pb2.RunJobRequest, request: JobRequest) -> party_pb2.RunJobResponse:
        share = self._output(message, request)
        salt, session = fresh_salt(), message.session_id
        commitment = share_commitment(salt, output_context(session, request.job_id, self.address), share)
        commitments = await self.hall.exchange(session, self.index, commitment)
        receipt = self.receipt(message, request, commitments)
        self.signed.add(receipt.digest(self.domain))
        answer = party_pb2.RunJobResponse(
            receipt=receipt.to_words(),
            signature=signature_to(self.address, sign(receipt, self.domain, self.signer)),
            output_commitments=commitments,
            cost=common_pb2.SessionCost(online_ms=1.0 + self.index, rounds=1, bytes_sent=32),
        )
        opening = common_pb2.Opening(salt=salt, share=share)
        if message.HasField("result_key"):
            context = sealed_result_context(request.job_id, self.address)
            sealed = seal(opening.SerializeToString(), sealing_key_from(message.result_key), context)
            answer.sealed_output.CopyFrom(sealed_to(sealed))
        else:
            answer.opening.CopyFrom(opening)
        return answer

    def _output(self, message: party_pb2.RunJobRequest, request: JobRequest) -> bytes:
        sealed = sealed_from(message.sealed_input)
        context = sealed_input_context(request.job_id, request.model_hash, request.owner, self.address)
        salt, data = split_opening(self.keys.unseal(sealed, context))
        place = input_context(request.job_id, request.model_hash, self.address)
        open_commitment(message.input_commitments[self.index], salt, place, data)
        return encode_tensors({"y": decode_tensors(data)["x"] + self.models[request.model_hash][1]["b"]})

    def receipt(self, message: party_pb2.RunJobRequest, request: JobRequest, commitments: list[bytes]) -> Receipt:
        return Receipt(
            version=1,
            job_id=request.job_id,
            request_digest=request.digest(self.domain),
            model_hash=request.model_hash,
            party_set=request.party_set,
            plan_digest=digest("plan"),
            engine=engine_word("simulation"),
            input_root=request.input_root,
            output_commitment=merkle.root(commitments),
            transcript=digest("transcript"),
            nonce=request.nonce,
            started=START_MS,
            finished=START_MS + 1,
            registry_block=message.registry_block,
        )

    async def on_AbortSession(self, request: party_pb2.AbortSessionRequest) -> Any:  # noqa: N802
        await self.hall.abort(request.session_id, request.reason)
        return party_pb2.AbortSessionResponse()

    async def on_SignRoot(self, request: party_pb2.SignRootRequest) -> Any:  # noqa: N802
        digests = list(request.receipt_digests)
        if not set(digests) <= self.signed:
            raise ReceiptNotFound("not all of these receipts are ours", party=self.index)
        root = merkle.root(digests)
        signature = sign(BatchRoot(root, len(digests), PARTY_SET), self.domain, self.signer)
        return party_pb2.SignRootResponse(root=root, signature=signature_to(self.address, signature))


class Door:
    """A client's way to the coordinator in the same process: the service's answers and errors as they are."""

    def __init__(self, net: "Network", caller: str) -> None:
        self._net = net
        self._caller = caller
        self.tamper: Callable[[str, Any], Any] = lambda method, answer: answer
        self.sent: list[tuple[str, Any]] = []

    async def call(self, method: str, request: Any, deadline: float) -> Any:
        self.sent.append((method, request))
        return self.tamper(method, await self._answer(method, request))

    async def _answer(self, method: str, request: Any) -> Any:
        service = self._net.service
        if method == "GetNetwork":
            return await service.network()
        if method == "PublishModel":
            return await service.publish(request, self._caller)
        if method == "ListModels":
            return await service.models(request.name)
        if method == "SubmitJob":
            return coordinator_pb2.SubmitJobResponse(job=await service.submit(request, self._caller))
        if method == "GetJob":
            return coordinator_pb2.GetJobResponse(job=await service.job(request.job_id, self._caller))
        return await service.receipt(request.job_id, self._caller)

    async def watch(self, request: Any, timeout_s: float) -> Any:
        async for job in self._net.service.watch(request.job_id, self._caller):
            yield coordinator_pb2.WatchJobResponse(job=job)

    async def close(self) -> None:
        return None


@dataclass
class Keys:
    """What a Core needs of a keystore."""

    signer: Signer
    tls: Any = None


class Network:
    """A coordinator, its parties and its chain; clients of it."""

    def __init__(self, directory: Path, size: int = 3, **limits: Any) -> None:
        self.hall = Hall(size)
        self.owner = Signer.generate()
        self.clock = ManualClock(START_MS)
        self.parties = [Party(index, self.hall, Chain.receipt_domain, Chain.model_domain) for index in range(size)]
        records = {party.address: self._record(party) for party in self.parties}
        self.chain = Chain(records, self.owner.address)
        self.config = self._config(directory, {"anchor_max_delay_s": 0.01, "stock": 0, **limits})
        self.service: Any = None

    def _record(self, party: Party) -> PartyRecord:
        ids = tuple(key.key_id for key in party.keys.public_keys)
        return PartyRecord(party.address, bytes(32), ids, "", 0)

    def _config(self, directory: Path, limits: dict[str, Any]) -> CoordinatorConfig:
        contracts = {key: getattr(CONTRACTS, key) for key in ("party_registry", "model_registry", "receipt_anchor")}
        return CoordinatorConfig.model_validate(
            {
                "coordinator": {
                    "listen": "127.0.0.1:0",
                    "keystore": directory,
                    "database": directory / "coordinator.sqlite",
                    "party_set": PARTY_SET.hex(),
                },
                "parties": [
                    {"index": party.index, "address": party.address, "target": "127.0.0.1:1"} for party in self.parties
                ],
                "chain": {"rpc_url": "http://127.0.0.1:1", "poll_s": 0.05, **contracts},
                "limits": limits,
            }
        )

    @asynccontextmanager
    async def run(self) -> Any:
        async with running(self.config, self.chain, self.parties, bytes(32), self.clock) as service:
            self.service = service
            yield service

    def client(self, signer: Signer | None = None, **section: Any) -> AsyncClient:
        signer = signer or self.owner
        contracts = {key: getattr(CONTRACTS, key) for key in ("party_registry", "model_registry", "receipt_anchor")}
        config = ClientConfig.model_validate(
            {
                "client": {
                    "keystore": ".",
                    "coordinator": "127.0.0.1:1",
                    "coordinator_address": CONTRACTS.receipt_anchor,
                    **section,
                },
                "chain": {"rpc_url": "http://127.0.0.1:1", **contracts},
            }
        )
        door = Door(self, signer.address)
        core = Core(config, Keys(signer), door=door, registry=self.chain, clock=self.clock)
        core._writer = self.chain
        return AsyncClient(config, core=core)


async def hang(party: Party, request: Any) -> Any:
    """Say nothing, as a stopped process does."""
    await asyncio.Event().wait()


async def fall(party: Party, request: Any) -> Any:
    """Fail as a lane does whose process died."""
    raise SessionAborted("the lane died", party=party.index)


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so that has no event of its own."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
