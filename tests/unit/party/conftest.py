"""A small network: two parties without gRPC in front of them, a real dealer, real lanes, a registry in memory."""

import asyncio
import dataclasses
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from mpc_infer.chain.records import Block, ModelRecord, ModelStatus, PartySetRecord
from mpc_infer.clock import SystemClock
from mpc_infer.dealer.config import DealerConfig
from mpc_infer.dealer.server import build as build_dealer
from mpc_infer.errors import ModelNotFound, NotFound
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import ZERO_WORD, Delivery, Domain, JobRequest, ModelPublication, sign
from mpc_infer.graph import Graph, Node, TensorSpec
from mpc_infer.graph.onnx_import import ImportedModel
from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.keystore import Keystore
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.model.package import ModelPackage, PartyKeys, package_model
from mpc_infer.party.calls import InstallCall, JobCall, OpenCall, OwnerSignature, PrepareCall, SessionCall
from mpc_infer.party.checks import CheckedJob
from mpc_infer.party.config import PartyConfig
from mpc_infer.party.server import wire
from mpc_infer.party.service import Party
from mpc_infer.party.state import PartyState
from mpc_infer.sharing.commitment import fresh_salt, input_context, join_opening, share_commitment
from mpc_infer.sharing.contexts import sealed_input_context
from mpc_infer.sharing.fixed import decode, encode
from mpc_infer.sharing.sealing import Sealed, SealingPublicKey, seal
from mpc_infer.sharing.shares import split
from mpc_infer.sharing.tensors import decode_tensors, encode_tensors

PARTIES = 2
PARTY_SET = bytes(range(32))
RECEIPTS = Domain(31337, Signer.generate().address)
MODELS = Domain(31337, Signer.generate().address)


class MemoryRegistry:
    """The registry's answers from dictionaries."""

    def __init__(self) -> None:
        self.receipt_domain, self.model_domain = RECEIPTS, MODELS
        self.number = 100
        self.fork = b"a"
        """Changes the hashes of all blocks from `forked_at` on: the chain took back what was there."""
        self.forked_at = 0
        self.members: tuple = ()
        self.models: dict[bytes, ModelRecord] = {}
        self.users: set[tuple[bytes, str]] = set()
        self.reads = 0
        self.logs: set[int] | None = None
        """Blocks in which a model changed; None: who knows, hence always."""

    def head(self) -> Block:
        return self.block(self.number)

    def block(self, number) -> Block:
        if number > self.number:
            raise NotFound(f"the chain has no block {number}")
        return Block(number, 1_700_000_000 + number, self._hash(number), self._hash(number - 1))

    def _hash(self, number) -> bytes:
        return number.to_bytes(31, "big") + (self.fork if number >= self.forked_at else b"a")

    def take_back(self, count: int) -> None:
        """Replace the newest blocks by as many others."""
        self.fork, self.forked_at = b"b", self.number - count + 1

    def model(self, model_hash, block=None) -> ModelRecord:
        self.reads += 1
        if model_hash not in self.models:
            raise ModelNotFound("the registry has no such model")
        return self.models[model_hash]

    def models_changed(self, first, last) -> bool:
        return self.logs is None or any(first <= block <= last for block in self.logs)

    def may_use(self, model_hash, user, block=None) -> bool:
        return (model_hash, user) in self.users

    def party_set(self, party_set, block=None) -> PartySetRecord:
        return PartySetRecord(party_set, self.members, len(self.members), 0)


def imported() -> ImportedModel:
    rng = np.random.default_rng(7)
    graph = Graph(
        inputs=(TensorSpec("x", (None, 4)),),
        outputs=(TensorSpec("y", (None, 3)),),
        weights=(TensorSpec("W", (4, 5)), TensorSpec("V", (5, 3))),
        nodes=(
            Node("first", "Linear", ("x", "W"), ("h",)),
            Node("relu", "Relu", ("h",), ("r",)),
            Node("second", "Linear", ("r", "V"), ("y",)),
        ),
    )
    return ImportedModel(graph, {"W": rng.normal(size=(4, 5)), "V": rng.normal(size=(5, 3))})


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclasses.dataclass(frozen=True)
class RunCall:
    """A job that is alone in its session."""

    session_id: bytes
    lane: int
    material_id: bytes
    registry_block: int
    request: JobRequest
    owner_signature: OwnerSignature
    input_commitments: tuple[bytes, ...]
    sealed_input: Sealed
    result_key: SealingPublicKey | None

    @property
    def session(self) -> SessionCall:
        """The session of this job alone."""
        given = (self.owner_signature, self.input_commitments, self.sealed_input, self.result_key)
        jobs = (JobCall(self.request, *given),)
        place = (self.session_id, self.lane, self.material_id, self.registry_block)
        return SessionCall(*place, self.request.rows, jobs)


class World:
    """Keys, configuration, a packaged model, and a data owner's side of a job."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = CertificateAuthority.create("test network")
        self.owner, self.coordinator = Signer.generate(), Signer.generate()
        self.keystores = [self.keystore(f"party{index}", "party") for index in range(PARTIES)]
        self.dealer = self.keystore("dealer", "dealer")
        self.addresses = tuple(keystore.address for keystore in self.keystores)
        self.registry = MemoryRegistry()
        self.registry.members = self.addresses
        self.imported = imported()
        self.package = self.packaged()
        self.model_hash = self.package.manifest.hash
        self.register(ModelStatus.ACTIVE)
        self.registry.users.add((self.model_hash, self.owner.address))
        self.dealer_port = 1
        self.lane_ports = [free_port() for _ in range(PARTIES)]

    def packaged(self, **options) -> ModelPackage:
        """The model for this network's parties."""
        return package_model(
            self.imported,
            name="test",
            version=1,
            owner=self.owner.address,
            party_set=PARTY_SET,
            parties=[PartyKeys(keystore.address, keystore.sealing_keys.public()) for keystore in self.keystores],
            **options,
        )

    def keystore(self, name: str, role: str) -> Keystore:
        signer = Signer.generate()
        issued = self.authority.issue(signer.address, role, ["127.0.0.1"], 1)
        tls = TlsCredentials(self.authority.certificate_pem, *issued)
        return Keystore.create(self.directory / name, signer=signer, tls=tls)

    def register(self, status: ModelStatus, party_set: bytes = PARTY_SET) -> None:
        record = ModelRecord(self.model_hash, self.owner.address, "test", 1, party_set, status, False)
        self.registry.models[self.model_hash] = record

    def config(self, index: int, **limits) -> PartyConfig:
        lanes = [f"127.0.0.1:{port}" for port in self.lane_ports]
        return PartyConfig.model_validate(
            {
                "party": {
                    "index": index,
                    "listen": "127.0.0.1:0",
                    "keystore": self.directory / f"party{index}",
                    "database": self.directory / f"party{index}.sqlite",
                    "party_set": PARTY_SET.hex(),
                    "lanes": [lanes[index]],
                },
                "peers": [
                    {"index": other, "address": self.addresses[other], "lanes": [lanes[other]]}
                    for other in range(PARTIES)
                    if other != index
                ],
                "dealer": {
                    "target": f"127.0.0.1:{self.dealer_port}",
                    "address": self.dealer.address,
                    "sealing_key_id": self.dealer.sealing_keys.public().key_id.hex(),
                },
                "coordinator": {"address": self.coordinator.address},
                "chain": {
                    "rpc_url": "http://127.0.0.1:1",
                    "party_registry": "0x" + "11" * 20,
                    "model_registry": MODELS.verifying_contract,
                    "receipt_anchor": RECEIPTS.verifying_contract,
                    "poll_s": 0.05,
                },
                "limits": limits,
            }
        )

    def wired(self, index: int, **limits):
        return wire(self.config(index, **limits), self.registry, SystemClock())

    def install_call(self, index: int) -> InstallCall:
        manifest = self.package.manifest
        signature = sign(ModelPublication(manifest.hash), MODELS, self.owner)
        return InstallCall(
            manifest.to_bytes(),
            self.package.graph.to_bytes(),
            self.package.sealed_shares[index],
            OwnerSignature(self.owner.address, signature),
            self.package.public_weights,
        )

    def job(
        self, x=None, *, seconds: float = 30, result_key=None, session_id=None, lane=0, signer=None, **changes
    ) -> list[RunCall]:
        """The calls that the parties get for one job. `changes` replace fields of the request before it is signed."""
        signer = signer or self.owner
        x = np.ones((2, 4)) if x is None else x
        shares = [encode_tensors({"x": share}) for share in split(encode(x), PARTIES)]
        salts = [fresh_salt() for _ in shares]
        job_id = changes.pop("job_id", os.urandom(32))
        contexts = [input_context(job_id, self.model_hash, address) for address in self.addresses]
        commitments = tuple(map(share_commitment, salts, contexts, shares))
        request = JobRequest(
            job_id=job_id,
            model_hash=self.model_hash,
            party_set=PARTY_SET,
            input_root=merkle.root(commitments),
            owner=signer.address,
            delivery=Delivery.CLIENT if result_key else Delivery.COORDINATOR,
            result_key=result_key.key_id if result_key else ZERO_WORD,
            rows=len(x),
            nonce=os.urandom(32),
            deadline=SystemClock().now_ms() + int(1000 * seconds),
        )
        request = dataclasses.replace(request, **changes)
        session_id = session_id or os.urandom(16)
        return [
            RunCall(
                session_id,
                lane,
                b"",
                self.registry.number,
                request,
                self.signed(request, signer),
                commitments,
                self.sealed(index, job_id, salts[index], shares[index], request.owner),
                result_key,
            )
            for index in range(PARTIES)
        ]

    def signed(self, request: JobRequest, signer: Signer | None = None) -> OwnerSignature:
        signer = signer or self.owner
        return OwnerSignature(signer.address, sign(request, RECEIPTS, signer))

    def sealed(self, index: int, job_id: bytes, salt: bytes, share: bytes, owner=None):
        keystore = self.keystores[index]
        context = sealed_input_context(job_id, self.model_hash, owner or self.owner.address, keystore.address)
        return seal(join_opening(salt, share), keystore.sealing_keys.public(), context)

    def expected(self, x):
        weights = self.imported.weights
        return np.maximum(x @ weights["W"], 0) @ weights["V"]

    @staticmethod
    def revealed(shares: list[bytes]):
        return decode(sum(decode_tensors(share)["y"] for share in shares))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def party(world: World) -> AsyncIterator:
    """One party that can check everything, with its model installed and no lane running."""
    wired = world.wired(0)
    await wired.view.start(PARTY_SET, world.addresses)
    wired.party.state.move(PartyState.SERVING)
    await wired.party.install(world.install_call(0))
    yield wired
    await wired.view.close()
    wired.store.close()


async def run_job(party: Party, call: RunCall):
    """The answer to a job that is alone in its session."""
    (outcome,) = await party.run(call.session)
    if outcome.problem is not None:
        raise outcome.problem
    return outcome.answer


async def check_job(party: Party, call: RunCall) -> CheckedJob:
    """Only judge it."""
    session, judge = call.session, party._judge
    (digest,) = await judge.signed(session)
    (checked,) = [digest] if isinstance(digest, Exception) else await judge.check(session, [(session.jobs[0], digest)])
    if isinstance(checked, Exception):
        raise checked
    return checked


class Network:
    """The parties with their lanes."""

    def __init__(self, world: World) -> None:
        self.world, self.wired = world, []

    @property
    def parties(self):
        return [one.party for one in self.wired]

    async def start(self) -> None:
        """Start all parties, on what they left on the disk if they ran before."""
        limits = {"step_s": 5.0, "kill_grace_s": 1.0, "max_material": 8, "ready_batches": 2}
        self.wired = [self.world.wired(index, **limits) for index in range(PARTIES)]
        for one in self.wired:
            await one.view.start(PARTY_SET, self.world.addresses)
            one.party.state.move(PartyState.SERVING)
        await asyncio.gather(*(lane.start() for one in self.wired for lane in one.lanes))

    async def close(self) -> None:
        for one in self.wired:
            await one.runner.close()
            await one.view.close()
            one.store.close()

    async def prepare(self, *ids: bytes, rows: int = 2):
        """Make material at all parties."""
        call = self.prepare_call(*ids, rows=rows)
        return await asyncio.gather(*(party.prepare(call) for party in self.parties))

    def prepare_call(self, *ids: bytes, rows: int = 2) -> PrepareCall:
        return PrepareCall(ids[0], 0, self.world.model_hash, rows, SystemClock().now_ms() + 30_000, ids[1:])

    async def open(self, session_id: bytes | None = None, lane: int = 0) -> list[bytes]:
        """Open the model at all parties; with an empty session id, only ask."""
        session_id = os.urandom(16) if session_id is None else session_id
        call = OpenCall(session_id, lane, self.world.model_hash, SystemClock().now_ms() + 60_000)
        return await asyncio.gather(*(party.open(call) for party in self.parties))

    def is_admitted(self, index: int, call) -> bool:
        """Whether a party has made it durable that it runs a job."""
        query, job = "SELECT 1 FROM requests WHERE job_id = :job_id", {"job_id": call.request.job_id}
        return self.wired[index].store._database.exists(query, job)

    async def until_admitted(self, index: int, call) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(10):
            while not self.is_admitted(index, call):  # noqa: ASYNC110 (a thread changes it)
                await asyncio.sleep(0.01)

    async def run(self, calls, *, return_exceptions: bool = False):
        runs = (run_job(party, call) for party, call in zip(self.parties, calls, strict=True))
        return await asyncio.gather(*runs, return_exceptions=return_exceptions)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def network(tmp_path_factory) -> AsyncIterator[Network]:
    world = World(tmp_path_factory.mktemp("network"))
    text = '[dealer]\nlisten = "127.0.0.1:0"\nkeystore = "dealer"\n'
    (world.directory / "dealer.toml").write_text(text)
    dealer = build_dealer(DealerConfig.load(world.directory / "dealer.toml"))
    await dealer.start()
    world.dealer_port = dealer.port
    network = Network(world)
    await network.start()
    for index, party in enumerate(network.parties):
        await party.install(world.install_call(index))
    await network.open()
    yield network
    await network.close()
    await dealer.stop(0)
