"""Channels: mutual TLS, and the other side is who and what it should be, not merely somebody of the network."""

import grpc

from mpc_infer.identity.certs import identity_host
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.ids import Address

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message in bytes that any role sends or accepts, unless it is configured otherwise."""
MOST_MESSAGE_BYTES = 1 << 30
"""What it can be configured to. gRPC holds a message in memory several times."""

Options = tuple[tuple[str, str | int], ...]


def message_limits(max_bytes: int = MAX_MESSAGE_BYTES) -> Options:
    """The gRPC options that bound the size of a message."""
    return (("grpc.max_send_message_length", max_bytes), ("grpc.max_receive_message_length", max_bytes))


def _options(peer: Address, role: str, max_bytes: int) -> Options:
    return (
        *message_limits(max_bytes),
        ("grpc.ssl_target_name_override", identity_host(peer, role)),
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 500),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        # One connection per channel object: channels with other credentials never share one.
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    )


def _credentials(credentials: TlsCredentials) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(credentials.ca_pem, credentials.key_pem, credentials.cert_pem)


def open_channel(
    target: str, credentials: TlsCredentials, *, peer: Address, role: str, max_bytes: int = MAX_MESSAGE_BYTES
) -> grpc.aio.Channel:
    """An asyncio channel to one identity. It connects on first use and reconnects within about a second.

    Args:
        target: ``host:port``.
        credentials: ours.
        peer: the identity that the server's certificate must name.
        role: the role that it must name beside it.
        max_bytes: largest message in either direction.
    """
    return grpc.aio.secure_channel(target, _credentials(credentials), options=_options(peer, role, max_bytes))


def open_sync_channel(
    target: str, credentials: TlsCredentials, *, peer: Address, role: str, max_bytes: int = MAX_MESSAGE_BYTES
) -> grpc.Channel:
    """As open_channel, for callers without an event loop."""
    return grpc.secure_channel(target, _credentials(credentials), options=_options(peer, role, max_bytes))
