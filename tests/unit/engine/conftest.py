"""Links of several parties in one process: a thread each, real TLS sockets."""

import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mpc_infer.devnet.ports import free_ports
from mpc_infer.engine.tls_link import LinkConfig, TlsLink
from mpc_infer.identity import CertificateAuthority, Signer, TlsCredentials


class Ring:
    """The links and what is needed to make more."""

    def __init__(self, size: int, step_timeout_s: float = 5.0) -> None:
        self.authority = CertificateAuthority.create("test")
        self.addresses = tuple(Signer.generate().address for _ in range(size))
        targets = tuple(("127.0.0.1", port) for port in free_ports(size))
        self.configs = [
            LinkConfig(rank, self.addresses, targets[rank], targets, self.credentials(rank), step_timeout_s, 1 << 26)
            for rank in range(size)
        ]
        self.links = [TlsLink(config) for config in self.configs]
        self.pool = ThreadPoolExecutor(size)

    def credentials(self, rank: int, role: str = "party") -> TlsCredentials:
        pair = self.authority.issue(self.addresses[rank], role, ["127.0.0.1"])
        return TlsCredentials(self.authority.certificate_pem, *pair)

    def outcomes(self, work: Callable[[TlsLink], Any], ranks: list[int] | None = None) -> list[Any]:
        """What each party's call returns or raises."""
        chosen = self.links if ranks is None else [self.links[rank] for rank in ranks]

        def caught(link: TlsLink) -> Any:
            try:
                return work(link)
            except Exception as error:  # noqa: BLE001 (it is the result)
                return error

        return list(self.pool.map(caught, chosen))

    def call(self, work: Callable[[TlsLink], Any]) -> list[Any]:
        """What each party's call returns."""
        return list(self.pool.map(work, self.links))

    def begin(self, seconds: float = 10.0) -> bytes:
        """Start a session everywhere."""
        session_id = secrets.token_bytes(16)
        self.call(lambda link: link.begin(session_id, time.monotonic() + seconds))
        return session_id

    def close(self) -> None:
        for link in self.links:
            link.close()
        self.pool.shutdown()


@pytest.fixture
def make_ring():
    rings = []

    def make(size: int, **options: Any) -> Ring:
        rings.append(Ring(size, **options))
        return rings[-1]

    yield make
    for ring in rings:
        ring.close()
