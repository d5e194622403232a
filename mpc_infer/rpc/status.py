"""Errors on the wire: our exceptions as google.rpc.Status with an ErrorInfo, and back.

The ErrorInfo's ``reason`` is the error's code, its ``domain`` is ``mpc-infer``; its ``metadata`` carries ``party``,
``remedy`` and ``retryable``.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from mpc_infer import errors
from mpc_infer.errors import MpcInferError
from mpc_infer.v1 import common_pb2

DOMAIN = "mpc-infer"
DETAILS_KEY = "grpc-status-details-bin"
MAX_MESSAGE = 1000
"""Longest message or remedy in characters: statuses travel in headers, which have a limit of 8 KiB."""

_Code = grpc.StatusCode

# Subclasses that are not named use the nearest parent that is.
STATUS_OF: Mapping[type[MpcInferError], grpc.StatusCode] = MappingProxyType(
    {
        MpcInferError: _Code.INTERNAL,
        errors.InvalidInput: _Code.INVALID_ARGUMENT,
        errors.OutOfRange: _Code.OUT_OF_RANGE,
        errors.MessageTooLarge: _Code.RESOURCE_EXHAUSTED,
        errors.ModelRefused: _Code.INVALID_ARGUMENT,
        errors.NotFound: _Code.NOT_FOUND,
        errors.Refused: _Code.FAILED_PRECONDITION,
        errors.NotAuthenticated: _Code.UNAUTHENTICATED,
        errors.NotPermitted: _Code.PERMISSION_DENIED,
        errors.BadSignature: _Code.PERMISSION_DENIED,
        errors.DeadlineExpired: _Code.DEADLINE_EXCEEDED,
        errors.NonceReplayed: _Code.ALREADY_EXISTS,
        errors.JobConflict: _Code.ALREADY_EXISTS,
        errors.InvalidRequest: _Code.INVALID_ARGUMENT,
        errors.SessionAborted: _Code.ABORTED,
        errors.ReceiptInvalid: _Code.DATA_LOSS,
        errors.ChainError: _Code.UNAVAILABLE,
        errors.TransactionFailed: _Code.FAILED_PRECONDITION,
        errors.Unavailable: _Code.UNAVAILABLE,
        errors.StoreError: _Code.INTERNAL,
        errors.ConfigError: _Code.INTERNAL,
        errors.InternalError: _Code.INTERNAL,
    }
)

# What a status means that carries no ErrorInfo of ours: it was made by gRPC itself.
_FOREIGN: Mapping[grpc.StatusCode, type[MpcInferError]] = MappingProxyType(
    {
        _Code.UNAVAILABLE: errors.Unavailable,
        _Code.DEADLINE_EXCEEDED: errors.DeadlineExpired,
        _Code.RESOURCE_EXHAUSTED: errors.MessageTooLarge,
        _Code.UNAUTHENTICATED: errors.NotAuthenticated,
        _Code.PERMISSION_DENIED: errors.NotPermitted,
        _Code.INVALID_ARGUMENT: errors.InvalidRequest,
        _Code.UNIMPLEMENTED: errors.InvalidRequest,
        _Code.CANCELLED: errors.Unavailable,
    }
)
_HANDSHAKE_MARKS = ("handshake failed", "CERTIFICATE_VERIFY_FAILED", "Hostname Verification")
# A server that refuses our certificate hangs up: with TLS 1.3 our side of the handshake is over by then. A server that
# is not there, or goes before TLS is done, gives other texts: "Connection refused", "Handshake read failed".
TOO_LARGE = (
    "raise max_message_bytes at the client, the coordinator and the parties (docs/limits.md), or send fewer rows"
)
_NO_CONNECTION = "failed to connect"
_HUNG_UP = ("Socket closed", "Connection reset")
_BEFORE_TLS = "Handshake read failed"


def status_code(error: MpcInferError) -> grpc.StatusCode:
    """The gRPC status code of an error: its class's, or its nearest parent's."""
    return next(STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF)


def error_class(code: str) -> type[MpcInferError]:
    """The class with this code; a code from a newer version becomes MpcInferError."""
    return next((kind for kind in errors.all_errors() if kind.code == code), MpcInferError)


def trailing_metadata(error: MpcInferError) -> tuple[tuple[str, bytes], ...]:
    """The serialised google.rpc.Status of an error, as trailing metadata."""
    metadata = {"retryable": "true" if error.retryable else "false"}
    if error.remedy:
        metadata["remedy"] = error.remedy[:MAX_MESSAGE]
    if error.party is not None:
        metadata["party"] = str(error.party)
    status = status_pb2.Status(code=status_code(error).value[0], message=error.message[:MAX_MESSAGE])
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN, metadata=metadata))
    return ((DETAILS_KEY, status.SerializeToString()),)


def _party(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) <= 3 else None


def _from_status(status: status_pb2.Status) -> MpcInferError | None:
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            facts = info.metadata
            party = _party(facts.get("party", ""))
            return error_class(info.reason)(status.message, remedy=facts.get("remedy", ""), party=party)
    return None


def _details_of(error: Any) -> bytes:
    pairs = error.trailing_metadata() or ()
    return next((bytes(value) for key, value in pairs if key == DETAILS_KEY), b"")


def _foreign_error(error: Any, who: str) -> MpcInferError:
    text = str(error.details() or "")[:MAX_MESSAGE]
    if any(mark in text for mark in _HANDSHAKE_MARKS):
        return errors.NotAuthenticated(f"no secure connection to {who}: {text}", remedy="check both certificates")
    if _hung_up_on_us(text):
        return errors.NotAuthenticated(
            f"{who} closed the connection before the first call: {text}",
            remedy="connect with a certificate that this network's authority has issued and that has not expired",
        )
    kind = _FOREIGN.get(error.code(), errors.InternalError)
    if kind is errors.MessageTooLarge and "larger" not in text:
        kind = errors.Unavailable  # gRPC says RESOURCE_EXHAUSTED for too many calls at once, too
    remedy = TOO_LARGE if kind is errors.MessageTooLarge else ""
    return kind(f"{who} answered {error.code().name}: {text}", remedy=remedy)


def _hung_up_on_us(text: str) -> bool:
    return _NO_CONNECTION in text and _BEFORE_TLS not in text and any(mark in text for mark in _HUNG_UP)


def error_from_rpc(error: grpc.RpcError, who: str = "the service") -> MpcInferError:
    """Our error for a failed call, sync or asyncio.

    Args:
        error: what the stub raised.
        who: whom the call was to, for the message.
    """
    try:
        ours = _from_status(status_pb2.Status.FromString(_details_of(error)))
    except DecodeError:
        ours = None
    return ours or _foreign_error(error, who)


@contextmanager
def translated(who: str) -> Iterator[None]:
    """Raise our errors instead of gRPC's from the calls inside.

    Args:
        who: whom the calls are to, for messages, as in ``"party 1"``.

    Raises:
        MpcInferError: a call failed.
    """
    try:
        yield
    except grpc.RpcError as error:
        raise error_from_rpc(error, who) from error


def problem_of(error: MpcInferError) -> common_pb2.Problem:
    """An error as a message, for answers that carry one."""
    return common_pb2.Problem(
        code=error.code,
        message=error.message[:MAX_MESSAGE],
        remedy=error.remedy[:MAX_MESSAGE],
        retryable=error.retryable,
        party="" if error.party is None else str(error.party),
    )


def error_of(problem: common_pb2.Problem) -> MpcInferError:
    """The error that a Problem message describes."""
    return error_class(problem.code)(problem.message, remedy=problem.remedy, party=_party(problem.party))
