"""How much of a server one caller may take: calls, and bytes of requests, on their way in and in work."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc

from mpc_infer.errors import DeadlineExpired, InvalidRequest, Unavailable
from mpc_infer.ids import Address


@dataclass(frozen=True)
class CallLimits:
    """What one certificate's holder may take of a server.

    With the largest message this bounds its memory: `receiving` messages of that size that have not arrived yet, and
    `held_bytes` of such that have.

    Attributes:
        calls: calls at one time.
        receiving: requests that are read at one time; others wait.
        receive_s: seconds for a request to arrive, waiting included.
        held_bytes: bytes of the requests that are worked on; one request is always taken.
        stream_s: longest life of an answer that is a stream.
    """

    calls: int = 128
    receiving: int = 4
    receive_s: float = 60.0
    held_bytes: int = 256 << 20
    stream_s: float = 3600.0


@dataclass
class _Caller:
    receiving: asyncio.Semaphore
    calls: int = 0
    held: int = 0


@dataclass
class Call:
    """One call of a caller that was let in."""

    limits: CallLimits
    caller: _Caller
    held: int = field(default=0, init=False)

    async def receive(self, context: Any) -> Any:
        """Read the call's one request.

        Args:
                context: the servicer context of a method that is registered as one whose requests are a stream, so that
                nothing was read before; its deserialiser gives the request, or None, and its length.

        Raises:
            InvalidRequest: there is none, or it is malformed.
            DeadlineExpired: it did not arrive in time.
            Unavailable: too many bytes of this caller's are in work.
        """
        try:
            async with asyncio.timeout(self.limits.receive_s), self.caller.receiving:
                received = await context.read()
        except TimeoutError as error:
            raise DeadlineExpired(f"the request did not arrive in {self.limits.receive_s:.0f} s") from error
        if received is grpc.aio.EOF:  # type: ignore[attr-defined] # the stubs lack it
            raise InvalidRequest("the call carried no request")
        request, size = received
        if request is None:
            raise InvalidRequest("the request is malformed")
        self._hold(size)
        return request

    def _hold(self, size: int) -> None:
        if self.caller.held and self.caller.held + size > self.limits.held_bytes:
            raise Unavailable(f"{self.caller.held} bytes of this caller's are in work", remedy="try again later")
        self.held = size
        self.caller.held += size


class Admission:
    """Counts what every caller has in work."""

    def __init__(self, limits: CallLimits) -> None:
        self._limits = limits
        self._callers: dict[Address, _Caller] = {}

    @contextmanager
    def enter(self, address: Address) -> Iterator[Call]:
        """One call, from its headers to its end.

        Raises:
            Unavailable: the caller has too many.
        """
        caller = self._callers.setdefault(address, _Caller(asyncio.Semaphore(self._limits.receiving)))
        if caller.calls >= self._limits.calls:
            raise Unavailable(f"this caller has {caller.calls} calls in work", remedy="try again later")
        caller.calls += 1
        call = Call(self._limits, caller)
        try:
            yield call
        finally:
            caller.calls -= 1
            caller.held -= call.held
            if not caller.calls:
                self._callers.pop(address, None)
