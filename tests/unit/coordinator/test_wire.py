"""The coordinator behind real mTLS: clients of the SDK over gRPC, certificates decide who is who."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mpc_infer.client.aio import AsyncClient
from mpc_infer.client.config import ClientConfig
from mpc_infer.client.core import Core
from mpc_infer.coordinator.servicer import CoordinatorServicer
from mpc_infer.errors import (
    JobConflict,
    JobNotFound,
    MessageTooLarge,
    NotAuthenticated,
    NotPermitted,
    Unavailable,
)
from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.rpc.policy import Policy
from mpc_infer.rpc.server import RpcServer, Service, build_server
from mpc_infer.v1.coordinator_pb2 import GetNetworkRequest
from mpc_infer.v1.coordinator_pb2_grpc import add_CoordinatorServiceServicer_to_server
from tests.unit.coordinator.simulation import BIAS, CONTRACTS, IMPORTED, Network

ROWS = np.array([[1.0, 2.0, 3.0]])
NAME = "mpc_infer.v1.CoordinatorService"


class Wire:
    """A coordinator that listens, and clients that connect."""

    def __init__(self, net: Network) -> None:
        self.net = net
        self.authority = CertificateAuthority.create("test")
        self.identity = Signer.generate()
        self.port = 0

    def credentials(self, signer: Signer, role: str, authority: CertificateAuthority | None = None) -> TlsCredentials:
        issued = (authority or self.authority).issue(signer.address, role, ["127.0.0.1"])
        return TlsCredentials(self.authority.certificate_pem, *issued)

    @asynccontextmanager
    async def listen(self, max_bytes: int = 1 << 20) -> AsyncIterator[RpcServer]:
        register = partial(add_CoordinatorServiceServicer_to_server, CoordinatorServicer(self.net.service))
        tls = self.credentials(self.identity, "coordinator")
        service = Service(NAME, register)
        server = build_server(tls, Policy(), [service], host="127.0.0.1", port=self.port, max_bytes=max_bytes)
        self.port = server.port
        await server.start()
        try:
            yield server
        finally:
            await server.stop(0.2)

    def client(
        self, signer: Signer, role: str = "client", authority: CertificateAuthority | None = None, **section: Any
    ) -> AsyncClient:
        contracts = {key: getattr(CONTRACTS, key) for key in ("party_registry", "model_registry", "receipt_anchor")}
        own = {
            "keystore": ".",
            "coordinator": f"127.0.0.1:{self.port}",
            "coordinator_address": self.identity.address,
            **section,
        }
        config = ClientConfig.model_validate({"client": own, "chain": {"rpc_url": "http://127.0.0.1:1", **contracts}})
        keys = SimpleNamespace(signer=signer, tls=self.credentials(signer, role, authority))
        core = Core(config, keys, registry=self.net.chain, clock=self.net.clock)
        core._writer = self.net.chain
        return AsyncClient(config, core=core)


@pytest.fixture
async def wire(tmp_path: Path) -> AsyncIterator[Wire]:
    net = Network(tmp_path)
    async with net.run():
        found = Wire(net)
        async with found.listen():
            async with found.client(net.owner) as owner:
                await owner.publish(IMPORTED, "shift", 1)
            yield found


@pytest.mark.parametrize("delivery", ["coordinator", "client"])
async def test_an_inference_over_the_wire(wire: Wire, delivery: str) -> None:
    async with wire.client(Signer.generate()) as client:
        result = await client.infer("shift", {"x": ROWS}, delivery=delivery, anchored=True)
        np.testing.assert_array_equal(result.outputs["y"], ROWS + BIAS)
        assert len((await client.verify(await client.bundle(result))).steps) == 7


async def test_errors_keep_their_code_party_and_remedy_over_the_wire(wire: Wire) -> None:
    async with wire.client(wire.net.owner) as client:
        submission = await client._jobs.prepare("shift", {"x": ROWS}, "coordinator", 10.0, detach=False)
        await client._jobs.send(submission)
        submission.prepared.message.sealed_inputs[0].ciphertext += b"x"
        with pytest.raises(JobConflict) as caught:
            await client._jobs.send(submission)
        assert caught.value.remedy


async def test_another_role_and_another_owner_are_refused(wire: Wire) -> None:
    async with wire.client(Signer.generate(), role="party") as party:
        with pytest.raises(NotPermitted):
            await party.models()
    async with wire.client(wire.net.owner) as owner:
        submission = await owner.submit("shift", {"x": ROWS})
    async with wire.client(Signer.generate()) as other:
        with pytest.raises(JobNotFound):
            await other.get(submission)
        with pytest.raises(NotPermitted):
            await other._jobs.send(submission)


async def test_a_foreign_certificate_gets_no_connection(wire: Wire) -> None:
    async with wire.client(Signer.generate(), authority=CertificateAuthority.create("other")) as stranger:
        with pytest.raises((NotAuthenticated, Unavailable)):
            await _shortly(stranger)


async def test_a_coordinator_of_another_name_gets_nothing(wire: Wire) -> None:
    async with wire.client(wire.net.owner, coordinator_address=Signer.generate().address) as client:
        with pytest.raises((NotAuthenticated, Unavailable)):
            await _shortly(client)


async def test_a_message_that_is_too_large_is_refused(wire: Wire) -> None:
    async with wire.client(wire.net.owner) as client:
        with pytest.raises(MessageTooLarge):
            await client.infer("shift", {"x": np.ones((50_000, 3))})


async def test_the_client_waits_for_a_coordinator_that_is_restarted(wire: Wire) -> None:
    net, again = wire.net, Wire(wire.net)
    again.authority, again.identity = wire.authority, wire.identity
    async with again.listen():
        pass
    async with again.client(net.owner) as client:
        waiting = asyncio.create_task(client.infer("shift", {"x": ROWS}, deadline_s=30.0))
        await asyncio.sleep(0.3)
        async with again.listen():
            np.testing.assert_array_equal((await waiting).outputs["y"], ROWS + BIAS)


async def _shortly(client: AsyncClient) -> None:
    await client.core.door.call("GetNetwork", GetNetworkRequest(), monotonic() + 2.0)
