"""The dealer as a lane reaches it: the key to seal seeds to, and the corrections for the last party."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from mpc_infer.encoding import same_digest
from mpc_infer.engine.tls_wait import CANCEL_CHECK_SECONDS
from mpc_infer.errors import NotAuthenticated, SealingFailed, SessionAborted
from mpc_infer.ids import Address, MaterialId
from mpc_infer.party.lane_setup import LaneSetup
from mpc_infer.preprocessing import Plan
from mpc_infer.rpc.channel import open_sync_channel
from mpc_infer.rpc.messages import sealed_to, sealing_key_from
from mpc_infer.rpc.status import translated
from mpc_infer.sharing.contexts import sealed_seed_context
from mpc_infer.sharing.sealing import SealingPublicKey, seal
from mpc_infer.v1 import common_pb2, dealer_pb2, dealer_pb2_grpc

_SHORTEST_CALL_S = 0.05
_TO_TELL_S = 1.0
"""A call to the dealer ends so long before the session does (or a fifth of what is left, if that is shorter): the other
parties, who wait for this one meanwhile, then hear that it was the dealer, instead of blaming this party."""


class DealerDoor:
    """Blocking calls to the dealer, each within a deadline.

    Args:
        setup: the lane's.
        cancelled: asked every tenth of a second during a call; an error that it returns ends the call.
    """

    def __init__(self, setup: LaneSetup, cancelled: Callable[[], SessionAborted | None]) -> None:
        self._cancelled = cancelled
        channel = open_sync_channel(setup.dealer_target, setup.credentials, peer=setup.dealer_address, role="dealer")
        self._stub: Any = dealer_pb2_grpc.DealerServiceStub(channel)  # type: ignore[no-untyped-call] # generated
        self._pinned = setup.dealer_key_id
        self._rank = setup.rank
        self._receiver: Address = setup.addresses[-1]
        self._key: SealingPublicKey | None = None

    def sealing(
        self, plan: Plan, material_id: MaterialId, deadline: float, batches: int = 1
    ) -> Callable[[bytes, Sequence[bytes]], bytes]:
        """How this party's seed for some material is sealed (see engine.session.SealSeed)."""
        key = self._sealing_key(deadline)

        def seal_seed(seed: bytes, commitments: Sequence[bytes]) -> bytes:
            context = sealed_seed_context(material_id, plan.digest, commitments, self._rank, self._receiver, batches)
            return sealed_to(seal(seed, key, context)).SerializeToString(deterministic=True)

        return seal_seed

    def fetching(self, deadline: float, batches: int) -> Callable[..., Iterator[bytes]]:
        """How the corrections for some batches are fetched before a deadline (see engine.session.FetchCorrections)."""

        def fetch(
            material_id: MaterialId, plan: bytes, commitments: Sequence[bytes], sealed: Sequence[bytes]
        ) -> Iterator[bytes]:
            request = dealer_pb2.GetCorrectionsRequest(
                material_id=material_id,
                plan=plan,
                seed_commitments=commitments,
                sealed_seeds=[_box(party, data) for party, data in enumerate(sealed)],
                batches=batches,
            )
            with translated("the dealer"):
                call = self._stub.GetCorrections(request, timeout=_seconds_to(deadline), wait_for_ready=True)
                with self._while_wanted(call):
                    for answer in call:
                        yield answer.chunk

        return fetch

    @contextmanager
    def _while_wanted(self, call: Any) -> Iterator[None]:
        """End a call when the work that it is for is called off: a dealer that is away must not keep the lane."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(CANCEL_CHECK_SECONDS):
                if self._cancelled() is not None:
                    call.cancel()
                    return

        threading.Thread(target=watch, name="dealer-call", daemon=True).start()
        try:
            yield
        except (grpc.RpcError, grpc.FutureCancelledError):
            if (error := self._cancelled()) is not None:
                raise error from None
            raise
        finally:
            over.set()
            call.cancel()  # the dealer need not go on for nobody

    def _sealing_key(self, deadline: float) -> SealingPublicKey:
        if self._key is None:
            with translated("the dealer"):
                request = dealer_pb2.GetDealerInfoRequest()
                call = self._stub.GetDealerInfo.future(request, timeout=_seconds_to(deadline), wait_for_ready=True)
                with self._while_wanted(call):
                    info = call.result()
            self._key = self._checked(sealing_key_from(info.sealing_key))
        return self._key

    def _checked(self, key: SealingPublicKey) -> SealingPublicKey:
        if not same_digest(self._pinned, key.key_id):
            raise NotAuthenticated(
                "the dealer shows another sealing key than the one in the configuration",
                remedy="find out why it changed before changing dealer.sealing_key_id",
            )
        return key


def _box(party: int, data: bytes) -> common_pb2.SealedBox:
    try:
        return common_pb2.SealedBox.FromString(data)
    except DecodeError as error:
        raise SealingFailed(f"party {party} sent no sealed seed", party=party) from error


def _seconds_to(deadline: float) -> float:
    left = deadline - time.monotonic()
    return max(_SHORTEST_CALL_S, left - min(_TO_TELL_S, left / 5))
