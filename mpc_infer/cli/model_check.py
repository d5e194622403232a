"""`mpc-infer model check`: whether a model can be deployed, node by node, and how well."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mpc_infer.cli.declared import Said, declared_options, read_inputs
from mpc_infer.cli.options import ExistingFile, json_option
from mpc_infer.cli.output import exit_status, print_json
from mpc_infer.cli.public_weights import public_weight_options

if TYPE_CHECKING:
    from mpc_infer.engine.latency import Latency
    from mpc_infer.engine.model_check import Report

Positive = click.FloatRange(0, min_open=True)


@click.command()
@click.argument("file", type=ExistingFile)
@declared_options
@public_weight_options
@click.option("--data", type=ExistingFile, help="Rows (.npy, .npz, .csv) to compare fixed point with the model on.")
@click.option("--parties", type=click.IntRange(2, 16), default=3, show_default=True, help="Parties.")
@click.option("--batch", type=click.IntRange(1, 2**20), default=1, show_default=True, help="Rows of one request.")
@click.option("--engine", type=click.Choice(["masked", "crypten"]), default="masked", show_default=True, help="Engine.")
@click.option("--lan-rtt", type=click.FloatRange(0), default=0.5, show_default=True, help="ms, round trip.")
@click.option("--lan-bandwidth", type=Positive, default=1000.0, show_default=True, help="Mbit/s.")
@click.option("--wan-rtt", type=click.FloatRange(0), default=40.0, show_default=True, help="ms, round trip.")
@click.option("--wan-bandwidth", type=Positive, default=100.0, show_default=True, help="Mbit/s.")
@click.option("--round-ms", type=click.FloatRange(0), default=0.15, show_default=True, help="Handling of a round.")
@click.option("--multiplications", type=Positive, default=1.6e9, show_default=True, help="A second, one core.")
@click.option("--memory", type=Positive, default=3e9, show_default=True, help="Bytes of material a second, one core.")
@json_option
@click.pass_context
def check(
    context: click.Context,
    /,
    file: Path,
    said: Said,
    known: tuple[str, ...],
    data: Path | None,
    parties: int,
    batch: int,
    engine: str,
    as_json: bool,
    **speeds: float,
) -> None:
    """Say of every node of an ONNX FILE whether it can be computed, its values, errors and costs.

    Latency is estimated, from shares to shares with material made ahead: rounds times (half a round trip and the
    handling of a round), bytes over bandwidth, multiplications and material over what one core does. Ends with status
    3 where the model cannot be deployed.
    """
    from mpc_infer.cli import model_report
    from mpc_infer.engine.model_check import Wanted, check_model

    names = _inputs(file)
    declared = said.declared(names) if names else None
    rows = read_inputs(data, names) if data is not None and names else None
    report = check_model(file, Wanted(engine, parties, batch, declared, rows, said.with_ceilings, known))
    latencies = _latencies(report, speeds)
    if as_json:
        print_json({"file": str(file), **model_report.as_json(report, latencies)})
    else:
        model_report.show(report, latencies, speeds)
    if report.refusal is not None:
        context.exit(exit_status(report.refusal))


def _inputs(file: Path) -> tuple[str, ...]:
    """Names of the model's inputs; none where it cannot be read."""
    from mpc_infer.errors import ModelRefused
    from mpc_infer.graph.onnx_import import raw_onnx

    try:
        return tuple(raw_onnx(file, known_only=False).inputs)
    except ModelRefused:
        return ()


def _latencies(report: "Report", speeds: dict[str, float]) -> dict[str, "Latency"]:
    from mpc_infer.engine.latency import Machine, Network, estimate

    if report.cost is None or report.model is None:
        return {}
    machine = Machine(speeds["round_ms"], speeds["multiplications"], speeds["memory"])
    networks = {each: Network(speeds[f"{each}_rtt"], speeds[f"{each}_bandwidth"]) for each in ("lan", "wan")}
    return {each: estimate(report.model.graph, report.cost.plan, net, machine) for each, net in networks.items()}
