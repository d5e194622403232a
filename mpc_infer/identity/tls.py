"""Mutual TLS 1.3 for the sockets between lanes."""

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

from mpc_infer.errors import ConfigError


@dataclass(frozen=True)
class TlsCredentials:
    """Whom to trust, and how to prove who one is. All PEM.

    Args:
        ca_pem: certificates of the authorities that are trusted.
        cert_pem: one's own certificate.
        key_pem: its private key, unencrypted.
    """

    ca_pem: bytes
    cert_pem: bytes
    key_pem: bytes = field(repr=False)


def server_context(credentials: TlsCredentials) -> ssl.SSLContext:
    """A context for the accepting side: TLS 1.3 only, the peer must show a certificate of the authority.

    The caller reads who it is with ``peer_identity(socket.getpeercert(binary_form=True))``.

    Raises:
        ConfigError: the certificates or the key cannot be used.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER, credentials)
    # No session tickets: the dialling side would have to read them before it can tell that a link is idle.
    context.num_tickets = 0
    return context


def client_context(credentials: TlsCredentials) -> ssl.SSLContext:
    """A context for the dialling side: TLS 1.3 only. Wrap with ``server_hostname=identity_host(address, role)``.

    Raises:
        ConfigError: the certificates or the key cannot be used.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, credentials)


def _context(protocol: int, credentials: TlsCredentials) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.hostname_checks_common_name = False
    try:
        context.load_verify_locations(cadata=credentials.ca_pem.decode("ascii"))
        with _readable_path(credentials.cert_pem + credentials.key_pem) as path:
            context.load_cert_chain(path)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError("the TLS certificates or the key cannot be used", remedy="issue them anew") from error
    return context


@contextlib.contextmanager
def _readable_path(contents: bytes) -> Iterator[str]:
    """A path that the ssl module can read from: it takes no keys from memory. On Linux nothing touches a disk."""
    if hasattr(os, "memfd_create"):
        with open(os.memfd_create("tls", os.MFD_CLOEXEC), "wb") as file:  # noqa: PTH123 (a descriptor, not a path)
            file.write(contents)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:
            file.write(contents)
            file.flush()
            yield file.name
