"""`mpc-infer model`: for owners of models, and for whoever looks for one."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpc_infer.cli.model_check import check
from mpc_infer.cli.model_cost import cost
from mpc_infer.cli.options import ExistingFile, client_option, json_option
from mpc_infer.cli.output import print_json
from mpc_infer.errors import ModelNotFound

if TYPE_CHECKING:
    from mpc_infer.model.manifest import Manifest


@click.group()
def model() -> None:
    """Publish, list and show models; say what they cost."""


model.add_command(check)
model.add_command(cost)


def _shape(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("rows" if size is None else str(size) for size in shape) + "]"


def describe(manifest: "Manifest") -> dict[str, Any]:
    """What anybody may know of a model version."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "model_hash": manifest.hash.hex(),
        "owner": manifest.owner,
        "party_set": manifest.party_set,
        "parties": len(manifest.share_commitments),
        "inputs": {spec.name: _shape(spec.shape) for spec in manifest.inputs},
        "outputs": {spec.name: _shape(spec.shape) for spec in manifest.outputs},
        "frac_bits": manifest.frac_bits,
        "input_limit": manifest.input_limit,
    }


@model.command()
@click.argument("file", type=ExistingFile)
@click.option("--name", required=True, help="Name of the model; it belongs to whoever uses it first.")
@click.option(
    "--version", type=click.IntRange(min=1), default=1, show_default=True, help="Never used before under this name."
)
@click.option("--public", is_flag=True, help="Everybody may use it.")
@click.option("--user", "users", multiple=True, help="Address that may use it; may be given again.")
@click.option(
    "--input-limit",
    type=click.IntRange(1, 2**15),
    help="Inputs lie strictly between -LIMIT and LIMIT. By default the largest power of two that fits the model.",
)
@client_option
@json_option
def publish(
    file: Path,
    name: str,
    version: int,
    public: bool,
    users: tuple[str, ...],
    input_limit: int | None,
    config_file: Path,
    as_json: bool,
) -> None:
    """Split the weights of an ONNX FILE, seal a share to each party, register the version and activate it."""
    from mpc_infer.client import Client
    from mpc_infer.ids import Address

    with Client(config_file) as client:
        allowed = [Address(user) for user in users]
        published = client.publish(file, name, version, public=public, users=allowed, input_limit=input_limit)
    if as_json:
        transactions = {step: "0x" + bytes(tx.hash).hex() for step, tx in published.txs.items()}
        print_json({**describe(published.manifest), "transactions": transactions})
        return
    click.echo(f"{name} {version} is active: {published.model_hash.hex()}")
    limit = published.manifest.input_limit
    click.echo(f"inputs must lie strictly between -{limit} and {limit}")


@model.command("list")
@client_option
@json_option
def list_models(config_file: Path, as_json: bool) -> None:
    """List the model versions that the parties hold."""
    from mpc_infer.client import Client

    with Client(config_file) as client:
        found = [describe(manifest) for manifest in client.models()]
    if as_json:
        print_json({"models": found})
        return
    for each in found:
        inputs = ", ".join(f"{name} {shape}" for name, shape in each["inputs"].items())
        click.echo(f"{each['name']:<24} {each['version']:>3}  {each['model_hash'][:16]}  {inputs}")
    if not found:
        click.echo("no models")


@model.command()
@click.argument("name")
@client_option
@json_option
def show(name: str, config_file: Path, as_json: bool) -> None:
    """Show the versions of the model called NAME."""
    from mpc_infer.client import Client

    with Client(config_file) as client:
        found = [describe(manifest) for manifest in client.models(name)]
    if not found:
        raise ModelNotFound(
            f"no model {name!r} at this coordinator", remedy="`mpc-infer model list` shows what there is"
        )
    if as_json:
        print_json({"versions": found})
        return
    for each in found:
        for key, value in each.items():
            click.echo(f"{key.replace('_', ' '):<12} {value}")
        click.echo("")
