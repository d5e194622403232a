"""A whole network on this machine: every role its own process, started by the command an operator would use."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from mpc_infer.devnet.configs import Network
from mpc_infer.devnet.health import Probe
from mpc_infer.devnet.init import initialise, load
from mpc_infer.devnet.layout import Layout
from mpc_infer.devnet.membership import add_client
from mpc_infer.devnet.process import RoleProcess, stop_all, wait_until
from mpc_infer.devnet.setup import chain_is_ready, set_up_contracts
from mpc_infer.devnet.topology import Topology, loopback
from mpc_infer.errors import ConfigError, Unavailable

START_SECONDS = 90.0
KERNEL_SECONDS = 300.0
KERNELS = (sys.executable, "-m", "mpc_infer.engine.masked.warm")
WATCH_SECONDS = 0.5
CHAIN, DEALER, COORDINATOR = "chain", "dealer", "coordinator"


def _silent(_: str) -> None:
    """Say nothing."""


def role_command(layout: Layout, name: str) -> list[str]:
    """The command that serves a role: what `mpc-infer ROLE serve --config FILE` runs, with this very interpreter."""
    kind = name.rstrip("0123456789")
    return [sys.executable, "-m", "mpc_infer.cli", kind, "serve", "--config", str(layout.config(name))]


class Devnet:
    """A network in a directory; a context manager that leaves no process behind.

    Args:
        directory: keys, configuration, databases and logs of every role go here. Where it holds a network
            already, that is run, whatever the other arguments say.
        parties: 2 to 5.
        lanes: lanes of each party.
        chain: "auto", "anvil" or "eth-tester".
        engine: of all parties, "masked" or "crypten".
        topology: where everything listens; by default free ports on loopback.
        progress: told what is happening, one line at a time.
    """

    def __init__(
        self,
        directory: Path,
        *,
        parties: int = 3,
        lanes: int = 1,
        chain: str = "auto",
        engine: str = "masked",
        topology: Topology | None = None,
        progress: Callable[[str], None] = _silent,
    ) -> None:
        self.layout = Layout(directory.resolve())
        self._progress = progress
        progress("making keys, certificates and configuration")
        if self.layout.network_file.exists():
            self.network: Network = load(self.layout)
        else:
            place = topology or loopback(parties, lanes)
            self.network = initialise(self.layout, place, chain=chain, engine=engine)
        names = [CHAIN, DEALER, *self.party_names, COORDINATOR]
        self._roles = {
            name: RoleProcess(name, role_command(self.layout, name), self.layout.log(name)) for name in names
        }

        self._kernels = RoleProcess("kernels", KERNELS, self.layout.root / "kernels.log")

    @property
    def party_names(self) -> list[str]:
        """party0, party1, ..."""
        return [f"party{index}" for index in range(len(self.network.members.parties))]

    @property
    def roles(self) -> list[RoleProcess]:
        """Every role's process, in the order in which they start."""
        return list(self._roles.values())

    @property
    def rpc_url(self) -> str:
        """The chain, as clients reach it."""
        return self.network.client_rpc_url

    def role(self, name: str) -> RoleProcess:
        """One role's process: chain, dealer, coordinator, party0, ...

        Raises:
            ConfigError: there is none of that name.
        """
        if name not in self._roles:
            raise ConfigError(f"no role {name!r} here, only {', '.join(self._roles)}")
        return self._roles[name]

    def party_process(self, index: int) -> RoleProcess:
        """One party's process."""
        return self.role(f"party{index}")

    def client(self, name: str) -> Path:
        """The configuration file of a client; its keys are made when it is asked for the first time."""
        config = self.layout.client(name)
        if not config.exists():
            add_client(self.layout, name, self.network)
        return config

    def start(self) -> None:
        """Start everything, contracts and registrations included, and wait until it serves.

        Raises:
            MpcInferError: a role ended or did not get ready, with the end of its log. Nothing is left running.
        """
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self._kernels.start()
        chain = self.role(CHAIN)
        self._progress("starting the chain")
        chain.start()
        wait_until(lambda: chain_is_ready(self.network, self.rpc_url), [chain], START_SECONDS, "the chain")
        self._progress("deploying contracts and registering the parties")
        set_up_contracts(self.layout, self.network, self.rpc_url)
        self._progress("compiling the engine's kernels, once per machine")
        self._compiled()
        self._progress(f"starting the dealer, {len(self.party_names)} parties and the coordinator")
        rest = [role for role in self.roles if role is not chain]
        for role in rest:
            role.start()
        self.wait_ready(*(role.name for role in rest))

    def _compiled(self) -> None:
        """Wait until the kernels are there: all roles would compile them at the same time otherwise."""
        if self._kernels.finish(KERNEL_SECONDS):
            tail = self._kernels.tail()
            raise Unavailable(f"the kernels could not be compiled:\n{tail}", remedy=f"read {self._kernels.log}")

    def wait_ready(self, *names: str) -> None:
        """Wait until the health service of every role named says that it serves.

        Raises:
            Unavailable: one ended, or the time is over.
        """
        for name in names:
            probe = Probe(self.layout, self.network, name)
            wait_until(probe, [self.role(name)], START_SECONDS, name)
            self._progress(f"{name} serves")

    def watch(self) -> None:
        """Block as long as every role lives.

        Raises:
            Unavailable: a role ended, with the end of its log.
        """
        while True:
            for role in self.roles:
                role.check()
            time.sleep(WATCH_SECONDS)

    def restart(self, name: str) -> None:
        """Start a role again, after a stop or a kill, and wait until it serves."""
        self.role(name).start()
        self.wait_ready(name)

    def stop(self) -> None:
        """Stop every role. Afterwards none of their processes exists."""
        stop_all([self._kernels, *self.roles[::-1]])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
