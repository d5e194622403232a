"""Servers: mutual TLS is required, every call passes the gate, health and reflection are on, SIGTERM ends softly."""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from mpc_infer.errors import ConfigError
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.rpc.admission import CallLimits
from mpc_infer.rpc.background import Background
from mpc_infer.rpc.channel import MAX_MESSAGE_BYTES
from mpc_infer.rpc.interceptor import Gate
from mpc_infer.rpc.policy import Policy
from mpc_infer.telemetry import Log

_LOG = Log("rpc")


@dataclass(frozen=True)
class Service:
    """One gRPC service: its full name, and how it is added to a server.

    Example:
        ``Service("mpc_infer.v1.PartyService", partial(add_PartyServiceServicer_to_server, servicer))``
    """

    name: str
    register: Callable[[grpc.aio.Server], None]


@dataclass(frozen=True)
class RpcServer:
    """A server that is bound to its port and not yet started."""

    server: grpc.aio.Server
    health: Any
    port: int
    names: tuple[str, ...]

    async def start(self) -> None:
        """Accept calls, and say so by the health service."""
        await self.server.start()
        await self._report(health_pb2.HealthCheckResponse.SERVING)

    async def say_not_serving(self) -> None:
        """Answer NOT_SERVING from now on; calls are still accepted."""
        await self._report(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Accept no more calls; running ones have the grace to finish, then they are cancelled."""
        await self.say_not_serving()
        await self.server.stop(grace_s)

    async def _report(self, status: int) -> None:
        for name in self.names:
            await self.health.set(name, status)


def _options(max_bytes: int, max_request_bytes: int) -> list[tuple[str, str | int]]:
    return [
        ("grpc.max_send_message_length", max_bytes),
        ("grpc.max_receive_message_length", max_request_bytes),
        ("grpc.so_reuseport", 0),  # a second process on the same port is a mistake, not a helper
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.http2.max_ping_strikes", 5),
    ]


def _bind(server: grpc.aio.Server, credentials: TlsCredentials, address: str) -> int:
    pair = (credentials.key_pem, credentials.cert_pem)
    secure = grpc.ssl_server_credentials([pair], credentials.ca_pem, require_client_auth=True)
    try:
        port = server.add_secure_port(address, secure)
    except RuntimeError as error:
        raise ConfigError(f"cannot listen on {address}: {error}", remedy="choose another port") from error
    if port == 0:
        raise ConfigError(f"cannot listen on {address}", remedy="choose another port, and check the certificate")
    return port


def build_server(
    credentials: TlsCredentials,
    policy: Policy,
    services: Sequence[Service],
    *,
    host: str,
    port: int,
    max_bytes: int = MAX_MESSAGE_BYTES,
    max_request_bytes: int | None = None,
    max_calls: int = 256,
    limits: CallLimits | None = None,
) -> RpcServer:
    """Build and bind a server. Must be called in the event loop that will run it.

    Args:
        credentials: the server's certificate, key and the only CA whose certificates it accepts.
        policy: who may call what; deny by default.
        services: what it serves, beside health and reflection.
        host: name or address to listen on.
        port: 0 takes a free one.
        max_bytes: largest message in either direction.
        max_request_bytes: largest request, where that is smaller.
        max_calls: calls at one time; more are refused by gRPC with RESOURCE_EXHAUSTED.
        limits: what one caller may take of the server.

    Raises:
        ConfigError: the port cannot be had.
    """
    server = grpc.aio.server(
        interceptors=(Gate(policy, limits),),
        options=_options(max_bytes, max_request_bytes or max_bytes),
        maximum_concurrent_rpcs=max_calls,
    )
    names = tuple(service.name for service in services)
    for service in services:
        service.register(server)
    checks: Any = health.aio.HealthServicer()  # type: ignore[attr-defined] # the stubs lack it
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    bound = _bind(server, credentials, f"{host}:{port}")
    return RpcServer(server, checks, bound, ("", *names))


def stop_event() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets, in the running loop."""
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, event.set)
    return event


async def serve_until_signal(
    server: RpcServer,
    *,
    role: str,
    grace_s: float = 10.0,
    stopping: Callable[[], Awaitable[None]] | None = None,
    stop: asyncio.Event | None = None,
    background: Background | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until background work fails, then end gracefully.

    Args:
        server: from build_server.
        role: for the log lines.
        grace_s: seconds that running calls have to finish.
        stopping: awaited when the end begins, before calls are waited for: end what would outlast the grace.
        stop: set instead of signals, where the caller (a test) decides the end.
        background: what the role cannot do without.

    Raises:
        InternalError: a background task failed; whoever supervises the process should start it again.
    """
    ended = stop or stop_event()
    await server.start()
    gc.freeze()  # what was imported stays: the collector need not look at it during calls
    _LOG.info("serving", role=role, port=server.port)
    await _first_of(ended, *([background.failed] if background is not None else []))
    _LOG.info("stopping", role=role)
    await server.say_not_serving()
    if stopping is not None:
        await stopping()
    await server.stop(grace_s)
    _LOG.info("stopped", role=role)
    if background is not None:
        background.check()


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
