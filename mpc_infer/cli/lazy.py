"""Groups that import a command's module only when that command is used.

`mpc-infer --help` must be quick, and a client's installation has no torch: importing every role up front would break
both.
"""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import click

from mpc_infer.errors import InternalError


class Entry(NamedTuple):
    """Where a command lives: ``module:attribute``, and its line in the help."""

    target: str
    summary: str


class LazyGroup(click.Group):
    """A group whose commands are named by strings."""

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._entries = dict(entries)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order given."""
        return list(self._entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        entry = self._entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise InternalError(f"{entry.target} is not a command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in self._entries.items()])
