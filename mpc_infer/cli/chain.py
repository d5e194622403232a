"""`mpc-infer chain serve`: a development chain; a real network is configured by its JSON-RPC address alone."""

import time
from pathlib import Path
from typing import Annotated, Literal

import click
from pydantic import Field

from mpc_infer import telemetry
from mpc_infer.chain.devchain import LOOPBACK, DevChain
from mpc_infer.chain.registry import quantity
from mpc_infer.chain.rpc import JsonRpc
from mpc_infer.cli.options import ExistingFile, ending_in_order, json_option
from mpc_infer.cli.output import print_json
from mpc_infer.cli.serve import log_options
from mpc_infer.encoding import address_bytes, to_address
from mpc_infer.errors import ChainUnavailable, ConfigError
from mpc_infer.ids import Address
from mpc_infer.rpc.settings import HexAddress, HostPort, Section, read_toml, settings_from, split_host_port

POLL_SECONDS = 0.2
ANSWER_SECONDS = 5.0
_log = telemetry.Log("cli.chain")


class ChainSection(Section):
    """Where the chain listens, what runs it, and who has money from the start.

    Attributes:
        exposed: listen on every address. Whoever reaches a development chain can do with it what they like: only for a
            container whose network nobody else is on.
    """

    listen: HostPort
    backend: Literal["auto", "anvil", "eth-tester"] = "auto"
    exposed: bool = False
    fund: Annotated[tuple[HexAddress, ...], Field(max_length=100)] = ()


class ChainConfig(Section):
    """Everything a development chain needs."""

    chain: ChainSection


@click.group()
def chain() -> None:
    """Run a development chain."""


@chain.command()
@click.option("--config", "config_file", type=ExistingFile, required=True, help="TOML file of the chain.")
@log_options
def serve(config_file: Path, log_level: str, log_json: bool) -> None:
    """Serve until SIGTERM or Ctrl-C: anvil where it is found, else eth-tester."""
    telemetry.configure(level=log_level, as_json=log_json)
    settings = _load(config_file)
    host, port = split_host_port(settings.listen)
    if not settings.exposed and host not in ("127.0.0.1", "localhost"):
        raise ConfigError(
            f"a development chain listens on loopback, not on {host}", remedy="set exposed = true if you must"
        )
    funded = [to_address(address_bytes(Address(text))) for text in settings.fund]
    log, state = config_file.with_name("node.log"), config_file.with_name("anvil.json")
    node = DevChain(settings.backend, funded=funded, port=port, exposed=settings.exposed, log=log, state=state)
    with ending_in_order(), node:
        _log.info("serving", backend=node.kind, url=node.url)
        while node.alive:
            time.sleep(POLL_SECONDS)
        raise ChainUnavailable(f"{node.kind} ended", remedy=f"see {log}")


@chain.command()
@click.option("--config", "config_file", type=ExistingFile, required=True, help="TOML file of the chain.")
@json_option
def health(config_file: Path, as_json: bool) -> None:
    """Ask the chain of this configuration, on this machine, whether it answers. Exit code 0 if it does."""
    _, port = split_host_port(_load(config_file).listen)
    number = JsonRpc(f"http://{LOOPBACK}:{port}", timeout_s=ANSWER_SECONDS).call("eth_blockNumber")
    block = quantity(number)
    if as_json:
        print_json({"serving": True, "block": block})
        return
    click.echo(f"serving, at block {block}")


def _load(config_file: Path) -> ChainSection:
    return settings_from(ChainConfig, read_toml(config_file), config_file).chain
