"""The dealer as a process."""

import asyncio
from functools import partial

from mpc_infer.dealer.config import DealerConfig
from mpc_infer.dealer.service import Dealer
from mpc_infer.dealer.servicer import DealerServicer, Turns
from mpc_infer.identity.keystore import Keystore
from mpc_infer.rpc.admission import CallLimits
from mpc_infer.rpc.policy import Policy
from mpc_infer.rpc.server import RpcServer, Service, build_server, serve_until_signal
from mpc_infer.rpc.settings import split_host_port
from mpc_infer.v1.dealer_pb2_grpc import add_DealerServiceServicer_to_server

SERVICE = "mpc_infer.v1.DealerService"
SEEDS_BYTES = 1 << 16
"""Room in a request for what is not the plan: 16 sealed seeds of less than 2 KiB."""


def build(config: DealerConfig) -> RpcServer:
    """Wire a dealer, bound to its port and not yet started.

    Raises:
        StoreError: the keystore cannot be read.
        ConfigError: the port cannot be had.
    """
    keystore = Keystore(config.dealer.keystore)
    limits = config.limits
    servicer = DealerServicer(
        Dealer(keystore.sealing_keys, limits), Turns(limits.max_concurrent, limits.max_per_caller)
    )
    host, port = split_host_port(config.dealer.listen)
    service = Service(SERVICE, partial(add_DealerServiceServicer_to_server, servicer))
    return build_server(
        keystore.tls,
        Policy(),
        [service],
        host=host,
        port=port,
        max_request_bytes=limits.max_plan_bytes + SEEDS_BYTES,
        limits=CallLimits(stream_s=limits.request_s),
    )


async def serve(config: DealerConfig, *, stop: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM.

    Args:
        config: from DealerConfig.load.
        stop: ends the service instead of a signal, for tests.
    """
    await serve_until_signal(build(config), role="dealer", grace_s=config.limits.grace_s, stop=stop)
