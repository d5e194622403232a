"""Whether a service serves, by grpc.health.v1 over mutual TLS."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.ids import Address
from mpc_infer.rpc.channel import open_sync_channel


def is_serving(target: str, credentials: TlsCredentials, *, peer: Address, role: str, timeout_s: float = 2.0) -> bool:
    """Ask once.

    Args:
        target: ``host:port``.
        credentials: ours; any role may ask.
        peer: whose service it must be.
        role: what it must be.
        timeout_s: for the whole question.

    Returns:
        True if it says that it serves; False if it does not answer, or answers otherwise.
    """
    with open_sync_channel(target, credentials, peer=peer, role=role) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout_s, wait_for_ready=False
            )
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
