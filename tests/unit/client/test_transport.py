"""Retrying, the synchronous client's loop, and what importing the SDK loads."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from mpc_infer.client.loop import LoopThread
from mpc_infer.client.transport import retry
from mpc_infer.errors import DeadlineExpired, InternalError, JobConflict, MpcInferError, Unavailable


class Flaky:
    """Fails some times, then works."""

    def __init__(self, *errors: MpcInferError) -> None:
        self.errors = list(errors)
        self.timeouts: list[float] = []

    async def __call__(self, timeout_s: float) -> str:
        self.timeouts.append(timeout_s)
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def test_what_may_be_retried_is_retried_within_the_deadline() -> None:
    flaky = Flaky(Unavailable("busy"), Unavailable("busy"))
    assert await retry(flaky, time.monotonic() + 30.0) == "done"
    assert len(flaky.timeouts) == 3
    assert flaky.timeouts == sorted(flaky.timeouts, reverse=True)


async def test_what_may_not_be_retried_is_raised_at_once() -> None:
    flaky = Flaky(JobConflict("other contents"))
    with pytest.raises(JobConflict):
        await retry(flaky, time.monotonic() + 30.0)
    assert len(flaky.timeouts) == 1


async def test_the_last_error_is_raised_when_the_time_is_up() -> None:
    with pytest.raises(Unavailable):
        await retry(Flaky(*(Unavailable("busy") for _ in range(100))), time.monotonic() + 0.3)
    with pytest.raises(DeadlineExpired):
        await retry(Flaky(), time.monotonic() - 1.0)


async def _count(limit: int) -> AsyncIterator[int]:
    for number in range(limit):
        await asyncio.sleep(0)
        yield number


def test_synchronous_code_runs_coroutines_and_steps_through_iterators() -> None:
    thread = LoopThread("test")
    assert thread.run(asyncio.sleep(0, "value")) == "value"
    assert list(thread.iterate(_count(4))) == [0, 1, 2, 3]
    with pytest.raises(JobConflict):
        thread.run(_fail())
    thread.close()
    thread.close()
    with pytest.raises(InternalError):
        thread.run(asyncio.sleep(0))


async def _fail() -> None:
    raise JobConflict("as raised")


def test_importing_the_sdk_loads_neither_torch_nor_a_database_nor_onnx() -> None:
    code = (
        "import sys; from mpc_infer.client import Client, AsyncClient;"
        "print(sorted({'torch', 'sqlalchemy', 'onnx', 'crypten', 'eth_tester'} & set(sys.modules)),"
        "sorted(name for name in sys.modules if name.startswith(('mpc_infer.store', 'mpc_infer.engine'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[] []"


def test_the_coordinator_loads_neither_torch_nor_an_engine() -> None:
    code = (
        "import sys; import mpc_infer.coordinator.server;"
        "print(sorted({'torch', 'onnx', 'crypten'} & set(sys.modules)),"
        "sorted(name for name in sys.modules if name.startswith('mpc_infer.engine')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[] []"
