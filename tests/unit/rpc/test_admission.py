"""What one caller may take of a server, over real mTLS: calls, messages on their way in, bytes in work, streams."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import grpc
import pytest

from mpc_infer import errors
from mpc_infer.rpc.admission import CallLimits
from mpc_infer.rpc.channel import open_channel
from mpc_infer.rpc.policy import Policy
from mpc_infer.rpc.server import RpcServer, Service, build_server
from mpc_infer.rpc.status import translated
from mpc_infer.v1 import dealer_pb2, dealer_pb2_grpc, party_pb2, party_pb2_grpc

TIMEOUT = 20
SIGN = "/mpc_infer.v1.PartyService/SignRoot"
LIMITS = CallLimits(calls=3, receiving=1, receive_s=0.5, held_bytes=100_000, stream_s=0.5)


class Party(party_pb2_grpc.PartyServiceServicer):
    """Holds what it gets until it is told to let go."""

    def __init__(self) -> None:
        self.working, self.go_on = 0, asyncio.Event()

    async def SignRoot(self, request, context):  # noqa: N802
        self.working += 1
        await self.go_on.wait()
        return party_pb2.SignRootResponse()


class Dealer(dealer_pb2_grpc.DealerServiceServicer):
    """An answer without end."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()

    async def GetCorrections(self, request, context):  # noqa: N802
        try:
            while True:
                yield dealer_pb2.GetCorrectionsResponse(chunk=bytes(1 << 16))
        finally:
            self.ended.set()


@pytest.fixture
def party() -> Party:
    return Party()


@pytest.fixture
def dealer() -> Dealer:
    return Dealer()


@pytest.fixture
async def server(identities, party, dealer) -> AsyncIterator[RpcServer]:
    services = [
        Service("mpc_infer.v1.PartyService", partial(party_pb2_grpc.add_PartyServiceServicer_to_server, party)),
        Service("mpc_infer.v1.DealerService", partial(dealer_pb2_grpc.add_DealerServiceServicer_to_server, dealer)),
    ]
    credentials = identities.credentials("party", identities.server)
    built = build_server(
        credentials, Policy(), services, host="127.0.0.1", port=0, max_request_bytes=200_000, limits=LIMITS
    )
    await built.start()
    yield built
    party.go_on.set()
    await built.stop(0)


@pytest.fixture
async def connect(server, identities):
    opened = []

    def channel(role="coordinator", address=None):
        credentials = identities.credentials(role, address)
        opened.append(open_channel(f"127.0.0.1:{server.port}", credentials, peer=identities.server, role="party"))
        return opened[-1]

    yield channel
    for one in opened:
        await one.close()


def request(size: int) -> party_pb2.SignRootRequest:
    return party_pb2.SignRootRequest(receipt_digests=[bytes(size)])


async def sign(channel, size=32):
    with translated("the party"):
        return await party_pb2_grpc.PartyServiceStub(channel).SignRoot(request(size), timeout=TIMEOUT)


async def read_on(call):
    while await call.read() is not grpc.aio.EOF:
        pass


async def until_working(party, count):
    async with asyncio.timeout(TIMEOUT):
        while party.working < count:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_a_caller_has_so_many_calls_and_leaves_room_for_others(connect, party):
    greedy, other = connect(), connect()
    waiting = [asyncio.create_task(sign(greedy)) for _ in range(3)]
    await until_working(party, 3)
    with pytest.raises(errors.Unavailable, match="3 calls in work"):
        await sign(greedy)
    waiting.append(asyncio.create_task(sign(other)))
    await until_working(party, 4)
    party.go_on.set()
    assert len(await asyncio.gather(*waiting)) == 4
    assert await sign(greedy) == party_pb2.SignRootResponse()


async def test_a_caller_has_so_many_bytes_in_work(connect, party):
    greedy, other = connect(), connect()
    waiting = [asyncio.create_task(sign(greedy, 90_000))]
    await until_working(party, 1)
    with pytest.raises(errors.Unavailable, match="bytes of this caller's are in work"):
        await sign(greedy, 90_000)
    waiting += [asyncio.create_task(sign(other, 90_000)), asyncio.create_task(sign(greedy, 5_000))]
    await until_working(party, 3)
    party.go_on.set()
    await asyncio.gather(*waiting)
    # One request is always taken, and what is over counts no more.
    assert await sign(greedy, 150_000) == party_pb2.SignRootResponse()


async def test_a_request_above_the_servers_own_limit_is_refused(connect):
    with pytest.raises(errors.MessageTooLarge, match="larger than max"):
        await sign(connect(), 300_000)


async def test_a_request_that_does_not_arrive_is_not_waited_for(connect, party):
    """A caller that opens calls and sends nothing: it loses them, and holds up nobody but itself."""
    silent = connect()
    call = silent.stream_unary(SIGN, party_pb2.SignRootRequest.SerializeToString)(timeout=TIMEOUT)
    await call.wait_for_connection()
    party.go_on.set()
    assert await sign(connect()) == party_pb2.SignRootResponse()
    with pytest.raises(errors.DeadlineExpired, match="did not arrive"), translated("the party"):
        await call
    assert await sign(silent) == party_pb2.SignRootResponse()


async def test_who_may_not_call_is_told_before_anything_is_read(connect):
    stranger = connect("client")
    call = stranger.stream_unary(SIGN, party_pb2.SignRootRequest.SerializeToString)(timeout=TIMEOUT)
    with pytest.raises(errors.NotPermitted, match="role client"), translated("the party"):
        await call


@pytest.mark.parametrize("sent", [[], [b"\xff\xff"]], ids=["nothing", "junk"])
async def test_a_call_without_a_request_is_refused(connect, sent):
    call = connect().stream_unary(SIGN)(timeout=TIMEOUT)
    for data in sent:
        await call.write(data)
    await call.done_writing()
    with pytest.raises(errors.InvalidRequest), translated("the party"):
        await call


async def test_a_reader_that_stops_reading_ends_its_stream(connect, dealer):
    call = dealer_pb2_grpc.DealerServiceStub(connect("party")).GetCorrections(
        dealer_pb2.GetCorrectionsRequest(), timeout=TIMEOUT
    )
    assert await call.read() is not grpc.aio.EOF
    await asyncio.wait_for(dealer.ended.wait(), TIMEOUT)
    with pytest.raises(errors.DeadlineExpired, match="was not read"), translated("the dealer"):
        await read_on(call)
