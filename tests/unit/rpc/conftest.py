"""A certificate authority, identities, and a real server on loopback."""

from collections.abc import AsyncIterator
from functools import partial

import pytest

from mpc_infer import errors
from mpc_infer.identity.certs import CertificateAuthority
from mpc_infer.identity.signer import Signer
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.ids import Address
from mpc_infer.rpc.policy import Policy
from mpc_infer.rpc.server import RpcServer, Service, build_server
from mpc_infer.v1 import dealer_pb2, dealer_pb2_grpc, party_pb2, party_pb2_grpc

MAX_BYTES = 1 << 20


class Identities:
    def __init__(self) -> None:
        self.authority = CertificateAuthority.create("test network")
        self.coordinator = Signer.generate().address
        self.server = Signer.generate().address

    def credentials(self, role: str, address: Address | None = None) -> TlsCredentials:
        address = address or Signer.generate().address
        certificate, key = self.authority.issue(address, role, ["127.0.0.1"], 1)
        return TlsCredentials(self.authority.certificate_pem, certificate, key)


class Party(party_pb2_grpc.PartyServiceServicer):
    """Answers, or fails as the request asks it to."""

    async def GetInfo(self, request, context):  # noqa: N802
        return party_pb2.GetInfoResponse(lanes=3)

    async def SignRoot(self, request, context):  # noqa: N802
        return party_pb2.SignRootResponse(root=b"r" * len(request.receipt_digests[0]))

    async def AbortSession(self, request, context):  # noqa: N802
        if request.reason == "ours":
            raise errors.PeerTimeout("party 2 was silent", remedy="look at party 2", party=2)
        raise ValueError(f"a foreign error with a secret: {request.reason}")


class Dealer(dealer_pb2_grpc.DealerServiceServicer):
    async def GetDealerInfo(self, request, context):  # noqa: N802
        return dealer_pb2.GetDealerInfoResponse()

    async def GetCorrections(self, request, context):  # noqa: N802
        yield dealer_pb2.GetCorrectionsResponse(chunk=b"first")
        if request.plan == b"break":
            raise errors.PlanMismatch("in the middle")
        yield dealer_pb2.GetCorrectionsResponse(chunk=b"second")


@pytest.fixture(scope="session")
def identities() -> Identities:
    return Identities()


@pytest.fixture
async def server(identities: Identities) -> AsyncIterator[RpcServer]:
    services = [
        Service("mpc_infer.v1.PartyService", partial(party_pb2_grpc.add_PartyServiceServicer_to_server, Party())),
        Service("mpc_infer.v1.DealerService", partial(dealer_pb2_grpc.add_DealerServiceServicer_to_server, Dealer())),
    ]
    policy = Policy(pinned={"coordinator": frozenset({identities.coordinator})})
    credentials = identities.credentials("party", identities.server)
    built = build_server(credentials, policy, services, host="127.0.0.1", port=0, max_bytes=MAX_BYTES)
    await built.start()
    yield built
    await built.stop(0)
