"""``python -m bench.report FILE...``: measured figures into docs/benchmarks.md, so that nobody types one.

FILE is what ``make bench JSON=1`` or ``python -m bench.wan --json`` printed. What they hold replaces what
docs/benchmarks.json has under the same names; the page's tables are then made from that.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.child import ROOT
from bench.rows import Row, in_order
from bench.table import faster, number, size
from bench.targets import OURS, verdicts

PAGE = ROOT / "docs" / "benchmarks.md"
DATA = ROOT / "docs" / "benchmarks.json"
Found = Mapping[str, Any]
_NOTHING = "Not measured yet."
_PARTS = {"end_to_end": "end to end", "online": "online", "around": "around"}
"""Of a request to the service, as `bench.service` names them."""


def fill(page: str, found: Found) -> str:
    """The page with its tables made anew.

    Raises:
        ValueError: the page lacks the place of a table.
    """
    for name, make in TABLES.items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no place for {name}: {begin} ... {end}")
        before, rest = page.split(begin)
        page = f"{before}{begin}\n{make(found)}\n{end}{rest.split(end)[1]}"
    return page


def merged(old: Found, new: Sequence[Found]) -> dict[str, Any]:
    """All figures, later ones first; null replaces nothing. A run of some models leaves the rows of others."""
    whole = dict(old)
    for found in new:
        kept = {name: _with_others(name, whole, found) for name in ("rows", "bounds") if found.get(name)}
        whole |= {name: value for name, value in found.items() if value is not None} | kept
    return whole


def _with_others(name: str, old: Found, new: Found) -> list[Row]:
    measured = {row["model"] for row in new[name]}
    return [*(row for row in old.get(name, []) if row["model"] not in measured), *new[name]]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """In Markdown; the first ``words`` columns hold words, the others numbers."""
    if not rows:
        return _NOTHING
    lines = [titles, ["---" if place < words else "--:" for place in range(len(titles))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _machine(found: Found) -> str:
    here = found.get("machine")
    if not here:
        return _NOTHING
    speed = here["memory_bytes_s"] / 1e9
    return (
        f"{here['cpu']}, {here['cores']} cores, Python {here['python']}, torch {here['torch']}; a round trip of 1 KiB "
        f"over TLS on loopback takes {here['round_trip_us']:.0f} µs, one core reads {speed:.3g} GB of memory a second."
    )


def _lockstep(found: Found) -> str:
    measured = (found.get("machine") or {}).get("lockstep")
    if not measured:
        return _NOTHING
    rows = []
    for each in measured:
        two, three = (each["round_us"][parties] for parties in ("2", "3"))
        rows.append([f"{each['work_us']:.0f}", f"{two:.0f}", f"{three:.0f}", f"{three / two:.3g}×"])
    return _table(("computing, µs", "a round of two, µs", "of three, µs", "three / two"), rows, words=0)


def _targets(found: Found) -> str:
    return _table(
        ("model, rows", "target", "wanted", "measured", "met"),
        [
            (
                f"{each.model}, {each.batch}",
                each.what,
                f"{'≤' if each.at_most else '≥'} {each.wanted:g}×",
                f"{number(each.measured)}×",
                _met(each.met),
            )
            for each in verdicts(found.get("rows", []))
        ],
        words=2,
    )


def _met(met: bool) -> str:
    return "yes" if met else "**no**"


def _rows(found: Found) -> str:
    rows = in_order(found.get("rows", []))
    return _table(
        (
            "model, rows",
            "system",
            "parties",
            "online ms",
            "CrypTen / it",
            "offline ms",
            "dealer ms",
            "CPU s",
            "rounds",
            "sent",
            "material",
            "peak MB",
            "largest error",
        ),
        [_cells(row, rows) for row in rows],
        words=2,
    )


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    ratio = faster(row, rows, "crypten")
    return [
        f"{row['model']}, {row['batch']}",
        row["system"],
        str(row["parties"]),
        number(row["online_ms"]),
        f"{number(ratio)}×" if ratio else "",
        *(number(row[name]) for name in ("offline_ms", "dealer_ms", "cpu_s", "rounds")),
        size(row["bytes"]),
        size(row["material_bytes"]),
        number(row["peak_mb"]),
        f"{row['max_abs_error']:.1e}",
    ]


def _bounds(found: Found) -> str:
    names = ("online_ms", "products_ms", "wake_ups_ms", "memory_ms", "bound_ms")
    return _table(
        (
            "model, rows",
            "parties",
            "online ms",
            "products",
            "wake-ups",
            "memory",
            "their sum",
            "online / sum",
            "largest",
        ),
        [
            (
                f"{each['model']}, {each['batch']}",
                str(each["parties"]),
                *(number(each[name]) for name in names),
                f"{number(each['times_bound'])}×",
                _largest(each),
            )
            for each in found.get("bounds", [])
        ],
    )


def _largest(bound: Row) -> str:
    words = {"products_ms": "products", "wake_ups_ms": "wake-ups", "memory_ms": "memory"}
    return words[max(words, key=lambda name: float(bound[name]))]


def _service(found: Found) -> str:
    service = found.get("service")
    if not service:
        return _NOTHING
    wanted, most, around = service["targets"], service["receipts_per_s"], service["around_ms_p50"]
    return (
        f"{service['model']}, {service['parties']} parties. Wanted: at least {wanted['receipts_per_s']:g} receipts a "
        f"second; measured: {number(most)} ({_met(most >= wanted['receipts_per_s'])}). Wanted: with one client at most "
        f"{wanted['around_ms_p50_one_client']:g} ms between end to end and online; measured: {number(around)} "
        f"({_met(around <= wanted['around_ms_p50_one_client'])}).\n\n"
        + _table(
            ("clients", "receipts/s", *(f"{what}, ms" for what in _PARTS.values()), "CPU ms per receipt"),
            [
                (
                    str(row["clients"]),
                    number(row["receipts_per_s"]),
                    *(f"{number(row[f'{name}_ms_p50'])} / {number(row[f'{name}_ms_p99'])}" for name in _PARTS),
                    number(row["cpu_ms_per_receipt_total"]),
                )
                for row in service["rows"]
            ],
            words=0,
        )
    )


def _wan(found: Found) -> str:
    wan = found.get("wan")
    if not wan:
        return _NOTHING
    table = _table(
        ("system", "online ms", "rounds", "sent"),
        [(row["system"], number(row["online_ms"]), str(row["rounds"]), size(row["bytes"])) for row in wan["rows"]],
    )
    return (
        f"{wan['model']}, two parties; {wan['network']}; a round trip, measured: {wan['round_trip_ms']:g} ms. {OURS} "
        f"is {wan['times_faster']:g}× faster, with {wan['times_fewer_rounds']:g}× fewer rounds and "
        f"{wan['times_fewer_bytes']:g}× fewer bytes.\n\n{table}"
    )


def _skipped(found: Found) -> str:
    skipped = found.get("skipped", [])
    return "\n".join(f"- {each['what']}: {each['reason']}" for each in skipped) or "Nothing was left out."


TABLES: dict[str, Callable[[Found], str]] = {
    "machine": _machine,
    "lockstep": _lockstep,
    "targets": _targets,
    "rows": _rows,
    "bounds": _bounds,
    "service": _service,
    "wan": _wan,
    "skipped": _skipped,
}
"""What makes each table of the page."""


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    files = parser.parse_args().files
    old = json.loads(DATA.read_text("utf-8")) if DATA.exists() else {}
    found = merged(old, [json.loads(path.read_text("utf-8")) for path in files])
    DATA.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    PAGE.write_text(fill(PAGE.read_text("utf-8"), found), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
