"""Options that several commands have."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

Command = Callable[..., Any]

ExistingFile = click.Path(exists=True, dir_okay=False, path_type=Path)
Directory = click.Path(file_okay=False, path_type=Path)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
client_option = click.option(
    "--config",
    "config_file",
    type=ExistingFile,
    required=True,
    envvar="MPC_INFER_CLIENT",
    help="The client's TOML file; by default $MPC_INFER_CLIENT.",
)


def network_options(command: Command) -> Command:
    """What sort of devnet is meant."""
    chains = click.Choice(["auto", "anvil", "eth-tester"])
    command = click.option("--chain", type=chains, default="auto", show_default=True, help="Development chain.")(
        command
    )
    engines = click.Choice(["masked", "crypten"])
    command = click.option("--engine", type=engines, default="masked", show_default=True, help="Of all parties.")(
        command
    )
    lanes, parties = click.IntRange(1, 8), click.IntRange(2, 5)
    command = click.option("--lanes", type=lanes, default=1, show_default=True, help="Lanes of each party.")(command)
    return click.option("--parties", type=parties, default=3, show_default=True, help="Parties.")(command)


def say(line: str) -> None:
    """Tell a person what is happening, on stderr."""
    click.echo(line, err=True)


def _terminated(number: int, frame: FrameType | None) -> None:
    # As an exception, so that every context manager on the way up closes what it opened.
    sys.exit(128 + number)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP end the command by an exception, as Ctrl-C does."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _terminated) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
