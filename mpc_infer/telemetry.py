"""Structured logs on stderr: one JSON object or one readable line per event, never a value, a share or a key.

The rule is kept at the door: a field may be a short string, a number, a bool or None. Bytes are written as the first
eight hex digits of an identifier only where the field's name is one of the public identifiers below.
"""

import json
import logging
import sys
import traceback
from typing import TextIO

from mpc_infer.errors import MpcInferError

PUBLIC_IDENTIFIERS = frozenset(
    {"job", "session", "material", "model", "party_set", "root", "transaction", "plan", "address"}
)
MAX_TEXT = 500
MAX_CAUSES = 8
_LIBRARIES = ("asyncio", "grpc", "concurrent.futures")

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


def _named(error: BaseException) -> str:
    """An exception without what a library put into its text: that may be a cell of somebody's input."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    return f"{kind}: {_printable('', str(error))}" if isinstance(error, MpcInferError) else kind


def _chain(error: BaseException) -> list[BaseException]:
    """An exception and what led to it, the first cause first."""
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found and len(found) < MAX_CAUSES:
        found.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return found[::-1]


def trace_of(error: BaseException) -> str:
    """Where an exception and its causes came from: frames and types, and the texts of our own errors alone."""
    parts = []
    for each in _chain(error):
        frames = "".join(traceback.format_tb(each.__traceback__))
        parts.append(f"Traceback (most recent call last):\n{frames}{_named(each)}")
    return "\nwhich led to\n".join(parts)


class _Formatter(logging.Formatter):
    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self.as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.partition(".")[0] == "mpc_infer"
        event = record.getMessage() if ours else "a library reports something; its text is withheld"
        fields = getattr(record, "fields", {})
        head = {"time": self.formatTime(record), "level": record.levelname, "logger": record.name}
        error = record.exc_info[1] if record.exc_info else None
        if self.as_json:
            trace = {} if error is None else {"trace": trace_of(error)}
            return json.dumps({**head, "event": event, **fields, **trace})
        tail = " ".join(f"{key}={value}" for key, value in fields.items())
        text = f"{head['time']} {head['level']:<7} {head['logger']}: {event} {tail}".rstrip()
        return text if error is None else f"{text}\n{trace_of(error)}"


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
    """Send the package's logs to a stream (stderr), once per process, and the warnings of libraries without texts."""
    root = logging.getLogger("mpc_infer")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(as_json))
    for name in ("mpc_infer", *_LIBRARIES):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.propagate = False
    root.setLevel(level)


def settings() -> tuple[str, bool]:
    """Level and whether lines are JSON, as configured: for a process that starts another one."""
    root = logging.getLogger("mpc_infer")
    as_json = any(isinstance(one.formatter, _Formatter) and one.formatter.as_json for one in root.handlers)
    return logging.getLevelName(root.getEffectiveLevel()), as_json
