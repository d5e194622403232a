"""`mpc-infer model cost`: what an inference takes, before anything is published."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mpc_infer.cli.declared import Said, declared_options
from mpc_infer.cli.options import ExistingFile, json_option
from mpc_infer.cli.output import print_json, problem
from mpc_infer.cli.public_weights import public_weight_options

if TYPE_CHECKING:
    from mpc_infer.engine.costs import Cost, NodeCost
    from mpc_infer.errors import ModelRefused
    from mpc_infer.graph import Graph
    from mpc_infer.sharing.fixed import FixedPoint

MAX_NUMBERS = 16


class Numbers(click.ParamType[tuple[int, ...]]):
    """A comma-separated list of positive integers."""

    name = "N,N..."

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Read the list."""
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        fine = all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts)
        numbers = tuple(map(int, parts)) if fine else ()
        if not 0 < len(numbers) <= MAX_NUMBERS or not all(self._low <= number <= self._high for number in numbers):
            self.fail(f"{value!r}: give numbers from {self._low} to {self._high}, as 1,64", param, ctx)
        return numbers


@click.command()
@click.argument("file", type=ExistingFile)
@declared_options
@click.option("--rows", type=Numbers(1, 2**20), default="1,64", show_default=True, help="Rows of one request.")
@click.option("--parties", type=Numbers(2, 16), default="2,3", show_default=True, help="Parties.")
@click.option("--engine", type=click.Choice(["masked", "crypten"]), default="masked", show_default=True, help="Engine.")
@public_weight_options
@json_option
def cost(
    file: Path,
    said: Said,
    rows: tuple[int, ...],
    parties: tuple[int, ...],
    engine: str,
    known: tuple[str, ...],
    as_json: bool,
) -> None:
    """Say what an inference costs: rounds, bytes, material, in all and by node.

    FILE is an ONNX model: the cost is with the fractional bits, the sizes of values, and the ceilings, with which it
    would be published; of one that publishing would refuse, with 16 bits and values of any size. So it is for a graph
    as parties store it (.json), which has no weights to choose by.
    """
    from mpc_infer.engine.costs import model_cost
    from mpc_infer.graph.public import with_public

    graph, fixed, refusal = _chosen(file, said)
    graph, bits = with_public(graph, known) if known else graph, fixed.frac_bits
    costs = [model_cost(engine, graph, batch, count, fixed) for count in parties for batch in rows]
    if as_json:
        told = {"graph": graph.digest.hex(), "frac_bits": bits, "refusal": refusal and problem(refusal)}
        print_json({"file": str(file), **told, "plans": [describe(each) for each in costs]})
        return
    for each in costs:
        _print(each)
    click.echo(f"with {bits} fractional bits")
    if refusal is not None:
        click.echo(f"publishing would refuse this model: {refusal.message}")
        click.echo(f"  what to do: {refusal.remedy}")


def _chosen(file: Path, said: Said) -> "tuple[Graph, FixedPoint, ModelRefused | None]":
    """What would be published: its graph, how its numbers are held, and why it would be refused, if it would.

    Raises:
        ModelRefused: the file cannot be read.
        InvalidInput: an option does not fit.
    """
    from mpc_infer.errors import InvalidInput, ModelRefused
    from mpc_infer.graph.numerics import choose
    from mpc_infer.graph.onnx_import import import_onnx
    from mpc_infer.sharing.fixed import FixedPoint

    if file.suffix == ".json":
        if said.anything:
            raise InvalidInput(f"{file} has no weights, by which numbers are chosen", remedy="give the ONNX file")
        return read_graph(file), FixedPoint(), None
    model = import_onnx(file)
    declared = said.declared([spec.name for spec in model.graph.inputs])
    try:
        model = said.with_ceilings(model)
        return model.graph, choose(model.graph, model.weights, declared).fixed, None
    except ModelRefused as error:
        return model.graph, FixedPoint(), error


def read_graph(file: Path) -> "Graph":
    """The graph of an ONNX file, or one as parties store it (.json).

    Raises:
        ModelRefused: it cannot be read.
    """
    from mpc_infer.errors import CorruptModel
    from mpc_infer.graph import Graph, import_onnx
    from mpc_infer.graph.wire import MAX_GRAPH_BYTES

    if file.suffix != ".json":
        return import_onnx(file).graph
    if file.stat().st_size > MAX_GRAPH_BYTES:
        raise CorruptModel(f"{file} is longer than a graph may be", remedy="give a graph's canonical JSON")
    return Graph.from_bytes(file.read_bytes())


def describe(found: "Cost") -> dict[str, Any]:
    """A plan and its nodes, for programs."""
    plan, (last, others) = found.plan, found.stored_bytes
    return {
        "engine": plan.engine,
        "rows": plan.batch,
        "parties": plan.parties,
        "plan_digest": plan.digest.hex(),
        "rounds": plan.rounds,
        "bytes_sent_by_each_party": plan.bytes_sent,
        "correction_bytes_from_the_dealer": plan.correction_bytes,
        "material_bytes_expanded": plan.material_bytes,
        "material_bytes_stored_by_the_last_party": last,
        "material_bytes_stored_by_each_other_party": others,
        "nodes": [_describe_node(node) for node in found.nodes],
    }


def _describe_node(node: "NodeCost") -> dict[str, Any]:
    return {
        "name": node.name,
        "op": node.op,
        "shape": list(node.shape),
        "rounds": node.rounds,
        "bytes_sent": node.bytes_sent,
        "material_bytes": node.material_bytes,
        "correction_bytes": node.correction_bytes,
    }


def _print(found: "Cost") -> None:
    from rich.console import Console
    from rich.table import Table

    plan, (last, others) = found.plan, found.stored_bytes
    table = Table(title=f"{plan.batch} rows, {plan.parties} parties, {plan.engine}", show_footer=True)
    totals = ("rounds", plan.rounds), ("bytes sent", plan.bytes_sent), ("material", plan.material_bytes)
    for title in ("node", "operator", "shape"):
        table.add_column(title, footer="all" if title == "node" else "")
    for title, total in totals:
        table.add_column(title, footer=f"{total:,}", justify="right")
    for node in found.nodes:
        numbers = (f"{number:,}" for number in (node.rounds, node.bytes_sent, node.material_bytes))
        table.add_row(node.name, node.op, "×".join(map(str, node.shape)), *numbers)
    Console().print(table)
    click.echo(f"plan {plan.digest.hex()}")
    click.echo(
        f"the dealer sends {plan.correction_bytes:,} bytes to the last party; until it is used, material takes "
        f"{last:,} bytes there and {others:,} at each of the others\n"
    )
