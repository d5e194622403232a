"""The server's gate: who calls, may they, and what leaves when something goes wrong."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn

import grpc

from mpc_infer.errors import InternalError, MpcInferError
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
    """Checks the caller against the policy and turns exceptions into statuses, for every method of a server."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Handler]], handler_call_details: Any
    ) -> Handler:
        """Wrap the method's handler."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return handler
        return self._wrapped(handler, handler_call_details.method)

    def _wrapped(self, handler: Any, method: str) -> Handler:
        codec = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(self._single(handler.unary_unary, method), **codec)
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(self._stream(handler.unary_stream, method), **codec)
        if handler.stream_stream:
            return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream, method), **codec)
        return grpc.stream_unary_rpc_method_handler(self._single(handler.stream_unary, method), **codec)

    def _single(self, behaviour: Behaviour, method: str) -> Behaviour:
        async def call(request: Any, context: Any) -> Any:
            try:
                self._policy.authorise(method, peer_of(context))
                return await behaviour(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the boundary of a call
                await _refuse(context, method, error)

        return call

    def _stream(self, behaviour: Behaviour, method: str) -> Behaviour:
        async def call(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                self._policy.authorise(method, peer_of(context))
                async for item in behaviour(request, context):
                    yield item
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - the boundary of a call
                await _refuse(context, method, error)

        return call
