"""Who is let in: nobody without a certificate of the network, and everybody only to what their role may do."""

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from mpc_infer.devnet import Devnet
from mpc_infer.identity import CertificateAuthority, Keystore, Signer, TlsCredentials, identity_host
from mpc_infer.ids import Address
from mpc_infer.rpc.channel import open_sync_channel
from mpc_infer.v1 import (
    coordinator_pb2,
    coordinator_pb2_grpc,
    dealer_pb2,
    dealer_pb2_grpc,
    party_pb2,
    party_pb2_grpc,
)

SECONDS = 10


def places(net: Devnet) -> list[tuple[str, Address, str]]:
    topology, members = net.network.topology, net.network.members
    return [
        (topology.coordinator.target, members.coordinator, "coordinator"),
        (topology.dealer.target, members.dealer, "dealer"),
        (topology.parties[0].service.target, members.parties[0], "party"),
    ]


CALLS: list[Callable[[grpc.Channel], Any]] = [
    lambda channel: coordinator_pb2_grpc.CoordinatorServiceStub(channel).GetNetwork(
        coordinator_pb2.GetNetworkRequest(), timeout=SECONDS
    ),
    lambda channel: dealer_pb2_grpc.DealerServiceStub(channel).GetDealerInfo(
        dealer_pb2.GetDealerInfoRequest(), timeout=SECONDS
    ),
    lambda channel: party_pb2_grpc.PartyServiceStub(channel).GetInfo(party_pb2.GetInfoRequest(), timeout=SECONDS),
]


def status_of(call: Callable[[grpc.Channel], Any], channel: grpc.Channel) -> grpc.StatusCode:
    with channel, pytest.raises(grpc.RpcError) as caught:
        call(channel)
    code: grpc.StatusCode = caught.value.code()
    return code


@pytest.mark.parametrize("index", range(3), ids=["coordinator", "dealer", "party"])
def test_a_certificate_of_another_authority_is_refused(net: Devnet, index: int) -> None:
    target, address, role = places(net)[index]
    signer, foreign = Signer.generate(), CertificateAuthority.create("somebody else")
    certificate, key = foreign.issue(signer.address, "client")
    ours = Keystore(net.layout.keystore("operator")).tls
    channel = open_sync_channel(target, TlsCredentials(ours.ca_pem, certificate, key), peer=address, role=role)
    assert status_of(CALLS[index], channel) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("index", range(3), ids=["coordinator", "dealer", "party"])
def test_no_certificate_is_refused(net: Devnet, index: int) -> None:
    target, address, role = places(net)[index]
    credentials = grpc.ssl_channel_credentials(Keystore(net.layout.keystore("operator")).tls.ca_pem)
    options = [("grpc.ssl_target_name_override", identity_host(address, role))]
    channel = grpc.secure_channel(target, credentials, options=options)
    assert status_of(CALLS[index], channel) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("index", range(3), ids=["coordinator", "dealer", "party"])
def test_plain_text_is_refused(net: Devnet, index: int) -> None:
    channel = grpc.insecure_channel(places(net)[index][0])
    assert status_of(CALLS[index], channel) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("index", range(3), ids=["coordinator", "dealer", "party"])
def test_a_role_of_another_name_is_not_believed(net: Devnet, index: int) -> None:
    """The dialling side: an impostor with a valid certificate of somebody else."""
    target, _, role = places(net)[index]
    credentials = Keystore(net.layout.keystore("operator")).tls
    channel = open_sync_channel(target, credentials, peer=Signer.generate().address, role=role)
    assert status_of(CALLS[index], channel) is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("who", "index"), [("party0", 0), ("dealer", 0), ("data-owner", 1), ("coordinator", 1), ("data-owner", 2)]
)
def test_a_member_may_call_only_what_its_role_may(net: Devnet, who: str, index: int) -> None:
    net.client("data-owner")
    path = net.layout.client_keystore(who) if who == "data-owner" else net.layout.keystore(who)
    target, address, role = places(net)[index]
    channel = open_sync_channel(target, Keystore(path).tls, peer=address, role=role)
    assert status_of(CALLS[index], channel) is grpc.StatusCode.PERMISSION_DENIED


def test_a_second_coordinator_is_not_obeyed(net: Devnet) -> None:
    """A certificate that says coordinator, by the right authority, for another identity."""
    from mpc_infer.devnet.membership import admit, load_authority

    directory = net.layout.root / "second-coordinator"
    second = admit(load_authority(net.layout), directory, "coordinator")
    target, address, role = places(net)[2]
    channel = open_sync_channel(target, second.tls, peer=address, role=role)

    def run(channel: grpc.Channel) -> Any:
        return party_pb2_grpc.PartyServiceStub(channel).RunSession(party_pb2.RunSessionRequest(), timeout=SECONDS)

    assert status_of(run, channel) is grpc.StatusCode.PERMISSION_DENIED


def test_the_health_service_and_reflection_are_for_members(net: Devnet) -> None:
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    target, address, role = places(net)[2]
    with open_sync_channel(target, Keystore(net.layout.keystore("operator")).tls, peer=address, role=role) as channel:
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([request]), timeout=SECONDS
        )
        names = {service.name for answer in answers for service in answer.list_services_response.service}
    assert {"mpc_infer.v1.PartyService", "grpc.health.v1.Health"} <= names
