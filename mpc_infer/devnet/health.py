"""Whether a role serves, by grpc.health.v1 over mutual TLS."""

from mpc_infer.devnet.configs import Network
from mpc_infer.devnet.layout import Layout
from mpc_infer.errors import ConfigError
from mpc_infer.identity.keystore import Keystore
from mpc_infer.ids import Address
from mpc_infer.rpc.probe import is_serving


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
        self._role = name if name in ("dealer", "coordinator") else "party"
        self._credentials = Keystore(layout.keystore("operator")).tls

    def __call__(self) -> bool:
        """True if the role says that it serves; False if it does not answer, or answers otherwise."""
        return is_serving(self._target, self._credentials, peer=self._address, role=self._role)
