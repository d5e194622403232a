"""The parties as the coordinator reaches them. What a party says about itself is relayed and checked by clients."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import grpc

from mpc_infer.coordinator.config import CoordinatorConfig, PartySection
from mpc_infer.errors import PartySetMismatch, Unavailable
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.ids import Address, PartySetId
from mpc_infer.rpc.channel import open_channel
from mpc_infer.rpc.status import translated
from mpc_infer.v1 import common_pb2, party_pb2, party_pb2_grpc

INFO_TIMEOUT_S = 5.0
Answer = TypeVar("Answer")


class PartyDoor(Protocol):
    """One party. The gRPC channel is one; the tests' party in the same process is another."""

    @property
    def index(self) -> int:
        """Place in the party set."""

    @property
    def address(self) -> Address:
        """The party's identity."""

    async def call(self, method: str, request: Any, timeout_s: float) -> Any:
        """Send one request, once.

        Raises:
            MpcInferError: the party's error, or Unavailable.
        """

    async def watch(self, lost: Callable[[], None]) -> None:
        """Tell whenever the connection is lost, for ever."""

    async def close(self) -> None:
        """Give the connection back."""


class GrpcParty:
    """A party over mTLS."""

    def __init__(self, party: PartySection, credentials: TlsCredentials, max_bytes: int) -> None:
        self._index = party.index
        self._address = party.identity
        self._channel = open_channel(party.target, credentials, peer=self._address, role="party", max_bytes=max_bytes)
        self._stub: Any = party_pb2_grpc.PartyServiceStub(self._channel)  # type: ignore[no-untyped-call]

    @property
    def index(self) -> int:
        """Place in the party set."""
        return self._index

    @property
    def address(self) -> Address:
        """The party's identity."""
        return self._address

    async def call(self, method: str, request: Any, timeout_s: float) -> Any:
        """Send one request, once.

        Raises:
            MpcInferError: the party's error, or Unavailable.
        """
        with translated(f"party {self._index}"):
            return await getattr(self._stub, method)(request, timeout=timeout_s)

    async def watch(self, lost: Callable[[], None]) -> None:
        """Keep the connection up and tell when it is lost: the body of a background task.

        Args:
            lost: called whenever a connection that was there is there no more; the party may have been restarted.
        """
        while True:
            state = self._channel.get_state(try_to_connect=True)
            await self._channel.wait_for_state_change(state)
            if state is grpc.ChannelConnectivity.READY:
                lost()

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close(None)


def open_parties(config: CoordinatorConfig, credentials: TlsCredentials) -> tuple[GrpcParty, ...]:
    """Channels to all parties; they connect on first use."""
    limit = config.limits.max_message_bytes
    return tuple(GrpcParty(party, credentials, limit) for party in config.parties)


async def on_all(parties: Sequence[PartyDoor], action: Callable[[PartyDoor], Awaitable[Answer]]) -> tuple[Answer, ...]:
    """Do something with every party at once; the answers are in the parties' order.

    Raises:
        MpcInferError: the first failure, with the party's index; the other calls are cancelled.
    """
    tasks = [asyncio.ensure_future(action(party)) for party in parties]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for index, task in enumerate(tasks):
            if task in done and (error := task.exception()) is not None:
                if isinstance(error, Unavailable) and error.party is None:
                    error.party = parties[index].index
                raise error
        return tuple(task.result() for task in tasks)
    finally:
        await drop(tasks)


async def drop(tasks: "Sequence[asyncio.Future[Any]]") -> None:
    """Cancel what is left of some tasks and take note of their ends."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Directory:
    """What the parties say about themselves, asked once per party and kept until its connection is lost."""

    def __init__(self, parties: Sequence[PartyDoor], party_set: PartySetId) -> None:
        self._parties = parties
        self._party_set = party_set
        self._known: dict[int, common_pb2.PartyInfo] = {}

    def forget(self, index: int) -> None:
        """Ask a party again next time."""
        self._known.pop(index, None)

    async def infos(self) -> list[common_pb2.PartyInfo]:
        """Every party's address and sealing keys, in order.

        Raises:
            Unavailable: a party that was never reached does not answer.
            PartySetMismatch: a party belongs to another set, or is not who it should be.
        """
        before = dict(self._known)
        missing = [party for party in self._parties if party.index not in before]
        asked = {info.index: info for info in (await on_all(missing, self._ask) if missing else ())}
        known = {**before, **asked}
        self._known.update(asked)
        return [known[party.index] for party in self._parties]

    async def _ask(self, party: PartyDoor) -> common_pb2.PartyInfo:
        answer: party_pb2.GetInfoResponse = await party.call("GetInfo", party_pb2.GetInfoRequest(), INFO_TIMEOUT_S)
        if answer.party_set != self._party_set or answer.info.index != party.index:
            raise PartySetMismatch(f"party {party.index} serves another party set or place", party=party.index)
        return answer.info
