"""The server's gate: who calls, may they, and what leaves when something goes wrong."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from mpc_infer.errors import DeadlineExpired, InternalError, MpcInferError
from mpc_infer.rpc.admission import Admission, Call, CallLimits
from mpc_infer.rpc.policy import Policy, peer_of
from mpc_infer.rpc.status import status_code, trailing_metadata
from mpc_infer.telemetry import Log

_LOG = Log("rpc")

Handler = Any  # a grpc.RpcMethodHandler; the stubs make it generic in what cannot be known here
Behaviour = Callable[[Any, Any], Any]


async def _abort(context: Any, error: MpcInferError) -> NoReturn:
    await context.abort(status_code(error), error.message[:1000], trailing_metadata(error))
    raise error  # abort always raises; this line is for the type checker


async def _refuse(context: Any, method: str, error: Exception) -> NoReturn:
    """Answer with our error; what we did not raise on purpose leaves as INTERNAL without details."""
    if isinstance(error, MpcInferError) and error.code != InternalError.code:
        _LOG.info("refused", method=method, code=error.code, reason=error.message)
        await _abort(context, error)
    _LOG.error("unexpected failure", exception=error, method=method)
    await _abort(context, InternalError("the service failed on this request", remedy="see the service's log"))


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg] # not subscriptable at run time
    """Checks the caller and turns exceptions into statuses, for every method of a server.

    gRPC reads a single request before it asks the handler, and keeps it in memory whoever sent it. So every method is
    registered as one whose requests are a stream, which on the wire is the same: the gate first sees who calls, whether
    they may, and how much they have in work already, and only then reads.
    """

    def __init__(self, policy: Policy, limits: CallLimits | None = None) -> None:
        self._policy = policy
        self._limits = limits or CallLimits()
        self._admission = Admission(self._limits)

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Handler]], handler_call_details: Any
    ) -> Handler:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return self._wrapped(handler, handler_call_details.method)

    def _wrapped(self, handler: Any, method: str) -> Handler:
        if handler.request_streaming:  # reflection; it answers small questions one by one
            return handler._replace(stream_stream=self._conversation(handler.stream_stream, method))
        deserializer, serializer = _sized(handler.request_deserializer), handler.response_serializer
        if handler.response_streaming:
            behaviour = self._stream(handler.unary_stream, method)
            return grpc.stream_stream_rpc_method_handler(behaviour, deserializer, serializer)
        behaviour = self._single(handler.unary_unary, method)
        return grpc.stream_unary_rpc_method_handler(behaviour, deserializer, serializer)

    def _single(self, behaviour: Behaviour, method: str) -> Behaviour:
        async def call(_: Any, context: Any) -> Any:
            async with self._entered(context, method) as entry:
                return await behaviour(await entry.receive(context), context)

        return call

    def _stream(self, behaviour: Behaviour, method: str) -> Behaviour:
        async def call(_: Any, context: Any) -> None:
            async with self._entered(context, method) as entry:
                await self._write(behaviour(await entry.receive(context), context), context)

        return call

    def _conversation(self, behaviour: Behaviour, method: str) -> Behaviour:
        async def call(requests: Any, context: Any) -> None:
            async with self._entered(context, method):
                await self._write(behaviour(requests, context), context)

        return call

    async def _write(self, items: AsyncGenerator[Any], context: Any) -> None:
        """Send what a method yields. A caller that does not read holds up nothing for longer than a stream may live."""
        try:
            async with contextlib.aclosing(items), asyncio.timeout(self._limits.stream_s):
                async for item in items:
                    await context.write(item)
        except TimeoutError as error:
            raise DeadlineExpired(f"the answer was not read in {self._limits.stream_s:.0f} s") from error

    @contextlib.asynccontextmanager
    async def _entered(self, context: Any, method: str) -> AsyncIterator[Call]:
        """A call that may be made; what goes wrong in it leaves as its status."""
        try:
            peer = self._policy.authorise(method, peer_of(context))
            with self._admission.enter(peer.address) as entry:
                yield entry
        except grpc.aio.AbortError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary of a call
            await _refuse(context, method, error)


def _sized(deserializer: Callable[[bytes], Any]) -> Callable[[bytes], tuple[Any, int]]:
    """Also tell the length; what cannot be read becomes None: gRPC would answer it with its own error."""

    def read(data: bytes) -> tuple[Any, int]:
        try:
            return deserializer(data), len(data)
        except DecodeError:
            return None, len(data)

    return read
