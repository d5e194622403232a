"""Whether a role serves, by grpc.health.v1 over mutual TLS."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mpc_infer.devnet.configs import Network
from mpc_infer.devnet.layout import Layout
from mpc_infer.errors import ConfigError
from mpc_infer.identity.keystore import Keystore
from mpc_infer.ids import Address
from mpc_infer.rpc.channel import open_sync_channel

CHECK_SECONDS = 2.0


def _place(network: Network, name: str) -> tuple[str, Address]:
    """A role's ``host:port`` and identity."""
    topology, members = network.topology, network.members
    if name == "dealer":
        return topology.dealer.target, members.dealer
    if name == "coordinator":
        return topology.coordinator.target, members.coordinator
    index = name.removeprefix("party")
    if not index.isdecimal() or int(index) >= len(members.parties):
        raise ConfigError(f"no role {name!r} with a health service")
    return topology.parties[int(index)].service.target, members.parties[int(index)]


class Probe:
    """Asks one role whether it serves, as the operator."""

    def __init__(self, layout: Layout, network: Network, name: str) -> None:
        self._target, self._address = _place(network, name)
        self._credentials = Keystore(layout.keystore("operator")).tls

    def __call__(self) -> bool:
        """True if the role says that it serves; False if it does not answer, or answers otherwise."""
        with open_sync_channel(self._target, self._credentials, peer=self._address) as channel:
            try:
                answer = health_pb2_grpc.HealthStub(channel).Check(
                    health_pb2.HealthCheckRequest(), timeout=CHECK_SECONDS, wait_for_ready=False
                )
            except grpc.RpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
