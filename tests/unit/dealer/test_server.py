"""A dealer over real mTLS."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from mpc_infer import errors
from mpc_infer.dealer.config import DealerConfig
from mpc_infer.dealer.server import build
from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.keystore import Keystore
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.preprocessing import Plan, Square
from mpc_infer.rpc.channel import open_channel
from mpc_infer.rpc.messages import sealed_to, sealing_key_from
from mpc_infer.rpc.status import translated
from mpc_infer.sharing.commitment import seed_commitment
from mpc_infer.sharing.contexts import sealed_seed_context
from mpc_infer.sharing.sealing import seal
from mpc_infer.sharing.stream import fresh_seed
from mpc_infer.v1 import dealer_pb2, dealer_pb2_grpc

TIMEOUT = 20
PLAN = Plan("crypten", bytes(32), 2, 2, 16, 3, 100, (Square((400_000,)),))
LONG = Plan("crypten", bytes(32), 2, 2, 16, 3, 100, (Square((8_000_000,)),))
"""Its corrections do not fit into the buffers on the way."""


class Network:
    def __init__(self, port, authority, address):
        self.port, self.authority, self.address = port, authority, address

    def channel(self, role, identity):
        credentials = TlsCredentials(self.authority.certificate_pem, *self.authority.issue(identity, role, [], 1))
        return open_channel(f"127.0.0.1:{self.port}", credentials, peer=self.address, role="dealer")


@pytest.fixture
async def network(tmp_path) -> AsyncIterator[Network]:
    authority = CertificateAuthority.create("test network")
    signer = Signer.generate()
    issued = authority.issue(signer.address, "dealer", ["127.0.0.1"], 1)
    Keystore.create(tmp_path / "keys", signer=signer, tls=TlsCredentials(authority.certificate_pem, *issued))
    limits = "[limits]\nmax_concurrent = 2\nmax_per_caller = 1\nrequest_s = 2.0\n"
    (tmp_path / "dealer.toml").write_text(f'[dealer]\nlisten = "127.0.0.1:0"\nkeystore = "keys"\n{limits}')
    server = build(DealerConfig.load(tmp_path / "dealer.toml"))
    await server.start()
    yield Network(server.port, authority, signer.address)
    await server.stop(0)


async def corrections(stub, request):
    with translated("the dealer"):
        return [answer.chunk async for answer in stub.GetCorrections(request, timeout=TIMEOUT)]


def make_request(key, receiver, plan=PLAN):
    seeds, material = [fresh_seed(), fresh_seed()], b"m" * 16
    commitments = [seed_commitment(material, index, seed) for index, seed in enumerate(seeds)]
    boxes = [
        sealed_to(seal(seed, key, sealed_seed_context(material, plan.digest, commitments, index, receiver)))
        for index, seed in enumerate(seeds)
    ]
    return dealer_pb2.GetCorrectionsRequest(
        material_id=material, plan=plan.to_bytes(), seed_commitments=commitments, sealed_seeds=boxes
    )


async def test_a_party_gets_its_corrections_in_pieces(network):
    party = Signer.generate().address
    async with network.channel("party", party) as channel:
        stub = dealer_pb2_grpc.DealerServiceStub(channel)
        info = await stub.GetDealerInfo(dealer_pb2.GetDealerInfoRequest(), timeout=TIMEOUT)
        request = make_request(sealing_key_from(info.sealing_key), party)
        first, second = await asyncio.gather(corrections(stub, request), corrections(stub, request))
    assert first == second
    assert len(first) == 4
    assert sum(map(len, first)) == PLAN.correction_bytes


async def test_another_party_cannot_have_them(network):
    party, other = Signer.generate().address, Signer.generate().address
    async with network.channel("party", other) as channel:
        stub = dealer_pb2_grpc.DealerServiceStub(channel)
        info = await stub.GetDealerInfo(dealer_pb2.GetDealerInfoRequest(), timeout=TIMEOUT)
        with pytest.raises(errors.SealingFailed):
            await corrections(stub, make_request(sealing_key_from(info.sealing_key), party))


@pytest.mark.parametrize("role", ["client", "coordinator", "operator", "dealer"])
async def test_other_roles_are_refused(network, role):
    async with network.channel(role, Signer.generate().address) as channel:
        stub = dealer_pb2_grpc.DealerServiceStub(channel)
        with pytest.raises(errors.NotPermitted):
            await corrections(stub, dealer_pb2.GetCorrectionsRequest())


async def test_readers_that_stop_reading_stop_nobody_else(network):
    """One caller holds what it may have and reads nothing; another one is served meanwhile, and the first one ends."""
    slow, party = Signer.generate().address, Signer.generate().address
    async with network.channel("party", slow) as channel, network.channel("party", party) as other:
        stub = dealer_pb2_grpc.DealerServiceStub(channel)
        info = await stub.GetDealerInfo(dealer_pb2.GetDealerInfoRequest(), timeout=TIMEOUT)
        key = sealing_key_from(info.sealing_key)
        unread = [stub.GetCorrections(make_request(key, slow, LONG), timeout=TIMEOUT) for _ in range(3)]
        assert await unread[0].read() is not grpc.aio.EOF
        served = await corrections(dealer_pb2_grpc.DealerServiceStub(other), make_request(key, party))
        assert sum(map(len, served)) == PLAN.correction_bytes
        for call in unread[1:]:  # still waiting for the first one when their time was over
            with pytest.raises(errors.DeadlineExpired, match="was not read"), translated("the dealer"):
                await call.read()
        # What it held is free again.
        assert len(await corrections(stub, make_request(key, slow))) == 4


async def test_a_request_larger_than_any_plan_is_refused(network):
    async with network.channel("party", Signer.generate().address) as channel:
        stub = dealer_pb2_grpc.DealerServiceStub(channel)
        with pytest.raises(errors.MessageTooLarge, match="larger than max"):
            await corrections(stub, dealer_pb2.GetCorrectionsRequest(plan=bytes(2 << 20)))


async def test_too_many_parties_are_refused(network):
    async with network.channel("party", Signer.generate().address) as channel:
        request = dealer_pb2.GetCorrectionsRequest(seed_commitments=[bytes(32)] * 17)
        with pytest.raises(errors.InvalidRequest, match="16"):
            await corrections(dealer_pb2_grpc.DealerServiceStub(channel), request)


def test_an_unknown_setting_is_refused(tmp_path):
    (tmp_path / "dealer.toml").write_text('[dealer]\nlisten = "h:1"\nkeystore = "k"\nport = 3\n')
    with pytest.raises(errors.ConfigError, match=r"dealer\.port"):
        DealerConfig.load(tmp_path / "dealer.toml")
