"""What an operator is shown of a party's material: read from its database, while the party runs or when it does not."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mpc_infer.errors import CorruptModel
from mpc_infer.ids import ModelHash
from mpc_infer.model.manifest import Manifest
from mpc_infer.store import MaterialCount, look


@dataclass(frozen=True)
class StockLine:
    """The material of one model for sessions of so many rows; `name` is the model's with its version."""

    name: str
    count: MaterialCount


def stock_report(database: Path, now: datetime) -> list[StockLine]:
    """What a party has in stock, and what it used today (UTC) and ever.

    Args:
        database: the party's.
        now: in UTC.

    Raises:
        StoreError: there is no such database.
    """
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    counts, manifests = look(database, int(midnight.timestamp() * 1000))
    return [StockLine(model_name(count.model_hash, manifests), count) for count in counts]


def model_name(model_hash: ModelHash, manifests: Mapping[ModelHash, bytes]) -> str:
    """A model's name and version; the beginning of its hash where its manifest is not known."""
    try:
        manifest = Manifest.from_bytes(manifests[model_hash])
    except (KeyError, CorruptModel):
        return model_hash[:4].hex()
    return f"{manifest.name} v{manifest.version}"


def as_json(line: StockLine) -> dict[str, str | int | None]:
    """A line for programs."""
    count = line.count
    return {
        "model": "0x" + count.model_hash.hex(),
        "name": line.name,
        "rows": count.rows,
        "ready": count.ready,
        "ready_bytes": count.ready_bytes,
        "oldest": None if count.oldest_ms is None else made_at(count.oldest_ms).isoformat(),
        "consumed_today": count.consumed_since,
        "consumed": count.consumed,
        "dropped": count.dropped,
    }


def made_at(milliseconds: int) -> datetime:
    """Unix milliseconds as a time in UTC, to the second."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC)
