"""The dealer as an operator runs it: `mpc-infer dealer serve` with a keystore and a configuration of its own."""

import sys
from pathlib import Path

from mpc_infer.devnet.membership import admit
from mpc_infer.devnet.ports import free_ports
from mpc_infer.devnet.process import RoleProcess, wait_until
from mpc_infer.devnet.toml import dumps, write_private
from mpc_infer.identity import CertificateAuthority
from mpc_infer.ids import Address
from mpc_infer.rpc.probe import is_serving

HOST = "127.0.0.1"
START_SECONDS = 60.0


class DealerProcess:
    """One dealer.

    Args:
        authority: signs its certificate.
        directory: for keys, configuration and log; private to the caller.
        host: that it listens on.

    Attributes:
        target: ``host:port``.
        key_id: 32 bytes that pin its sealing key.
    """

    def __init__(self, authority: CertificateAuthority, directory: Path, host: str = HOST) -> None:
        self._keystore = admit(authority, directory / "keystore", "dealer", [host])
        self.target = f"{host}:{free_ports(1, host)[0]}"
        self.key_id = self._keystore.sealing_keys.public().key_id
        config = directory / "dealer.toml"
        write_private(config, dumps({"dealer": {"listen": self.target, "keystore": "keystore"}}))
        command = [sys.executable, "-m", "mpc_infer.cli", "dealer", "serve", "--config", str(config)]
        self._role = RoleProcess("dealer", command, directory / "dealer.log")

    @property
    def address(self) -> Address:
        """Its identity."""
        return self._keystore.address

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._role.pid

    def start(self) -> None:
        """Start the process without waiting for it."""
        self._role.start()

    def wait_until_serving(self) -> None:
        """Wait for its health service to say so.

        Raises:
            Unavailable: it ended, or START_SECONDS are over; with the end of its log.
        """

        def serves() -> bool:
            return is_serving(self.target, self._keystore.tls, peer=self.address, role="dealer")

        wait_until(serves, [self._role], START_SECONDS, "the dealer")

    def stop(self) -> None:
        """SIGTERM, then see it gone."""
        self._role.ask_to_stop()
        self._role.finish()
