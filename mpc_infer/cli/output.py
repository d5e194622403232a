"""What a command prints: results on stdout, all else on stderr, and exit statuses that scripts can tell apart."""

import json
import sys
import traceback
from typing import Any

import click

from mpc_infer import errors
from mpc_infer.telemetry import trace_of

EXIT_INTERRUPTED = 130
EXIT_DEFECT = 1
# First match wins; documented in docs/errors.md and `mpc-infer --help`.
EXIT_STATUS: tuple[tuple[type[errors.MpcInferError], int], ...] = (
    (errors.InvalidInput, 3),
    (errors.ModelRefused, 3),
    (errors.ConfigError, 3),
    (errors.NotFound, 4),
    (errors.Refused, 5),
    (errors.SessionAborted, 6),
    (errors.ReceiptInvalid, 7),
    (errors.ChainError, 8),
    (errors.Unavailable, 8),
)


def exit_status(error: errors.MpcInferError) -> int:
    """The exit status for an error."""
    return next((status for kind, status in EXIT_STATUS if isinstance(error, kind)), EXIT_DEFECT)


def print_json(value: Any) -> None:
    """One JSON object on stdout."""
    click.echo(json.dumps(value, indent=2))


def problem(error: errors.MpcInferError) -> dict[str, str]:
    """What is wrong, why, and what to do, inside of a result."""
    return {"code": error.code, "message": error.message, "remedy": error.remedy}


def print_error(error: errors.MpcInferError, *, as_json: bool) -> None:
    """What happened, why, and what to do, on stderr; as one JSON object where asked."""
    if as_json:
        shown = {"code": error.code, "message": error.message, "remedy": error.remedy, "party": error.party}
        click.echo(json.dumps({"error": shown}), err=True)
        return
    click.echo(f"error {error.code}: {error.message}", err=True)
    if error.remedy:
        click.echo(f"  what to do: {error.remedy}", err=True)


def print_trace(error: BaseException, *, texts: bool) -> None:
    """Where an error came from, on stderr; with the texts of foreign errors, which may quote values, only if asked."""
    if texts:
        traceback.print_exception(error, file=sys.stderr)
    else:
        click.echo(trace_of(error), err=True)


def print_defect(error: BaseException, *, traced: bool) -> None:
    """An error that nobody foresaw: its type, for its text may hold values. `traced`: its traceback was printed."""
    click.echo(f"error INTERNAL: {type(error).__name__}: a defect of this software", err=True)
    if not traced:
        click.echo("  what to do: run again as `mpc-infer --debug ...` and report the traceback", err=True)
