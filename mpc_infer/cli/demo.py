"""`mpc-infer demo`."""

import shlex
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpc_infer.cli.options import Directory, ending_in_order, json_option, network_options, say
from mpc_infer.cli.output import print_json

if TYPE_CHECKING:
    from mpc_infer.devnet.demo import Place
    from mpc_infer.devnet.report import Report


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    """A directory that stays, or one that is gone afterwards with every key in it."""
    if keep is not None:
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="mpc-infer-") as temporary:
        yield Path(temporary) / "net"


@click.command()
@network_options
@click.option("--keep", type=Directory, help="Leave keys, configuration, logs and receipts in this (new) directory.")
@click.option("--network", type=Directory, help="Use a network that runs, by the clients' files in this directory.")
@click.option("--stay", is_flag=True, help="Keep the network running afterwards, until Ctrl-C.")
@json_option
def demo(
    parties: int,
    lanes: int,
    chain: str,
    engine: str,
    keep: Path | None,
    network: Path | None,
    stay: bool,
    as_json: bool,
) -> None:
    """Run a whole network on this machine: two models, private answers, verified receipts.

    Every role is a process of its own. Nothing is left behind, whatever ends the demo.
    """
    from mpc_infer.devnet.attached import AttachedNetwork
    from mpc_infer.devnet.demo import Settings, demonstrate, run_demo

    if network is not None:
        demonstrate(AttachedNetwork(network), say, partial(_show, as_json=as_json, how=_on_the_chain))
        return
    how = _on_the_chain if stay else _offline if keep is not None else _left_behind
    show = partial(_show, as_json=as_json, how=how)
    with ending_in_order(), _directory(keep) as directory:
        settings = Settings(directory, parties=parties, lanes=lanes, chain=chain, engine=engine, stay=stay)
        run_demo(settings, say, show)


def _show(report: "Report", net: "Place", *, as_json: bool, how: "Callable[[Place], list[str]]") -> None:
    """Print what the demo found, and how to check it oneself."""
    from mpc_infer.devnet.report import print_report

    if as_json:
        print_json(report.as_json())
    else:
        print_report(report)
        click.echo(f"{report.seconds} s on this machine, from training the first model to verifying the last receipt.")
    command = ["mpc-infer", "receipt", "verify", *how(net)]
    say(f"Verify a receipt yourself: {shlex.join(command)}")


def _a_receipt(net: "Place") -> Path:
    return next(iter(sorted(net.layout.receipts.glob("*.json"))))


def _on_the_chain(net: "Place") -> list[str]:
    from mpc_infer.devnet.init import DATA_OWNER

    return [str(_a_receipt(net)), "--config", str(net.client(DATA_OWNER))]


def _offline(net: "Place") -> list[str]:
    return [str(_a_receipt(net)), "--offline", str(net.layout.facts_file)]


def _left_behind(net: "Place") -> list[str]:
    """All else of this network is about to be removed; a receipt and the facts about it hold nothing secret."""
    place = Path(tempfile.mkdtemp(prefix="mpc-infer-receipt-"))
    receipt = shutil.copy(_a_receipt(net), place / "receipt.json")
    facts = shutil.copy(net.layout.facts_file, place / "facts.json")
    return [str(receipt), "--offline", str(facts)]
