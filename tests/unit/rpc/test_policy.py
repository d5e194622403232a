"""The table of methods is complete, and denies by default."""

from types import ModuleType

import pytest

from mpc_infer.errors import NotAuthenticated, NotPermitted
from mpc_infer.identity.certs import Peer, Role
from mpc_infer.identity.signer import Signer
from mpc_infer.rpc.policy import POLICY, Policy, peer_of
from mpc_infer.v1 import coordinator_pb2, dealer_pb2, party_pb2


def methods_of(module: ModuleType) -> set[str]:
    services = module.DESCRIPTOR.services_by_name.values()
    return {f"/{service.full_name}/{method.name}" for service in services for method in service.methods}


def methods_of_the_protos() -> set[str]:
    return methods_of(coordinator_pb2) | methods_of(dealer_pb2) | methods_of(party_pb2)


def test_every_method_of_the_protos_is_in_the_table_and_nothing_else_of_ours():
    ours = {method for method in POLICY if method.startswith("/mpc_infer.")}
    assert ours == methods_of_the_protos()


def test_every_method_names_known_roles():
    assert all(roles and roles <= {role.value for role in Role} for roles in POLICY.values())


def test_no_role_but_the_coordinator_moves_a_party():
    for method in methods_of(party_pb2) - {"/mpc_infer.v1.PartyService/GetInfo"}:
        assert POLICY[method] == {"coordinator"}


def test_only_parties_get_corrections():
    assert POLICY["/mpc_infer.v1.DealerService/GetCorrections"] == {"party"}


@pytest.mark.parametrize("role", list(Role))
def test_a_method_that_is_not_named_is_denied(role):
    with pytest.raises(NotPermitted):
        Policy().authorise("/mpc_infer.v1.PartyService/Other", Peer(Signer.generate().address, role))


def test_a_caller_without_certificate_is_not_authenticated():
    class Context:
        def auth_context(self):
            return {}

    with pytest.raises(NotAuthenticated):
        peer_of(Context())
