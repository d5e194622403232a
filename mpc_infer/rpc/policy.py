"""Who may call which method. What is not named here, nobody may call."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from mpc_infer.errors import NotAuthenticated, NotPermitted
from mpc_infer.identity.certs import Peer, peer_identity
from mpc_infer.ids import Address

_EVERYBODY = frozenset({"client", "party", "dealer", "coordinator", "operator"})
_CLIENTS = frozenset({"client"})
_CLIENTS_AND_OPERATORS = frozenset({"client", "operator"})
_COORDINATOR = frozenset({"coordinator"})

POLICY: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "/mpc_infer.v1.CoordinatorService/GetNetwork": _CLIENTS_AND_OPERATORS,
        "/mpc_infer.v1.CoordinatorService/PublishModel": _CLIENTS,
        "/mpc_infer.v1.CoordinatorService/ListModels": _CLIENTS_AND_OPERATORS,
        "/mpc_infer.v1.CoordinatorService/SubmitJob": _CLIENTS,
        "/mpc_infer.v1.CoordinatorService/GetJob": _CLIENTS,
        "/mpc_infer.v1.CoordinatorService/WatchJob": _CLIENTS,
        "/mpc_infer.v1.CoordinatorService/GetReceipt": _CLIENTS,
        "/mpc_infer.v1.PartyService/GetInfo": frozenset({"coordinator", "party", "operator"}),
        "/mpc_infer.v1.PartyService/InstallModel": _COORDINATOR,
        "/mpc_infer.v1.PartyService/PrepareMaterial": _COORDINATOR,
        "/mpc_infer.v1.PartyService/OpenModel": _COORDINATOR,
        "/mpc_infer.v1.PartyService/RunSession": _COORDINATOR,
        "/mpc_infer.v1.PartyService/ListMaterial": _COORDINATOR,
        "/mpc_infer.v1.PartyService/DropMaterial": _COORDINATOR,
        "/mpc_infer.v1.PartyService/AbortSession": _COORDINATOR,
        "/mpc_infer.v1.PartyService/SignRoot": _COORDINATOR,
        "/mpc_infer.v1.DealerService/GetDealerInfo": frozenset({"party", "operator"}),
        "/mpc_infer.v1.DealerService/GetCorrections": frozenset({"party"}),
        "/grpc.health.v1.Health/Check": _EVERYBODY,
        "/grpc.health.v1.Health/Watch": _EVERYBODY,
        "/grpc.health.v1.Health/List": _EVERYBODY,
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": _EVERYBODY,
    }
)
"""Full method name to the roles that may call it."""


@lru_cache(maxsize=1024)
def _identity(certificate: bytes) -> Peer:
    return peer_identity(certificate)


def peer_of(context: Any) -> Peer:
    """Who calls, by the certificate that the TLS handshake verified.

    Args:
        context: the gRPC servicer context of the call.

    Raises:
        NotAuthenticated: there is no certificate, or it names no address or role.
    """
    certificates = context.auth_context().get("x509_pem_cert") or ()
    for certificate in certificates:
        return _identity(bytes(certificate))
    raise NotAuthenticated("the caller shows no certificate", remedy="connect with a certificate of this network")


@dataclass(frozen=True)
class Policy:
    """The table of a server, and which addresses may act in a role where they are pinned by configuration.

    Args:
        methods: full method name to roles.
        pinned: role to the only addresses that may act in it; a role that is absent is open to every
            certificate that names it.
    """

    methods: Mapping[str, frozenset[str]] = field(default_factory=lambda: POLICY)
    pinned: Mapping[str, frozenset[Address]] = field(default_factory=dict)

    def authorise(self, method: str, peer: Peer) -> Peer:
        """Return the peer if it may call the method.

        Raises:
            NotPermitted: its role, or its address in that role, may not.
        """
        if peer.role not in self.methods.get(method, frozenset()):
            raise NotPermitted(f"role {peer.role} may not call {method}")
        if peer.role in self.pinned and peer.address not in self.pinned[peer.role]:
            raise NotPermitted(f"{peer.address} is not the {peer.role} that this service is configured for")
        return peer
