"""Who gets in, who does not, and what they are told: over real mTLS on loopback."""

import asyncio
import os
import signal

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from mpc_infer import errors
from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.rpc.channel import open_channel, open_sync_channel
from mpc_infer.rpc.policy import Policy
from mpc_infer.rpc.server import build_server, serve_until_signal
from mpc_infer.rpc.status import translated
from mpc_infer.v1 import dealer_pb2, dealer_pb2_grpc, party_pb2, party_pb2_grpc

TIMEOUT = 20


def channel(server, identities, credentials, peer=None):
    return open_channel(f"127.0.0.1:{server.port}", credentials, peer=peer or identities.server, role="party")


def party(server, identities, role="coordinator", address=None):
    address = address or (identities.coordinator if role == "coordinator" else None)
    opened = channel(server, identities, identities.credentials(role, address))
    return opened, party_pb2_grpc.PartyServiceStub(opened)


async def get_info(opened):
    with translated("the party"):
        return await party_pb2_grpc.PartyServiceStub(opened).GetInfo(party_pb2.GetInfoRequest(), timeout=TIMEOUT)


async def test_a_call_that_is_allowed(server, identities):
    opened, stub = party(server, identities)
    async with opened:
        assert (await stub.GetInfo(party_pb2.GetInfoRequest(), timeout=TIMEOUT)).lanes == 3


async def test_the_sync_channel_reaches_the_same_server(server, identities):
    credentials = identities.credentials("party")
    with open_sync_channel(f"127.0.0.1:{server.port}", credentials, peer=identities.server, role="party") as opened:
        stub = party_pb2_grpc.PartyServiceStub(opened)
        answer = await asyncio.to_thread(stub.GetInfo, party_pb2.GetInfoRequest(), timeout=TIMEOUT)
    assert answer.lanes == 3


@pytest.mark.parametrize("role", ["client", "dealer", "party", "operator"])
async def test_another_role_is_refused(server, identities, role):
    opened, stub = party(server, identities, role)
    async with opened:
        with pytest.raises(errors.NotPermitted, match=role), translated("the party"):
            await stub.SignRoot(party_pb2.SignRootRequest(receipt_digests=[b"x"]), timeout=TIMEOUT)


async def test_another_coordinator_than_the_pinned_one_is_refused(server, identities):
    opened, stub = party(server, identities, address=Signer.generate().address)
    async with opened:
        with pytest.raises(errors.NotPermitted, match="configured for"), translated("the party"):
            await stub.GetInfo(party_pb2.GetInfoRequest(), timeout=TIMEOUT)


async def test_a_stream_is_gated_as_well(server, identities):
    opened = channel(server, identities, identities.credentials("coordinator", identities.coordinator))
    async with opened:
        stub = dealer_pb2_grpc.DealerServiceStub(opened)
        with pytest.raises(errors.NotPermitted), translated("the dealer"):
            [_ async for _ in stub.GetCorrections(dealer_pb2.GetCorrectionsRequest(), timeout=TIMEOUT)]


async def test_an_error_inside_a_stream_arrives_after_what_was_sent(server, identities):
    opened = channel(server, identities, identities.credentials("party"))
    async with opened:
        stub = dealer_pb2_grpc.DealerServiceStub(opened)
        answers = stub.GetCorrections(dealer_pb2.GetCorrectionsRequest(plan=b"break"), timeout=TIMEOUT)
        assert (await answers.read()).chunk == b"first"
        with pytest.raises(errors.PlanMismatch, match="middle"), translated("the dealer"):
            await answers.read()


async def test_a_certificate_of_another_authority_is_refused(server, identities):
    other = CertificateAuthority.create("another network")
    certificate, key = other.issue(identities.coordinator, "coordinator", [], 1)
    credentials = TlsCredentials(identities.authority.certificate_pem, certificate, key)
    async with channel(server, identities, credentials) as opened:
        with pytest.raises(errors.NotAuthenticated, match="closed the connection") as caught:
            await get_info(opened)
    assert "certificate" in caught.value.remedy
    assert not caught.value.retryable


async def test_a_server_of_another_authority_is_refused(server, identities):
    other = CertificateAuthority.create("another network")
    ours = identities.credentials("coordinator", identities.coordinator)
    credentials = TlsCredentials(other.certificate_pem, ours.cert_pem, ours.key_pem)
    async with channel(server, identities, credentials) as opened:
        with pytest.raises(errors.NotAuthenticated, match="no secure connection"):
            await get_info(opened)


async def test_a_caller_without_a_certificate_is_refused(server, identities):
    anonymous = grpc.ssl_channel_credentials(identities.authority.certificate_pem)
    override = (("grpc.ssl_target_name_override", f"{identities.server[2:].lower()}.party.mpc-infer.internal"),)
    async with grpc.aio.secure_channel(f"127.0.0.1:{server.port}", anonymous, options=override) as opened:
        with pytest.raises(errors.NotAuthenticated, match="closed the connection"):
            await get_info(opened)


async def test_plaintext_is_refused(server):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        with pytest.raises(errors.NotAuthenticated, match="closed the connection"):
            await get_info(opened)


async def test_a_member_of_the_network_cannot_stand_in_for_another(server, identities):
    credentials = identities.credentials("coordinator", identities.coordinator)
    async with channel(server, identities, credentials, peer=Signer.generate().address) as opened:
        with pytest.raises(errors.NotAuthenticated, match="no secure connection"):
            await get_info(opened)


async def test_a_client_cannot_stand_in_for_a_party_of_the_same_address(identities):
    impostor = identities.credentials("client", identities.server)
    built = build_server(impostor, Policy(), [], host="127.0.0.1", port=0)
    await built.start()
    async with channel(built, identities, identities.credentials("coordinator", identities.coordinator)) as opened:
        with pytest.raises(errors.NotAuthenticated, match="no secure connection"):
            await get_info(opened)
    await built.stop(0)


async def test_a_service_that_is_not_there_may_be_asked_again(identities):
    async def hang_up(_, writer):
        writer.close()

    gone = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    ports = [gone.sockets[0].getsockname()[1], 1]
    for port in ports:
        opened = open_channel(
            f"127.0.0.1:{port}", identities.credentials("client"), peer=identities.server, role="party"
        )
        async with opened:
            with pytest.raises(errors.Unavailable):
                await get_info(opened)
    gone.close()


async def test_a_message_that_is_too_large_is_refused(server, identities):
    opened, stub = party(server, identities)
    async with opened:
        request = party_pb2.SignRootRequest(receipt_digests=[bytes(2 << 20)])
        with pytest.raises(errors.MessageTooLarge, match="larger than max"), translated("the party"):
            await stub.SignRoot(request, timeout=TIMEOUT)


async def test_our_errors_make_the_round_trip(server, identities):
    opened, stub = party(server, identities)
    async with opened:
        with pytest.raises(errors.PeerTimeout) as caught, translated("the party"):
            await stub.AbortSession(party_pb2.AbortSessionRequest(reason="ours"), timeout=TIMEOUT)
    assert (caught.value.message, caught.value.remedy, caught.value.party) == (
        "party 2 was silent",
        "look at party 2",
        2,
    )
    assert isinstance(caught.value.__cause__, grpc.RpcError)


async def test_foreign_errors_leave_without_details(server, identities):
    opened, stub = party(server, identities)
    async with opened:
        with pytest.raises(errors.MpcInferError) as caught, translated("the party"):
            await stub.AbortSession(party_pb2.AbortSessionRequest(reason="s3cret"), timeout=TIMEOUT)
    assert caught.value.code == "INTERNAL"
    assert "s3cret" not in str(caught.value)
    assert "s3cret" not in str(caught.value.__cause__)


async def test_a_method_that_is_not_served_is_refused(server, identities):
    opened, stub = party(server, identities)
    async with opened:
        with pytest.raises(errors.MpcInferError), translated("the party"):
            await stub.RunSession(party_pb2.RunSessionRequest(), timeout=TIMEOUT)


async def test_health_is_served_to_every_role(server, identities):
    opened = channel(server, identities, identities.credentials("client"))
    async with opened:
        stub = health_pb2_grpc.HealthStub(opened)
        request = health_pb2.HealthCheckRequest(service="mpc_infer.v1.PartyService")
        answer = await stub.Check(request, timeout=TIMEOUT)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_names_the_services(server, identities):
    credentials = identities.credentials("operator")

    def services():
        with open_sync_channel(f"127.0.0.1:{server.port}", credentials, peer=identities.server, role="party") as opened:
            return set(ProtoReflectionDescriptorDatabase(opened).get_services())

    assert {"mpc_infer.v1.PartyService", "mpc_infer.v1.DealerService"} <= await asyncio.to_thread(services)


async def test_a_port_that_is_taken_is_a_configuration_error(server, identities):
    with pytest.raises(errors.ConfigError, match="cannot listen"):
        build_server(identities.credentials("party"), Policy(), [], host="127.0.0.1", port=server.port)


async def test_sigterm_ends_gracefully(identities):
    built = build_server(identities.credentials("party"), Policy(), [], host="127.0.0.1", port=0)
    steps = []

    async def stopping():
        steps.append("stopping")

    serving = asyncio.create_task(serve_until_signal(built, role="party", grace_s=1, stopping=stopping))
    await asyncio.sleep(0.2)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serving, TIMEOUT)
    assert steps == ["stopping"]
