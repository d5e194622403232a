"""Writing TOML: the standard library only reads it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mpc_infer.errors import InternalError

Scalar = str | int | float | bool
Value = Scalar | Sequence[Scalar]
Table = Mapping[str, Value]


def _value(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, given that non-ASCII and DEL are escaped or allowed alike.
        return json.dumps(value)
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise InternalError(f"no TOML for a {type(value).__name__}")


def _table(head: str, table: Table) -> str:
    return head + "\n" + "".join(f"{key} = {_value(value)}\n" for key, value in table.items())


def dumps(document: Mapping[str, Table | Sequence[Table]]) -> str:
    """Tables, and arrays of tables, of plain values: the subset that our configuration files use."""
    parts: list[str] = []
    for name, content in document.items():
        if isinstance(content, Mapping):
            parts.append(_table(f"[{name}]", content))
        else:
            parts.extend(_table(f"[[{name}]]", table) for table in content)
    return "\n".join(parts)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    path.write_text(text)
