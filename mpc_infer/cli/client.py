"""`mpc-infer client`: keys and configuration of clients."""

from pathlib import Path

import click

from mpc_infer.cli.options import client_option, json_option, say
from mpc_infer.cli.output import print_json
from mpc_infer.errors import ChainUnavailable

ANSWER_SECONDS = 5.0


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
    """Show who a client is: its address, DID and sealing keys. Nothing secret.

    A DID names its chain, so the configured chain is asked which one it is.
    """
    from mpc_infer.client.config import ClientConfig
    from mpc_infer.identity.did import did_of
    from mpc_infer.identity.keystore import Keystore

    config = ClientConfig.load(config_file)
    keystore = Keystore(config.client.keystore)
    keys = {key.suite.name: key.key_id.hex() for key in keystore.sealing_keys.public_keys}
    chain_id = _chain_id(config.chain.rpc_url)
    did = None if chain_id is None else did_of(chain_id, keystore.address)
    if as_json:
        print_json({"address": keystore.address, "did": did, "sealing_keys": keys})
        return
    click.echo(keystore.address if did is None else f"{keystore.address}\n{did}")


def _chain_id(rpc_url: str) -> int | None:
    """The number of a chain; None, and a word about it, if that does not answer."""
    from mpc_infer.chain.registry import quantity
    from mpc_infer.chain.rpc import JsonRpc

    try:
        return quantity(JsonRpc(rpc_url, timeout_s=ANSWER_SECONDS).call("eth_chainId"))
    except ChainUnavailable:
        say(f"no DID: the chain at {rpc_url} does not answer, and a DID names its chain")
        return None
