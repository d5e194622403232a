"""Structured logs on stderr: one JSON object or one readable line per event, never a value, a share or a key.

The rule is kept at the door: a field may be a short string, a number, a bool or None. Bytes are written as the first
eight hex digits of an identifier only where the field's name is one of the public identifiers below.
"""

import json
import logging
import sys
from typing import TextIO

PUBLIC_IDENTIFIERS = frozenset(
    {"job", "session", "material", "model", "party_set", "root", "transaction", "plan", "address"}
)
MAX_TEXT = 500

Field = str | int | float | bool | bytes | None


def _printable(name: str, value: Field) -> str | int | float | bool | None:
    if isinstance(value, bytes):
        return value[:4].hex() if name in PUBLIC_IDENTIFIERS else "<redacted>"
    if isinstance(value, str):
        # One event is one line, whatever a peer put into a text.
        return value[:MAX_TEXT].replace("\r", "\\r").replace("\n", "\\n")
    if value is None or isinstance(value, bool | int | float):
        return value
    return "<redacted>"


class _Formatter(logging.Formatter):
    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        head = {"time": self.formatTime(record), "level": record.levelname, "logger": record.name}
        if self.as_json:
            text = json.dumps({**head, "event": record.getMessage(), **fields})
        else:
            tail = " ".join(f"{key}={value}" for key, value in fields.items())
            text = f"{head['time']} {head['level']:<7} {head['logger']}: {record.getMessage()} {tail}".rstrip()
        return text if record.exc_info is None else f"{text}\n{self.formatException(record.exc_info)}"


class Log:
    """A named log whose every call takes an event and plain fields."""

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(f"mpc_infer.{name}")

    def debug(self, event: str, **fields: Field) -> None:
        """Something that only a developer wants to know."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Field) -> None:
        """Something that an operator wants to know."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Field) -> None:
        """Something that an operator should look at."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, *, exception: BaseException | None = None, **fields: Field) -> None:
        """Something that an operator must look at; the traceback goes along, without values of variables."""
        self._write(logging.ERROR, event, fields, exception)

    def _write(self, level: int, event: str, fields: dict[str, Field], exception: BaseException | None = None) -> None:
        if self._logger.isEnabledFor(level):
            shown = {name: _printable(name, value) for name, value in fields.items()}
            self._logger.log(level, event, extra={"fields": shown}, exc_info=exception)


def configure(*, level: str = "INFO", as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send the package's logs to a stream (stderr), once per process."""
    root = logging.getLogger("mpc_infer")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(as_json))
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def settings() -> tuple[str, bool]:
    """Level and whether lines are JSON, as configured: for a process that starts another one."""
    root = logging.getLogger("mpc_infer")
    as_json = any(isinstance(one.formatter, _Formatter) and one.formatter.as_json for one in root.handlers)
    return logging.getLevelName(root.getEffectiveLevel()), as_json
