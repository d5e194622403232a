"""A report on a model: one object for programs, tables for people."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from mpc_infer.cli.output import problem
from mpc_infer.cli.public_weights import describe_weights

if TYPE_CHECKING:
    from rich.console import Console

    from mpc_infer.engine.latency import Latency
    from mpc_infer.engine.model_check import Report


WIDTH = 140
"""Of tables, where nobody says how wide the terminal is."""


def as_json(report: "Report", latencies: Mapping[str, "Latency"]) -> dict[str, Any]:
    """The whole report."""
    return {
        "deployable": report.refusal is None,
        "problems": _problems(report),
        "graph": report.model.graph.digest.hex() if report.model is not None else None,
        **({} if report.model is None else describe_weights(report.model.graph)),
        "numerics": _numerics(report),
        "ceilings": _ceilings(report),
        "nodes": _nodes(report),
        "cost": _cost(report),
        "latency_ms": {
            name: {
                "total": round(each.total_ms, 3),
                "rounds": round(each.rounds_ms, 3),
                "bytes": round(each.bytes_ms, 3),
                "compute": round(each.compute_ms, 3),
            }
            for name, each in latencies.items()
        },
        "data": _accuracy(report),
    }


def _problems(report: "Report") -> list[dict[str, Any]]:
    refused = [(each.name, each.error) for each in report.nodes if each.error is not None]
    if refused:
        return [{"node": name, **problem(error)} for name, error in refused]
    return [] if report.refusal is None else [{"node": None, **problem(report.refusal)}]


def _numerics(report: "Report") -> dict[str, Any] | None:
    if report.numerics is None or report.model is None:
        return None
    numerics, scale = report.numerics, 2.0**report.numerics.frac_bits
    calibration = numerics.calibration
    return {
        "frac_bits": numerics.frac_bits,
        "inputs": {
            name: {"low": min(given.low) / scale, "high": max(given.high) / scale, "ranges": len(given.low)}
            for name, given in numerics.inputs.items()
        },
        "calibration": None
        if calibration is None
        else {"rows": calibration.rows, "margin_percent": calibration.margin_percent},
        "error_bounds": {
            spec.name: None if bound is None else bound / scale
            for spec, bound in zip(report.model.graph.outputs, numerics.outputs, strict=True)
        },
    }


def _ceilings(report: "Report") -> dict[str, float]:
    """By node, in the graph's order."""
    from mpc_infer.graph.ceilings import heights

    if report.model is None or report.original is None:
        return {}
    return heights(report.original.graph, report.model.graph)


def _nodes(report: "Report") -> list[dict[str, Any]]:
    if report.model is None:
        return [{"name": each.name, "op": each.op, "supported": each.supported} for each in report.nodes]
    costs = {each.name: each for each in report.cost.nodes} if report.cost is not None else {}
    found = []
    for node in report.model.graph.nodes:
        row: dict[str, Any] = {"name": node.name, "op": node.op, "supported": True, **_values(report, node.outputs[0])}
        cost = costs.get(node.name)
        if cost is not None:
            row |= {"shape": list(cost.shape), "rounds": cost.rounds, "bytes_sent": cost.bytes_sent}
            row |= {"material_bytes": cost.material_bytes}
        found.append(row)
    return found


def _values(report: "Report", name: str) -> dict[str, Any]:
    """Magnitude and largest error of a tensor, in real numbers, and the bits that it is held in."""
    from mpc_infer.graph.error_bounds import largest
    from mpc_infer.graph.numerics import LOWEST_BITS, bits_of, reach

    if report.numerics is None:
        known = report.partial.get(name)
        return {"magnitude": None if known is None else reach(known, LOWEST_BITS), "error_bound": None, "held_as": None}
    bits = report.numerics.frac_bits
    bound = largest(report.numerics.errors[name], report.numerics.ranges[name])
    return {
        "magnitude": reach(report.numerics.ranges[name], bits),
        "error_bound": None if bound is None else bound / 2.0**bits,
        "held_as": _held_as(bits_of(report.numerics.ranges[name]), bits),
    }


def _held_as(value_bits: int, frac_bits: int) -> str:
    # Qm.n: a sign, m bits before the point and n behind it.
    return f"Q{max(0, value_bits - frac_bits)}.{frac_bits}"


def _cost(report: "Report") -> dict[str, Any] | None:
    if report.cost is None:
        return None
    plan, (last, others) = report.cost.plan, report.cost.stored_bytes
    return {
        "engine": plan.engine,
        "parties": plan.parties,
        "rows": plan.batch,
        "rounds": plan.rounds,
        "bytes_sent_by_each_party": plan.bytes_sent,
        "material_bytes_expanded": plan.material_bytes,
        "correction_bytes_from_the_dealer": plan.correction_bytes,
        "material_bytes_stored_by_the_last_party": last,
        "material_bytes_stored_by_each_other_party": others,
    }


def _accuracy(report: "Report") -> dict[str, Any] | None:
    found = report.accuracy
    if found is None:
        return None
    outputs = {
        name: {"largest_deviation": each.largest, "mean_deviation": each.mean, "rows_ordered_otherwise": each.reordered}
        for name, each in found.outputs.items()
    }
    return {"reference": found.reference, "rows": found.rows, "rows_outside": found.outside, "outputs": outputs}


def show(report: "Report", latencies: Mapping[str, "Latency"], speeds: Mapping[str, float]) -> None:
    """Tables and sentences on stdout."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    if report.model is None:
        _show_judged(report, console)
    else:
        _show_nodes(report, console)
        for kind, names in describe_weights(report.model.graph).items():
            if names:
                click.echo(f"{kind.replace('_', ' ')}: {', '.join(names)}")
        _show_numerics(report)
        _show_cost(report, latencies, speeds)
        _show_accuracy(report)
    for each in _problems(report):
        click.echo(f"cannot be deployed: {each['message']}")
        if each["remedy"]:
            click.echo(f"  what to do: {each['remedy']}")
    if report.refusal is None:
        click.echo("can be deployed")


def _show_judged(report: "Report", console: "Console") -> None:
    from rich.table import Table

    if not report.nodes:
        return
    table = Table(title="nodes of the file")
    for title in ("node", "operator", "can be computed"):
        table.add_column(title)
    says = {True: "yes", False: "NO", None: "? (reads what cannot)"}
    for each in report.nodes:
        table.add_row(each.name, each.op, says[each.supported])
    console.print(table)


def _show_nodes(report: "Report", console: "Console") -> None:
    from rich.table import Table

    table, ceilings = Table(title="nodes"), _ceilings(report)
    for title in ("node", "operator", "shape"):
        table.add_column(title)
    for title in ("ceiling",) * bool(ceilings) + (
        "values up to",
        "held as",
        "error up to",
        "rounds",
        "bytes sent",
        "material",
    ):
        table.add_column(title, justify="right")
    for each in _nodes(report):
        shape = "×".join(map(str, each.get("shape", ())))
        sizes = [_real(each["magnitude"]), each["held_as"] or "?", _real(each["error_bound"])]
        if ceilings:
            sizes.insert(0, f"{ceilings[each['name']]:g}" if each["name"] in ceilings else "")
        costs = (f"{each[key]:,}" if key in each else "" for key in ("rounds", "bytes_sent", "material_bytes"))
        table.add_row(each["name"], each["op"], shape, *sizes, *costs)
    console.print(table)


def _real(value: float | None) -> str:
    return "?" if value is None else f"{value:.2g}"


def _show_numerics(report: "Report") -> None:
    found = _numerics(report)
    if found is None:
        return
    click.echo(f"{found['frac_bits']} fractional bits")
    for name, each in found["inputs"].items():
        kind = "all features" if each["ranges"] == 1 else f"{each['ranges']} features, each with a range of its own"
        click.echo(f"input {name}: {each['low']:.4g} to {each['high']:.4g}, {kind}")
    if found["calibration"] is not None:
        rows, margin = found["calibration"]["rows"], found["calibration"]["margin_percent"]
        click.echo(f"ranges are what {rows} rows reach, and {margin}% on both sides; clients refuse rows outside")
    if ceilings := _ceilings(report):
        click.echo(f"{len(ceilings)} activations end at a ceiling, above what these rows reach")
    for name, bound in found["error_bounds"].items():
        click.echo(
            f"output {name}: error " + ("not bounded" if bound is None else f"at most {bound:.3g}, for any row inside")
        )


def _show_cost(report: "Report", latencies: Mapping[str, "Latency"], speeds: Mapping[str, float]) -> None:
    found = _cost(report)
    if found is None:
        return
    click.echo(
        f"{found['rows']} rows, {found['parties']} parties, {found['engine']}: {found['rounds']} rounds, "
        f"{found['bytes_sent_by_each_party']:,} bytes sent by each party, "
        f"{found['material_bytes_expanded']:,} bytes of material"
    )
    for name, each in latencies.items():
        network = f"{speeds[f'{name}_rtt']:g} ms round trip, {speeds[f'{name}_bandwidth']:g} Mbit/s"
        parts = f"rounds {each.rounds_ms:.3g}, bytes {each.bytes_ms:.3g}, computation {each.compute_ms:.3g}"
        click.echo(f"{name.upper()} ({network}): about {each.total_ms:.3g} ms ({parts})")


def _show_accuracy(report: "Report") -> None:
    found = _accuracy(report)
    if found is None:
        return
    click.echo(f"{found['rows']} rows, {found['rows_outside']} of them outside of the ranges (a client refuses them)")
    if found["rows_outside"]:
        click.echo(
            "  what to do: say where every feature lies (--calibrate, --ranges), or standardise it at the client"
        )
    for name, each in found["outputs"].items():
        other = each["rows_ordered_otherwise"]
        order = "" if other is None else f", another largest element in {other} rows"
        largest, mean = each["largest_deviation"], each["mean_deviation"]
        click.echo(
            f"output {name} against {found['reference']}: off by {largest:.3g} at most, {mean:.3g} in the mean{order}"
        )
