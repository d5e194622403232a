"""Background work: a role does not go on without it, and says why."""

import asyncio

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mpc_infer import errors
from mpc_infer.rpc.background import Background
from mpc_infer.rpc.channel import open_channel
from mpc_infer.rpc.policy import Policy
from mpc_infer.rpc.server import build_server, serve_until_signal


async def fail():
    raise ValueError("nobody expected this")


async def test_a_task_that_ends_or_is_ended_is_no_failure():
    background = Background()
    await background.start(asyncio.sleep(0), "short")
    background.start(asyncio.sleep(60), "long")
    await background.close()
    assert not background.failed.is_set()
    background.check()


async def test_the_first_failure_is_the_one_that_is_told():
    background = Background()
    background.start(fail(), "first")
    await background.failed.wait()
    background.start(fail(), "second")
    await asyncio.sleep(0)
    with pytest.raises(errors.InternalError, match="task first failed") as caught:
        background.check()
    assert isinstance(caught.value.__cause__, ValueError)


async def test_a_role_whose_background_work_fails_says_not_serving_and_ends(identities, caplog):
    credentials = identities.credentials("party", identities.server)
    built = build_server(credentials, Policy(), [], host="127.0.0.1", port=0)
    background, said = Background(), []

    async def stopping():
        opened = open_channel(
            f"127.0.0.1:{built.port}", identities.credentials("client"), peer=identities.server, role="party"
        )
        async with opened:
            answer = await health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(), timeout=20)
        said.append(answer.status)

    never = asyncio.Event()
    serving = serve_until_signal(built, role="party", grace_s=0, stopping=stopping, stop=never, background=background)
    background.start(fail(), "watch")
    with pytest.raises(errors.InternalError, match="task watch failed"):
        await asyncio.wait_for(serving, 30)
    assert said == [health_pb2.HealthCheckResponse.NOT_SERVING]
    assert "ERROR" in [record.levelname for record in caplog.records]
