"""The dealer's gRPC face. CPU work stays off the event loop."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mpc_infer.dealer.service import CorrectionsRequest, Dealer
from mpc_infer.errors import InvalidRequest
from mpc_infer.ids import Address, MaterialId
from mpc_infer.rpc.messages import sealed_from, sealing_key_to
from mpc_infer.rpc.policy import peer_of
from mpc_infer.v1 import dealer_pb2, dealer_pb2_grpc

MAX_PARTIES = 16


@dataclass
class _Turns:
    """The requests of one caller: how many are here, and how many may be worked on at once."""

    free: asyncio.Semaphore
    here: int = field(default=0)


class Turns:
    """Who is worked for. Waiting has no end of its own: the server's limit on the life of a stream ends it.

    Args:
        in_all: requests worked on at one time.
        per_caller: of these, requests of one caller.
    """

    def __init__(self, in_all: int, per_caller: int) -> None:
        self._free = asyncio.Semaphore(in_all)
        self._per_caller = per_caller
        self._callers: dict[Address, _Turns] = {}

    @asynccontextmanager
    async def turn(self, caller: Address) -> AsyncIterator[None]:
        """Wait for a turn and hold it. Who has used up its own waits outside, and not in the line of the others."""
        own = self._callers.setdefault(caller, _Turns(asyncio.Semaphore(self._per_caller)))
        own.here += 1
        try:
            async with own.free, self._free:
                yield
        finally:
            own.here -= 1
            if not own.here:
                del self._callers[caller]


class DealerServicer(dealer_pb2_grpc.DealerServiceServicer):
    """Translates and hands on.

    Args:
        dealer: the work.
        turns: who is worked for.
    """

    def __init__(self, dealer: Dealer, turns: Turns) -> None:
        self._dealer = dealer
        self._turns = turns

    async def GetDealerInfo(self, request: Any, context: Any) -> dealer_pb2.GetDealerInfoResponse:  # noqa: N802
        """The key to seal to."""
        return dealer_pb2.GetDealerInfoResponse(sealing_key=sealing_key_to(self._dealer.sealing_key))

    async def GetCorrections(  # noqa: N802
        self, request: dealer_pb2.GetCorrectionsRequest, context: Any
    ) -> AsyncIterator[dealer_pb2.GetCorrectionsResponse]:
        """Stream the corrections."""
        caller = peer_of(context).address
        async with self._turns.turn(caller):
            chunks = await asyncio.to_thread(self._dealer.corrections, _request_from(request), caller)
            while (chunk := await asyncio.to_thread(_next, chunks)) is not None:
                yield dealer_pb2.GetCorrectionsResponse(chunk=chunk)


def _next(chunks: Iterator[bytes]) -> bytes | None:
    return next(chunks, None)


def _request_from(request: dealer_pb2.GetCorrectionsRequest) -> CorrectionsRequest:
    if max(len(request.seed_commitments), len(request.sealed_seeds)) > MAX_PARTIES:
        raise InvalidRequest(f"there are at most {MAX_PARTIES} parties")
    return CorrectionsRequest(
        MaterialId(request.material_id),
        request.plan,
        tuple(request.seed_commitments),
        tuple(sealed_from(box) for box in request.sealed_seeds),
        request.batches or 1,
    )
