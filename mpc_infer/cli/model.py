"""`mpc-infer model`: for owners of models, and for whoever looks for one."""

from pathlib import Path

import click

from mpc_infer.cli.declared import Said, declared_options
from mpc_infer.cli.model_catalogue import describe, list_models, show, verify
from mpc_infer.cli.model_check import check
from mpc_infer.cli.model_cost import cost
from mpc_infer.cli.openings import save_openings
from mpc_infer.cli.options import ExistingFile, client_option, json_option
from mpc_infer.cli.output import print_json
from mpc_infer.cli.public_weights import describe_weights, in_words, public_weight_options


@click.group()
def model() -> None:
    """Check, publish, list, show and verify models; say what they cost."""


@model.command()
@click.argument("file", type=ExistingFile)
@click.option("--name", required=True, help="Name of the model; it belongs to whoever uses it first.")
@click.option(
    "--version", type=click.IntRange(min=1), default=1, show_default=True, help="Never used before under this name."
)
@click.option("--public", is_flag=True, help="Everybody may use it.")
@click.option("--user", "users", multiple=True, help="Address that may use it; may be given again.")
@public_weight_options
@declared_options
@click.option(
    "--keep-openings",
    type=click.Path(exists=False, path_type=Path),
    help="New folder for what the sealed shares hold, for `model verify`. Secret: together it is the weights.",
)
@client_option
@json_option
def publish(
    file: Path,
    name: str,
    version: int,
    public: bool,
    users: tuple[str, ...],
    known: tuple[str, ...],
    said: Said,
    keep_openings: Path | None,
    config_file: Path,
    as_json: bool,
) -> None:
    """Split the weights of an ONNX FILE, seal a share to each party, register the version and activate it.

    Weights that are said to be public go to every party in the clear, and cost less to compute with. `--public` is
    something else: who may use the model.

    Refused where a value could leave the range of fixed point for inputs inside their ranges; `mpc-infer model check`
    says so, and more, beforehand.
    """
    from mpc_infer.client import Client
    from mpc_infer.graph.ceilings import heights
    from mpc_infer.graph.onnx_import import import_onnx
    from mpc_infer.ids import Address

    read = import_onnx(file)
    declared = said.declared([spec.name for spec in read.graph.inputs])
    imported = said.with_ceilings(read)
    ceilings = heights(read.graph, imported.graph)
    with Client(config_file) as client:
        keep = keep_openings is not None
        package = client.package(imported, name, version, ranges=declared, public_weights=known, keep_openings=keep)
        if keep_openings is not None:
            save_openings(keep_openings, package.openings)
        allowed = [Address(user) for user in users]
        published = client.publish(package, name, version, public=public, users=allowed)
    told = {**describe(published.manifest), **describe_weights(package.graph)}
    if as_json:
        transactions = {step: "0x" + bytes(tx.hash).hex() for step, tx in published.txs.items()}
        print_json({**told, "ceilings": ceilings, "transactions": transactions})
        return
    click.echo(f"{name} {version} is active: {published.model_hash.hex()}")
    click.echo(in_words(package.graph))
    click.echo(f"{told['frac_bits']} fractional bits; rows outside of these ranges are refused by clients:")
    for each, given in told["input_ranges"].items():
        which = "all features" if given["ranges"] == 1 else f"{given['ranges']} features, each with a range of its own"
        click.echo(f"  {each}: {given['low']:.6g} to {given['high']:.6g}, {which}")
    if ceilings:
        click.echo("activations with ceilings (`model verify` asks for them):")
        click.echo("  " + " ".join(f"--ceiling {node}={height:g}" for node, height in ceilings.items()))


for command in (check, cost, list_models, show, verify):
    model.add_command(command)
