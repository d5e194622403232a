"""`mpc-infer infer`: private inference from a file."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpc_infer.cli.options import ExistingFile, client_option, json_option, say
from mpc_infer.cli.output import print_json
from mpc_infer.errors import StoreError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mpc_infer.client import Client, InferenceResult


SECONDS = click.FloatRange(0.1, 3600)


@click.command()
@click.argument("model")
@click.argument("file", type=ExistingFile)
@client_option
@click.option("--input", "name", default="x", show_default=True, help="Name of the model's input.")
@click.option("--delivery", type=click.Choice(["coordinator", "client"]), default="client", show_default=True)
@click.option("--deadline", type=SECONDS, default=30.0, show_default=True, help="Seconds until the job is given up.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the first output here, as .npy.")
@click.option("--receipt", type=click.Path(dir_okay=False, path_type=Path), help="Wait for the anchor; write a bundle.")
@json_option
def infer(
    model: str,
    file: Path,
    config_file: Path,
    name: str,
    delivery: str,
    deadline: float,
    output: Path | None,
    receipt: Path | None,
    as_json: bool,
) -> None:
    """Send the rows of FILE (.npy or .csv) to MODEL, split into shares. Nobody but you sees them.

    The bundle written by --receipt does not reveal the result.
    """
    from mpc_infer.cli.rows import read_rows
    from mpc_infer.client import Client

    rows = read_rows(file)
    with Client(config_file) as client:
        result = client.infer(model, {name: rows}, delivery=delivery, deadline_s=deadline)
        if receipt is not None:
            _keep(client, result, receipt)
    # Shown first: a file that cannot be written does not cost the result.
    _show(result, as_json=as_json)
    if output is not None:
        save_result(next(iter(result.outputs.values())), output)


def _keep(client: "Client", result: "InferenceResult", path: Path) -> None:
    client.wait_anchored(result)
    bundle = client.bundle(result, openings=False)
    client.verify(bundle)
    bundle.save(path)
    say(f"receipt verified and written to {path}")


def save_result(values: "NDArray[np.float64]", path: Path) -> None:
    """Write an output to this very path; nobody else on this machine may read it.

    Raises:
        StoreError: it cannot be written.
    """
    import numpy as np

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            # Given a path instead, numpy appends .npy to it.
            np.save(file, values, allow_pickle=False)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}", remedy="give another --output") from error
    say(f"result written to {path}")


def _show(result: "InferenceResult", *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "job_id": result.job_id.hex(),
                "model_hash": result.model_hash.hex(),
                "outputs": {name: array.tolist() for name, array in result.outputs.items()},
                "online_ms": result.timings.online_ms,
                "end_to_end_ms": result.timings.end_to_end_ms,
                "rounds": result.cost.rounds,
            }
        )
        return
    for name, array in result.outputs.items():
        for row in array.reshape(len(array), -1):
            click.echo(f"{name}: " + " ".join(f"{value:.4f}" for value in row))
