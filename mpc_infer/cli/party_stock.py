"""`mpc-infer party stock`: the material that a party has ready, and what became of the rest."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpc_infer.cli.options import ExistingFile, json_option
from mpc_infer.cli.output import print_json

if TYPE_CHECKING:
    from mpc_infer.party.stock_report import StockLine

_UNITS = ("B", "KiB", "MiB", "GiB")


@click.command()
@click.option("--config", "config_file", type=ExistingFile, required=True, help="TOML file of the party.")
@json_option
def stock(config_file: Path, as_json: bool) -> None:
    """Show the material made ahead, by model and rows. Reads the party's database, whether or not the party runs."""
    from mpc_infer.party import stock_report
    from mpc_infer.party.config import PartyConfig

    now = datetime.now(UTC)
    lines = stock_report.stock_report(PartyConfig.load(config_file).party.database, now)
    if as_json:
        print_json({"stock": [stock_report.as_json(line) for line in lines]})
    elif lines:
        _print_table(lines, now)
    else:
        click.echo("no material was ever made here")


def _print_table(lines: "list[StockLine]", now: datetime) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("model")
    for name in ("rows", "ready", "on disk", "oldest", "used today", "used", "dropped"):
        table.add_column(name, justify="right")
    for line in lines:
        count = line.count
        shown = (count.rows, count.ready, _size(count.ready_bytes), _age(count.oldest_ms, now))
        table.add_row(line.name, *map(str, (*shown, count.consumed_since, count.consumed, count.dropped)))
    Console().print(table)


def _size(count: int) -> str:
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def _age(made_ms: int | None, now: datetime) -> str:
    if made_ms is None:
        return "-"
    seconds = max(0, int(now.timestamp()) - made_ms // 1000)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
