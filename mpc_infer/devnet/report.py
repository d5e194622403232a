"""What the demo found, as JSON and as a table."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ModelRun:
    """One model's inferences.

    Attributes:
        model_hash: hex.
        rows: rows that got a private answer.
        max_abs_error: largest deviation of a logit from float64 arithmetic without privacy.
        online_ms_p50: median of single-row jobs, from input shares to output shares.
        end_to_end_ms_p50: median of single-row jobs, from the call to the checked answer.
        rounds: rounds of communication among the parties, per job.
        bytes_per_party: bytes that a party sends to the others for a single row, the largest.
        receipts: receipts that were issued.
        receipts_verified: of these, how many verified with their proof against the chain.
    """

    name: str
    title: str
    model_hash: str
    rows: int
    accuracy_plain: float
    accuracy_private: float
    max_abs_error: float
    online_ms_p50: float
    end_to_end_ms_p50: float
    rounds: int
    bytes_per_party: int
    receipts: int
    receipts_verified: int


@dataclass(frozen=True)
class AnchorRun:
    """One transaction that anchored a batch of receipts."""

    root: str
    tx: str
    gas: int
    receipts: int


@dataclass(frozen=True)
class Report:
    """Everything that the demo prints."""

    parties: int
    engine: str
    seconds: float
    models: tuple[ModelRun, ...]
    anchors: tuple[AnchorRun, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain values for json.dumps."""
        return asdict(self)


_COLUMNS: tuple[tuple[str, str], ...] = (
    ("rows", "{rows}"),
    ("accuracy, plain", "{accuracy_plain:.2%}"),
    ("accuracy, private", "{accuracy_private:.2%}"),
    ("largest deviation", "{max_abs_error:.1e}"),
    ("rounds", "{rounds}"),
    ("bytes per party, 1 row", "{bytes_per_party:,}"),
    ("online, 1 row, median", "{online_ms_p50:.1f} ms"),
    ("end to end, 1 row, median", "{end_to_end_ms_p50:.1f} ms"),
    ("receipts verified", "{receipts_verified} of {receipts}"),
)


def print_report(report: Report) -> None:
    """On stdout, in 80 columns: a table of the models, and the transactions that anchored their receipts."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    models = Table(title=f"Private inference among {report.parties} parties ({report.engine})", title_justify="left")
    models.add_column("", no_wrap=True)
    for run in report.models:
        models.add_column(f"{run.name}\n{run.title}", justify="right")
    for label, form in _COLUMNS:
        models.add_row(label, *(form.format(**asdict(run)) for run in report.models))
    console.print(models)
    # Without a frame, so that a whole transaction hash fits into 80 columns, and can be copied.
    console.print("Anchored on the chain: receipts, gas and transaction", style="italic")
    for anchor in report.anchors:
        line = f"{anchor.receipts:>3} {anchor.gas:>9,} {anchor.tx}"
        console.print(line, soft_wrap=True, highlight=False)
