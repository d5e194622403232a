"""The watch over a lane's process, without the process."""

import asyncio
import sys

import pytest

from mpc_infer import errors
from mpc_infer.party import lane_host
from mpc_infer.party.calls import SessionCall
from mpc_infer.party.frames import Message
from mpc_infer.party.lane_host import LaneHost
from mpc_infer.party.lane_turn import LaneTurn
from mpc_infer.rpc.background import Background


def make_host(background=None):
    limits = {"kill_grace_s": 0.1, "longest_s": 60, "max_waiting": 1, "max_models": 1}
    return LaneHost(0, lambda: Message("setup"), background=background, **limits)


async def test_a_watch_that_fails_is_an_error_and_not_silence(monkeypatch, caplog):
    async def broken(_self):
        raise ValueError("nobody expected this")

    monkeypatch.setattr(LaneHost, "_live_once", broken)
    monkeypatch.setattr(lane_host, "START_SECONDS", 0.2)
    background = Background()
    with pytest.raises(errors.Unavailable, match="did not start"):
        await make_host(background).start()
    assert background.failed.is_set()
    assert [record.levelname for record in caplog.records if record.name == "mpc_infer.rpc.background"] == ["ERROR"]
    with pytest.raises(errors.InternalError, match="lane-0"):
        background.check()


async def test_a_killed_lane_that_does_not_end_is_not_waited_for_for_ever(monkeypatch, caplog):
    monkeypatch.setattr(lane_host, "_REAP_SECONDS", 0.1)
    sleeper = await asyncio.create_subprocess_exec(sys.executable, "-c", "import time; time.sleep(60)")
    await make_host()._reap(sleeper)
    assert "does not end" in caplog.text
    sleeper.kill()
    await sleeper.wait()


async def test_a_worker_that_was_started_since_a_meeting_is_not_told_to_part(monkeypatch):
    """It would take the order to abort for one that comes before the session, which it may be asked for yet."""
    host, told = make_host(), []
    monkeypatch.setattr(host, "tell", lambda message: told.append(message.kind))
    host._ready.set()
    assert await host.take_if_free()
    turn = LaneTurn(host, SessionCall(bytes(16), 0, bytes(16), 0, 1, ()), 0)
    turn.meet()
    host.life += 1
    await turn.leave()
    assert told == ["meet"]
    assert await host.take_if_free()


class Worker:
    """What a host hears from a worker that takes requests and answers some: pings, or nothing at all."""

    def __init__(self, host: LaneHost, monkeypatch, *, lives: bool) -> None:
        self.host, self.lives, self.pings, self.killed = host, lives, asyncio.Semaphore(0), False
        self.request = asyncio.get_running_loop().create_future()
        monkeypatch.setattr(host, "tell", self._take)
        monkeypatch.setattr(host, "_kill", self._die)
        host._ready.set()

    def _take(self, message: Message) -> None:
        if message.kind != "ping":
            self.request.set_result(message)
        elif self.lives:
            self.host._answers[message.number].set_result(Message("pong"))
            self.pings.release()

    def _die(self) -> None:
        self.killed = True

    async def answer(self) -> None:
        self.host._answers[(await self.request).number].set_result(Message("done"))


async def test_a_worker_past_its_deadline_that_is_at_work_is_waited_for(monkeypatch):
    host = make_host()
    worker = Worker(host, monkeypatch, lives=True)
    asked = asyncio.create_task(host.ask(Message("prepare"), 0))
    for _ in range(3):
        await worker.pings.acquire()
    await worker.answer()
    assert (await asked).kind == "done"
    assert not worker.killed
    assert not host._answers


async def test_a_worker_past_its_deadline_that_is_silent_is_killed(monkeypatch):
    host = make_host()
    worker = Worker(host, monkeypatch, lives=False)
    with pytest.raises(errors.DeadlineExpired, match="did not answer prepare"):
        await host.ask(Message("prepare"), 0)
    assert worker.killed
    await asyncio.sleep(0)
    assert not host._answers


async def test_a_worker_that_is_at_work_for_too_long_is_killed(monkeypatch):
    host = make_host()
    host._longest_s = 0.3
    worker = Worker(host, monkeypatch, lives=True)
    with pytest.raises(errors.DeadlineExpired):
        await host.ask(Message("prepare"), 0)
    assert worker.killed
