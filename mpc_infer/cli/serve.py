"""`mpc-infer ROLE serve --config FILE`: one group per role, all alike."""

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mpc_infer import telemetry
from mpc_infer.cli.options import json_option
from mpc_infer.cli.output import print_json
from mpc_infer.cli.party_stock import stock
from mpc_infer.errors import Unavailable

ConfigFile = click.Path(exists=True, dir_okay=False, path_type=Path)


def log_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where and how a long-running command logs."""
    command = click.option("--log-json", is_flag=True, help="One JSON object per log line.")(command)
    levels = click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
    return click.option("--log-level", type=levels, default="INFO", show_default=True)(command)


def _role(name: str, summary: str, config_type: str) -> click.Group:
    @click.group(name, help=summary)
    def group() -> None:
        pass

    @group.command()
    @click.option("--config", "config_file", type=ConfigFile, required=True, help="TOML file of the role.")
    @log_options
    def serve(config_file: Path, log_level: str, log_json: bool) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        telemetry.configure(level=log_level, as_json=log_json)
        asyncio.run(importlib.import_module(f"mpc_infer.{name}.server").serve(_load(name, config_type, config_file)))

    @group.command()
    @click.option("--config", "config_file", type=ConfigFile, required=True, help="TOML file of the role.")
    @json_option
    def health(config_file: Path, as_json: bool) -> None:
        """Ask the role of this configuration, on this machine, whether it serves. Exit code 0 if it does."""
        section = getattr(_load(name, config_type, config_file), name)
        target = _check_health(section.listen, section.keystore, name)
        if as_json:
            print_json({"serving": True, "target": target})
        else:
            click.echo("serving")

    return group


def _load(name: str, config_type: str, config_file: Path) -> Any:
    return getattr(importlib.import_module(f"mpc_infer.{name}.config"), config_type).load(config_file)


def _check_health(listen: str, directory: Path, role: str) -> str:
    """Where the role serves.

    Raises:
        Unavailable: it does not.
    """
    from mpc_infer.identity.keystore import Keystore
    from mpc_infer.rpc.probe import is_serving
    from mpc_infer.rpc.settings import split_host_port

    host, port = split_host_port(listen)
    keystore = Keystore(directory)
    # Bound to every address, a service is asked on loopback.
    target = f"{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104
    if not is_serving(target, keystore.tls, peer=keystore.address, role=role):
        raise Unavailable(f"nothing serves at {target}", remedy="start the role, or read its log")
    return target


party = _role("party", "Run a computing party.", "PartyConfig")
party.add_command(stock)
dealer = _role("dealer", "Run the dealer of correlated randomness.", "DealerConfig")
coordinator = _role("coordinator", "Run the coordinator.", "CoordinatorConfig")
