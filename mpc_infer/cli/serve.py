"""`mpc-infer ROLE serve --config FILE`: one group per role, all alike."""

import asyncio
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from mpc_infer import telemetry

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
        config = getattr(importlib.import_module(f"mpc_infer.{name}.config"), config_type).load(config_file)
        asyncio.run(importlib.import_module(f"mpc_infer.{name}.server").serve(config))

    return group


party = _role("party", "Run a computing party.", "PartyConfig")
dealer = _role("dealer", "Run the dealer of correlated randomness.", "DealerConfig")
coordinator = _role("coordinator", "Run the coordinator.", "CoordinatorConfig")
