"""The calls to the coordinator: our errors instead of gRPC's, and the same bytes again where that is allowed."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

from mpc_infer.errors import DeadlineExpired, MpcInferError
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.ids import Address
from mpc_infer.rpc.channel import MAX_MESSAGE_BYTES, open_channel
from mpc_infer.rpc.status import translated
from mpc_infer.v1 import coordinator_pb2, coordinator_pb2_grpc

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
WHO = "the coordinator"
Answer = TypeVar("Answer")


class CoordinatorDoor(Protocol):
    """What a client calls; the gRPC channel is one, the tests' coordinator in the same process another."""

    async def call(self, method: str, request: Any, deadline: float) -> Any:
        """Send one request, and again while that is allowed, until the deadline (of time.monotonic)."""

    def watch(self, request: coordinator_pb2.WatchJobRequest, timeout_s: float) -> AsyncIterator[Any]:
        """Stream a job's states."""

    async def close(self) -> None:
        """Give the connection back."""


class GrpcDoor:
    """The coordinator over mTLS. The channel belongs to the event loop in which this is made."""

    def __init__(
        self, target: str, credentials: TlsCredentials, peer: Address, max_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        self._channel = open_channel(target, credentials, peer=peer, role="coordinator", max_bytes=max_bytes)
        self._stub: Any = coordinator_pb2_grpc.CoordinatorServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def call(self, method: str, request: Any, deadline: float) -> Any:
        """Send one request, and again while that is allowed.

        Args:
            method: a unary method of CoordinatorService.
            request: its message. Every method is idempotent for the same bytes.
            deadline: when to give up, on the clock of ``time.monotonic()``, in seconds.

        Raises:
            MpcInferError: the coordinator's error, or Unavailable.
            DeadlineExpired: no answer in time.
        """

        async def attempt(timeout_s: float) -> Any:
            with translated(WHO):
                return await getattr(self._stub, method)(request, timeout=timeout_s)

        return await retry(attempt, deadline)

    async def watch(self, request: coordinator_pb2.WatchJobRequest, timeout_s: float) -> AsyncIterator[Any]:
        """Stream a job's states until the server ends the stream or the time is up."""
        with translated(WHO):
            async for answer in self._stub.WatchJob(request, timeout=timeout_s):
                yield answer

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(None)


async def retry(attempt: Callable[[float], Awaitable[Answer]], deadline: float) -> Answer:
    """Try until it works, fails for good, or the deadline is too near.

    Args:
        attempt: called with the seconds that are left.
        deadline: on the clock of ``time.monotonic()``.

    Raises:
        MpcInferError: the first error that may not be retried, or the last one that may.
    """
    pause = FIRST_PAUSE_S
    while (left := deadline - time.monotonic()) > 0:
        try:
            return await attempt(left)
        except MpcInferError as error:
            wait = pause * (0.5 + secrets.randbelow(1024) / 1024)
            if not error.retryable or time.monotonic() + wait >= deadline:
                raise
        await asyncio.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE_S)
    raise DeadlineExpired("the deadline passed before the coordinator was asked", remedy="give the job more time")
