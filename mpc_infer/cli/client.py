"""`mpc-infer client`: keys and configuration of clients."""

from pathlib import Path

import click

from mpc_infer.cli.options import client_option, json_option, say
from mpc_infer.cli.output import print_json


@click.group()
def client() -> None:
    """Make and show clients."""


@client.command()
@click.argument("name")
@click.option(
    "--network",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Directory of a network made by `mpc-infer devnet init`; its authority signs the certificate.",
)
@json_option
def init(name: str, directory: Path, as_json: bool) -> None:
    """Make keys, a certificate and a configuration for a new client called NAME."""
    from mpc_infer.devnet.init import load
    from mpc_infer.devnet.layout import Layout
    from mpc_infer.devnet.membership import add_client

    layout = Layout(directory.resolve())
    keystore = add_client(layout, name, load(layout))
    if as_json:
        print_json({"address": keystore.address, "config": str(layout.client(name))})
        return
    say(f"{keystore.address}: {layout.client(name)}")


@client.command()
@client_option
@json_option
def show(config_file: Path, as_json: bool) -> None:
    """Show who a client is: its address, DID and sealing keys. Nothing secret."""
    from mpc_infer.client.config import ClientConfig
    from mpc_infer.devnet.predict import CHAIN_ID
    from mpc_infer.identity.did import did_of
    from mpc_infer.identity.keystore import Keystore

    keystore = Keystore(ClientConfig.load(config_file).client.keystore)
    keys = {key.suite.name: key.key_id.hex() for key in keystore.sealing_keys.public_keys}
    shown = {"address": keystore.address, "did": did_of(CHAIN_ID, keystore.address), "sealing_keys": keys}
    if as_json:
        print_json(shown)
        return
    click.echo(f"{shown['address']}\n{shown['did']}")
