"""Synchronous callers of an event loop: they get answers and errors, and are not left alone when the loop ends."""

import asyncio
import threading

import pytest

from mpc_infer.client.loop import LoopThread
from mpc_infer.errors import InternalError


@pytest.fixture
def loop() -> LoopThread:
    return LoopThread("test")


def test_answers_and_errors_come_back(loop: LoopThread) -> None:
    async def answer() -> int:
        await asyncio.sleep(0)
        return 7

    async def late() -> None:
        raise TimeoutError("the coroutine's own")

    assert loop.run(answer()) == 7
    with pytest.raises(TimeoutError, match="own"):
        loop.run(late())
    loop.close()
    assert loop.closed
    with pytest.raises(InternalError, match="closed"):
        loop.run(answer())


def test_a_caller_is_told_when_the_loop_ends_under_it(loop: LoopThread) -> None:
    started, caught = threading.Event(), list[BaseException]()

    async def never() -> None:
        started.set()
        await asyncio.Event().wait()

    def call() -> None:
        try:
            loop.run(never())
        except InternalError as error:
            caught.append(error)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    assert started.wait(10)
    loop.close()
    caller.join(10)
    assert not caller.is_alive()
    assert len(caught) == 1
