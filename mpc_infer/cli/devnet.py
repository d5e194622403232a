"""`mpc-infer devnet`: networks for development, on this machine or in containers."""

from dataclasses import asdict
from pathlib import Path

import click

from mpc_infer.cli.options import Directory, ending_in_order, json_option, network_options, say
from mpc_infer.cli.output import print_json


@click.group()
def devnet() -> None:
    """Make and run networks for development. All keys of such a network lie in one directory."""


@devnet.command()
@click.argument("directory", type=Directory)
@network_options
@click.option("--hosts", type=click.Choice(["loopback", "compose"]), default="loopback", show_default=True)
@click.option("--if-missing", is_flag=True, help="Leave a network that is there as it is.")
@json_option
def init(
    directory: Path, parties: int, lanes: int, chain: str, engine: str, hosts: str, if_missing: bool, as_json: bool
) -> None:
    """Write keys, certificates and configuration of every role into DIRECTORY.

    With `--hosts compose` every role is its own machine, reached by its name: chain, dealer, coordinator, party0, ...
    """
    from mpc_infer.devnet.init import initialise, load
    from mpc_infer.devnet.layout import Layout
    from mpc_infer.devnet.topology import compose, loopback

    layout = Layout(directory.resolve())
    if if_missing and layout.network_file.exists():
        network = load(layout)
    else:
        topology = (compose if hosts == "compose" else loopback)(parties, lanes)
        network = initialise(layout, topology, chain=chain, engine=engine)
    if as_json:
        print_json(
            {"directory": str(layout.root), "party_set": network.party_set, "parties": len(network.members.parties)}
        )
        return
    count = len(network.members.parties)
    say(f"{layout.root}: {count} parties, a dealer, a coordinator, a chain, an operator and two clients")


@devnet.command()
@click.argument("directory", type=Directory)
@network_options
@json_option
def up(directory: Path, parties: int, lanes: int, chain: str, engine: str, as_json: bool) -> None:
    """Run a network in DIRECTORY until Ctrl-C, making it first if there is none."""
    from mpc_infer.devnet import Devnet
    from mpc_infer.devnet.init import DATA_OWNER, OWNER

    net = Devnet(directory, parties=parties, lanes=lanes, chain=chain, engine=engine, progress=say)
    with ending_in_order(), net:
        clients = {name: str(net.client(name)) for name in (OWNER, DATA_OWNER)}
        if as_json:
            print_json({"party_set": net.network.party_set, "rpc_url": net.rpc_url, "clients": clients})
        for name, config in clients.items():
            say(f"{name}: export MPC_INFER_CLIENT={config}")
        say(f"chain: {net.rpc_url}")
        say("running; Ctrl-C ends it")
        net.watch()


@devnet.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--rpc", "rpc_url", help="The chain's JSON-RPC endpoint, if not the configured one.")
@json_option
def contracts(directory: Path, rpc_url: str | None, as_json: bool) -> None:
    """Deploy the contracts of the network in DIRECTORY and register its parties, as its operator; once."""
    from mpc_infer.devnet.init import load
    from mpc_infer.devnet.layout import Layout
    from mpc_infer.devnet.setup import set_up_contracts

    layout = Layout(directory.resolve())
    network = load(layout)
    set_up_contracts(layout, network, rpc_url or network.client_rpc_url)
    if as_json:
        print_json({"party_set": network.party_set, "contracts": asdict(network.contracts)})
        return
    say(f"contracts deployed, {len(network.members.parties)} parties registered as {network.party_set}")
