"""A network in one process: a chain that is a dictionary, and parties that really open, add, commit and sign.

The model is y = x + b, which needs no communication among the parties: shares of x and b are added. Everything around
it (sealing, commitments, signatures, batches) is the real thing.
"""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpc_infer.chain.records import (
    PartyRecord,
)
from mpc_infer.client.aio import AsyncClient
from mpc_infer.client.config import ClientConfig
from mpc_infer.client.core import Core
from mpc_infer.clock import Clock, ManualClock
from mpc_infer.coordinator.config import CoordinatorConfig
from mpc_infer.coordinator.server import running
from mpc_infer.graph.ir import Graph, Node, Op, TensorSpec
from mpc_infer.graph.onnx_import import ImportedModel
from mpc_infer.identity.signer import Signer
from mpc_infer.rpc.background import Background
from mpc_infer.v1 import coordinator_pb2
from tests.unit.coordinator.simulated_chain import CONTRACTS, PARTY_SET, START_MS, Chain
from tests.unit.coordinator.simulated_party import Hall, Party, fall, hang

__all__ = ["BIAS", "CONTRACTS", "IMPORTED", "Network", "Party", "fall", "hang", "until"]

BIAS = np.array([0.5, -1.0, 2.0])
GRAPH = Graph(
    inputs=(TensorSpec("x", (None, 3)),),
    outputs=(TensorSpec("y", (None, 3)),),
    weights=(TensorSpec("b", (3,)),),
    nodes=(Node("add", Op.ADD, ("x", "b"), ("y",)),),
)
IMPORTED = ImportedModel(GRAPH, {"b": BIAS})


class Door:
    """A client's way to the coordinator in the same process: the service's answers and errors as they are."""

    def __init__(self, net: "Network", caller: str) -> None:
        self._net = net
        self._caller = caller
        self.tamper: Callable[[str, Any], Any] = lambda method, answer: answer
        self.sent: list[tuple[str, Any]] = []
        self.deadlines: list[float] = []

    async def call(self, method: str, request: Any, deadline: float) -> Any:
        self.sent.append((method, request))
        self.deadlines.append(deadline)
        return self.tamper(method, await self._answer(method, request))

    async def _answer(self, method: str, request: Any) -> Any:
        service = self._net.service
        if method == "GetNetwork":
            return await service.network()
        if method == "PublishModel":
            return await service.publish(request, self._caller)
        if method == "ListModels":
            return await service.models(request)
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

    def __init__(
        self,
        directory: Path,
        size: int = 3,
        *,
        clock: Clock | None = None,
        chain: dict[str, Any] | None = None,
        batching: dict[str, Any] | None = None,
        material: dict[str, Any] | None = None,
        **limits: Any,
    ) -> None:
        self.hall = Hall(size)
        self.owner = Signer.generate()
        self.clock = clock or ManualClock(START_MS)
        self.background = Background()
        self.parties = [Party(index, self.hall, Chain.receipt_domain, Chain.model_domain) for index in range(size)]
        records = {party.address: self._record(party) for party in self.parties}
        self.chain = Chain(records, self.owner.address)
        sections = {
            "limits": {"anchor_max_delay_s": 0.01, **limits},
            "batching": batching or {},
            "material": material or {"high": 0},
        }
        self.config = self._config(directory, chain or {}, sections)
        self.service: Any = None

    def _record(self, party: Party) -> PartyRecord:
        ids = tuple(key.key_id for key in party.keys.public_keys)
        return PartyRecord(party.address, bytes(32), ids, "", 0)

    def _config(self, directory: Path, chain: dict[str, Any], sections: dict[str, Any]) -> CoordinatorConfig:
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
                "chain": {"rpc_url": "http://127.0.0.1:1", "poll_s": 0.05, **contracts, **chain},
                **sections,
            }
        )

    @asynccontextmanager
    async def run(self) -> Any:
        self.background = Background()
        async with running(
            self.config, self.chain, self.parties, bytes(32), self.clock, background=self.background
        ) as service:
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


async def until(condition: Callable[[], Any]) -> None:
    """Wait until something is so that has no event of its own."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
