"""The benchmark's tables on a terminal."""

from collections.abc import Sequence
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from bench.rows import Row, find

WIDTH = 150
_COLUMNS = {
    "parties": "parties",
    "system": "system",
    "online_ms": "online ms",
    "": "CrypTen / it",
    "offline_ms": "offline ms",
    "dealer_ms": "dealer ms",
    "cpu_s": "CPU s",
    "rounds": "rounds",
    "bytes": "sent",
    "material_bytes": "material",
    "peak_mb": "peak MB",
    "max_abs_error": "max error",
}
_SIZES = ("bytes", "material_bytes")


def show_rows(rows: Sequence[Row], console: Console) -> None:
    """All systems, model by model."""
    console.width = max(console.width, WIDTH)
    title = "One evaluation: medians, bytes that one party sends, CPU seconds and memory of all processes"
    table = Table(title=title, box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("model", no_wrap=True)
    for title in _COLUMNS.values():
        table.add_column(title, justify="left" if title == "system" else "right", no_wrap=True)
    for number, row in enumerate(rows):
        ends = number + 1 == len(rows) or _about(rows[number + 1]) != _about(row)
        table.add_row(_about(row), *(_cell(row, column, rows) for column in _COLUMNS), end_section=ends)
    if rows:
        console.print(table)


def show_bounds(bounds: Sequence[Row], console: Console) -> None:
    """What bounds our rows."""
    console.width = max(console.width, WIDTH)
    table = Table(title="What bounds mpc-infer/masked: milliseconds that each would take alone", box=SIMPLE)
    for title in ("model", "rows", "parties", "online", "session", "products", "wake-ups", "memory", "sum", "x sum"):
        table.add_column(title, justify="left" if title == "model" else "right")
    for bound in bounds:
        table.add_row(*(number(value) for value in bound.values()))
    if bounds:
        console.print(table)


def number(value: Any) -> str:
    """Three digits; nothing for null."""
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def size(value: int | None) -> str:
    """Bytes with a unit."""
    if value is None:
        return ""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value} B"


def faster(row: Row, rows: Sequence[Row], system: str) -> float | None:
    """How many times faster a row of ours is than a system with as many parties."""
    other = find(rows, model=row["model"], batch=row["batch"], parties=row["parties"], system=system)
    return other["online_ms"] / row["online_ms"] if other and other is not row else None


def _about(row: Row) -> str:
    return f"{row['model']} x {row['batch']}"


def _cell(row: Row, column: str, rows: Sequence[Row]) -> str:
    if not column:
        ratio = faster(row, rows, "crypten")
        return f"{ratio:.3g}" if ratio else ""
    if column in _SIZES:
        return size(row[column])
    if column == "max_abs_error":
        return f"{row[column]:.1e}"
    return number(row[column])
