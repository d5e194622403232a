"""`mpc-infer model list`, `show` and `verify`: what is published, and whether a file is it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpc_infer.cli.options import ExistingFile, client_option, json_option
from mpc_infer.cli.output import print_json
from mpc_infer.cli.public_weights import describe_weights, in_words
from mpc_infer.errors import ModelNotFound

if TYPE_CHECKING:
    from mpc_infer.chain.records import PartyRecord
    from mpc_infer.client.catalogue import Evidence, ModelVersion
    from mpc_infer.model.manifest import Manifest


class Ceiling(click.ParamType[tuple[str, float]]):
    """A node and how high its ceiling lies."""

    name = "NODE=HEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Read one."""
        if isinstance(value, tuple):
            return value
        node, _, height = str(value).rpartition("=")
        try:
            return node, float(height)
        except ValueError:
            self.fail(f"{value!r}: give a node and a number, as relu_1=16", param, ctx)


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
        "graph": manifest.graph_digest.hex(),
        "public_digest": None if manifest.public_digest is None else manifest.public_digest.hex(),
        "inputs": {spec.name: _shape(spec.shape) for spec in manifest.inputs},
        "outputs": {spec.name: _shape(spec.shape) for spec in manifest.outputs},
        "frac_bits": manifest.frac_bits,
        "input_limit": manifest.input_limit,
        "input_ranges": _ranges(manifest),
        "calibration": _calibration(manifest),
        "analysis": manifest.analysis,
        "error_bounds": _bounds(manifest),
        "value_bits": list(manifest.value_bits),
    }


def _ranges(manifest: "Manifest") -> dict[str, dict[str, float | int]]:
    scale = 2.0**manifest.frac_bits
    pairs = zip(manifest.inputs, manifest.input_ranges, strict=True)
    return {
        spec.name: {"low": min(given.low) / scale, "high": max(given.high) / scale, "ranges": len(given.low)}
        for spec, given in pairs
    }


def _calibration(manifest: "Manifest") -> dict[str, int] | None:
    found = manifest.calibration
    return None if found is None else {"rows": found.rows, "margin_percent": found.margin_percent}


def _bounds(manifest: "Manifest") -> dict[str, float | None]:
    pairs = zip(manifest.outputs, manifest.error_bounds, strict=True)
    return {spec.name: None if bound is None else bound / 2.0**manifest.frac_bits for spec, bound in pairs}


def describe_version(version: "ModelVersion") -> dict[str, Any]:
    """The same, and where the version stands on the chain."""
    public = version.record is not None and version.record.public
    standing = {"status": version.status, "public": public}
    return {**describe(version.manifest), **describe_weights(version.graph), **standing}


@click.command("list")
@client_option
@json_option
def list_models(config_file: Path, as_json: bool) -> None:
    """List the model versions that the parties hold, and where each stands on the chain."""
    from mpc_infer.client import Client

    with Client(config_file) as client:
        versions = client.versions()
    found = [describe_version(version) for version in versions]
    if as_json:
        print_json({"models": found})
        return
    for each, version in zip(found, versions, strict=True):
        inputs = ", ".join(f"{name} {shape}" for name, shape in each["inputs"].items())
        click.echo(
            f"{each['name']:<24} {each['version']:>3}  {each['model_hash'][:16]}  {each['status']:<10}  "
            f"{each['frac_bits']:>2} bits  {in_words(version.graph):<24}  {inputs}"
        )
    if not found:
        click.echo("no models")


@click.command()
@click.argument("name")
@client_option
@json_option
def show(name: str, config_file: Path, as_json: bool) -> None:
    """Show the versions of the model called NAME: manifest, numbers, status on the chain, parties."""
    from mpc_infer.client import Client

    with Client(config_file) as client:
        versions = client.versions(name)
        if not versions:
            raise ModelNotFound(
                f"no model {name!r} at this coordinator", remedy="`mpc-infer model list` shows what there is"
            )
        parties = [client.parties(version.manifest) for version in versions]
    found = [
        {**describe_version(each), "members": _members(held)} for each, held in zip(versions, parties, strict=True)
    ]
    if as_json:
        print_json({"versions": found})
        return
    for each in found:
        for key, value in each.items():
            click.echo(f"{key.replace('_', ' '):<12} {_text(value)}")
        click.echo("")


def _members(parties: "tuple[PartyRecord, ...]") -> list[dict[str, str]]:
    return [{"address": party.address, "endpoint": party.endpoint} for party in parties]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "; ".join(_text(each) for each in value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@click.command()
@click.argument("name")
@click.argument("file", type=ExistingFile)
@click.option("--version", type=click.IntRange(min=1), help="By default the active one.")
@click.option(
    "--openings",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The folder that publish --keep-openings wrote: then the weights are checked, too. Secret.",
)
@click.option(
    "--ceiling",
    "ceilings",
    type=Ceiling(),
    multiple=True,
    help="NODE=HEIGHT of an activation that was published with a ceiling; may be given again.",
)
@client_option
@json_option
def verify(
    name: str,
    file: Path,
    version: int | None,
    openings: Path | None,
    ceilings: tuple[tuple[str, float], ...],
    config_file: Path,
    as_json: bool,
) -> None:
    """Check that FILE (.onnx, or a graph as parties store it, .json) is what was published as NAME.

    Its graph is compared with the manifest, and the manifest with the chain. Public weights are compared with the
    manifest's digest of them. Others are secret: only with the openings that their owner kept can anybody say that they
    are the file's.
    """
    from mpc_infer.client import Client

    with Client(config_file) as client:
        found = client.verify_model(name, _evidence(file, openings, dict(ceilings)), version)
    weights = "the same" if found.weights_shown else "not shown"
    if as_json:
        print_json({**describe_version(found.version), "steps": list(found.steps), "weights": weights})
        return
    for number, step in enumerate(found.steps, start=1):
        click.echo(f"{number}. {step}")
    click.echo(f"{file} is {name} {found.version.manifest.version}, {found.version.manifest.hash.hex()}")
    if not found.weights_shown:
        secret = "weights" if found.version.manifest.public_digest is None else "secret weights"
        click.echo(f"its {secret} were not compared: that takes an .onnx file and the owner's openings")


def _evidence(file: Path, openings: Path | None, ceilings: Mapping[str, float]) -> "Evidence":
    from mpc_infer.cli.model_cost import read_graph
    from mpc_infer.cli.openings import read_openings
    from mpc_infer.client.catalogue import Evidence
    from mpc_infer.graph.ceilings import ended_at
    from mpc_infer.graph.onnx_import import import_onnx

    kept = () if openings is None else read_openings(openings)
    if file.suffix == ".json":
        return Evidence(ended_at(read_graph(file), ceilings), None, kept)
    model = import_onnx(file)
    return Evidence(ended_at(model.graph, ceilings), model.weights, kept)
