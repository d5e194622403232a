"""A chain of one's own on loopback: anvil where it is found, otherwise eth-tester in a process of its own."""

import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from mpc_infer.chain.registry import quantity
from mpc_infer.chain.rpc import JsonRpc
from mpc_infer.errors import ChainError, ChainUnavailable, ConfigError
from mpc_infer.ids import Address
from mpc_infer.process import die_with_parent

CHAIN_ID = 31337
FUNDS_WEI = 10**24
LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"  # noqa: S104 - only where it is asked for
_STOP_WITHIN_S = 5.0
_ANVIL_TRIES = 3  # somebody else may take the port between our looking and anvil's binding


def find_anvil() -> Path | None:
    """The anvil to run: ``$ANVIL``, then PATH, then npm packages below the working directory or its ``contracts/``.

    Raises:
        ConfigError: ``$ANVIL`` names something that cannot be run.
    """
    named = os.environ.get("ANVIL")
    if named:
        if not os.access(named, os.X_OK):
            raise ConfigError(f"$ANVIL is {named}, which cannot be run", remedy="correct or unset it")
        return Path(named)
    on_path = shutil.which("anvil")
    if on_path is not None:
        return Path(on_path)
    return next((path for path in _npm_places() if os.access(path, os.X_OK)), None)


def _npm_places() -> list[Path]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"node_modules/@foundry-rs/anvil-{platform.system().lower()}-{machine}/bin/anvil"
    project = Path(__file__).resolve().parents[2]
    return [root / package for root in (Path.cwd(), Path.cwd() / "contracts", project / "contracts")]


class DevChain:
    """A chain in a child process that dies with this one.

    Start it from a thread that lives as long as the chain is needed (the main thread): on Linux the child is killed
    when the thread that started it ends.

    Args:
        kind: ``"anvil"``, ``"eth-tester"``, or ``"auto"``: anvil where it is found.
        funded: who owns coins from the start.
        port: where to listen; 0 for any free port.
        exposed: listen on every address, not on loopback alone: for a container, whose network decides who gets there.
        log: where the child's output goes; nowhere by default.
        state: a file in which anvil keeps its state over restarts.
    """

    def __init__(
        self,
        kind: str = "auto",
        *,
        funded: Sequence[Address] = (),
        port: int = 0,
        exposed: bool = False,
        log: Path | None = None,
        state: Path | None = None,
    ) -> None:
        if kind not in ("auto", "anvil", "eth-tester"):
            raise ConfigError(f"a development chain is anvil, eth-tester or auto, not {kind!r}")
        anvil = None if kind == "eth-tester" else find_anvil()
        if kind == "anvil" and anvil is None:
            raise ConfigError("anvil is not found", remedy="set $ANVIL, or run `npm ci` in contracts/")
        self.kind = "eth-tester" if anvil is None else "anvil"
        self._anvil = anvil
        self._funded = tuple(funded)
        self._port = port
        self._exposed = exposed
        self._log = log
        self._state = state
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self, *, timeout_s: float = 30.0) -> "DevChain":
        """Start it and wait until it answers.

        Raises:
            ChainUnavailable: it does not come up in time.
        """
        deadline = time.monotonic() + timeout_s
        for attempt in range(1, _ANVIL_TRIES + 1):
            port = self._port or _free_port()
            self.url = f"http://{LOOPBACK}:{port}"
            self._process = self._spawn(port)
            try:
                self._wait(deadline)
            except ChainUnavailable:
                self.stop()
                if self._port or attempt == _ANVIL_TRIES or time.monotonic() >= deadline:
                    raise
            else:
                return self
        raise ChainUnavailable("the development chain did not start")

    @property
    def pid(self) -> int | None:
        """The child's process id, while it runs."""
        return self._process.pid if self._process is not None else None

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End the child: politely, then not. Does nothing where it has ended."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(_STOP_WITHIN_S)

    def __enter__(self) -> "DevChain":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _spawn(self, port: int) -> subprocess.Popen[bytes]:
        command = self._eth_tester_command(port) if self._anvil is None else self._anvil_command(self._anvil, port)
        output = subprocess.DEVNULL if self._log is None else self._log.open("ab")
        try:
            return subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(),
            )
        except OSError as error:
            raise ChainUnavailable(f"the development chain cannot be started: {error}") from error
        finally:
            if not isinstance(output, int):
                output.close()

    def _anvil_command(self, anvil: Path, port: int) -> list[str]:
        command = [
            str(anvil),
            "--host",
            ANYWHERE if self._exposed else LOOPBACK,
            "--port",
            str(port),
            "--chain-id",
            str(CHAIN_ID),
        ]
        # Its own accounts have keys that everybody knows: one only, and without coins.
        command += ["--accounts", "1", "--balance", "0"]
        if self._state is not None:
            command += ["--state", str(self._state), "--state-interval", "1"]
        return command

    def _eth_tester_command(self, port: int) -> list[str]:
        funded = [item for address in self._funded for item in ("--fund", address)]
        place = ["--host", ANYWHERE, "--exposed"] if self._exposed else []
        return [sys.executable, "-m", "mpc_infer.chain.embedded_server", "--port", str(port), *place, *funded]

    def _wait(self, deadline: float) -> None:
        rpc = JsonRpc(self.url, timeout_s=2.0)
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise ChainUnavailable(f"{self.kind} ended while it was starting", remedy=self._where_to_look())
            try:
                chain_id = quantity(rpc.call("eth_chainId"))
            except ChainError:
                time.sleep(0.03)
                continue
            if chain_id != CHAIN_ID:
                raise ChainUnavailable(f"another chain ({chain_id}) answers at {self.url}")
            return self._fund(rpc)
        raise ChainUnavailable(f"{self.kind} does not answer at {self.url}", remedy=self._where_to_look())

    def _fund(self, rpc: JsonRpc) -> None:
        if self.kind == "anvil":
            for address in self._funded:
                rpc.call("anvil_setBalance", address, hex(FUNDS_WEI))

    def _where_to_look(self) -> str:
        return f"see {self._log}" if self._log is not None else "start it with a log file to see why"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])
