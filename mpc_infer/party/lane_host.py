"""The main process's side of one lane: start it, talk to it, watch over its deadlines, start it anew when it dies."""

import asyncio
import contextlib
import os
import socket
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from mpc_infer.errors import DeadlineExpired, InternalError, MpcInferError, SessionAborted, Unavailable
from mpc_infer.party.frames import MATERIAL_READY, PING, Message, encode, raise_error, read_frame
from mpc_infer.rpc.background import Background
from mpc_infer.telemetry import Log

_LOG = Log("party.lanes")
START_SECONDS = 240.0
"""A lane imports torch, which takes seconds on a busy machine; the first one on a machine compiles the kernels, too."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_REAP_SECONDS = 5.0


class LaneHost:
    """One lane: a worker process that runs one session at a time.

    Args:
        number: its position among the party's lanes.
        setup: builds the first message, which carries everything the worker must know, credentials included.
        kill_grace_s: seconds past a request's deadline until a lane that answers neither it nor a ping is killed.
        longest_s: seconds that a lane has for any request if it answers pings: making material for a large model, say,
            cannot be interrupted at every moment.
        max_waiting: requests that may wait for their turn.
        max_models: models that the worker keeps.
        background: where the watch over the worker runs.
    """

    def __init__(
        self,
        number: int,
        setup: Callable[[], Message],
        *,
        kill_grace_s: float,
        longest_s: float,
        max_waiting: int,
        max_models: int,
        background: Background | None = None,
    ) -> None:
        self.number = number
        self._setup = setup
        self._grace_s = kill_grace_s
        self._longest_s = longest_s
        self._max_waiting = max_waiting
        self._max_models = max_models
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._ready = asyncio.Event()
        self.life = 0
        """How many workers there were: what one was told, the next does not know."""
        self._closing = False
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answers: dict[int, asyncio.Future[Message]] = {}
        self._next_number = 1
        self._models: OrderedDict[bytes, bytes] = OrderedDict()
        """Model hash to the digest of what the worker holds opened; empty: nothing, or the engine opens no models."""
        self.ready_material: set[bytes] = set()
        """Ids of the material that the worker has in memory, with nothing left to do before the input is there."""
        self._background = background or Background()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the worker and wait until it is ready.

        Raises:
            Unavailable: it did not become ready.
        """
        self._task = self._background.start(self._keep_alive(), f"lane-{self.number}")
        await self.wait_until_ready(START_SECONDS)

    async def wait_until_ready(self, seconds: float) -> None:
        """Wait for the worker to run.

        Raises:
            Unavailable: it does not, after this many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._ready.wait()
        except TimeoutError as error:
            raise Unavailable(f"lane {self.number} did not start", remedy="see its log lines") from error

    async def close(self) -> None:
        """End the worker."""
        self._closing = True
        if self._writer is not None:
            self._writer.close()  # the worker ends when its socket does
        if self._task is not None:
            _, pending = await asyncio.wait({self._task}, timeout=2.0)
            if pending:
                self._kill()
                await asyncio.wait({self._task}, timeout=2.0)

    @property
    def ready(self) -> bool:
        """Whether the worker runs."""
        return self._ready.is_set()

    def check_room(self) -> None:
        """Refuse, before anything is spent, when the worker does not run or too many wait already.

        Raises:
            Unavailable: so it is.
        """
        self._check_ready()
        if self._waiting >= self._max_waiting:
            raise Unavailable(f"lane {self.number} has {self._waiting} requests waiting", remedy="try again later")

    def _check_ready(self) -> None:
        if not self._ready.is_set():
            raise Unavailable(f"lane {self.number} is not running", remedy="try again in a few seconds")

    def has_model(self, model_hash: bytes, opening: bytes) -> bool:
        """Whether the worker holds a model, opened to this; it counts as used now."""
        if self._models.get(model_hash) == opening:
            self._models.move_to_end(model_hash)
            return True
        return False

    @contextlib.asynccontextmanager
    async def turn(self, seconds: float) -> AsyncIterator[None]:
        """Hold the lane: nobody else's requests come between. Raises as `take`."""
        await self.take(seconds)
        try:
            yield
        finally:
            self.give_back()

    async def take(self, seconds: float) -> None:
        """Hold the lane, until `give_back`.

        Raises:
            Unavailable: the queue is full, or the worker does not run.
            DeadlineExpired: the turn did not come in time.
        """
        self.check_room()
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._turn.acquire()
        except TimeoutError as error:
            raise DeadlineExpired(f"lane {self.number} was busy until the deadline") from error
        finally:
            self._waiting -= 1
        if not self.ready:
            self._turn.release()
            self._check_ready()

    async def take_if_free(self) -> bool:
        """Hold the lane, until `give_back`, if nobody holds it or waits for it, and the worker runs."""
        if self._turn.locked() or self._waiting or not self.ready:
            return False
        await self._turn.acquire()  # at once: it is free
        return True

    def give_back(self) -> None:
        """Who holds the lane holds it no more."""
        self._turn.release()

    async def load(self, model_hash: bytes, message: Message, seconds: float) -> None:
        """Give the worker a model; the least recently used one goes when there are too many."""
        self.ready_material.clear()  # loading and unloading may leave some of it on the disk alone
        answer = await self.ask(message, seconds)
        self._models[model_hash] = answer.blob("digest")
        self._models.move_to_end(model_hash)
        while len(self._models) > self._max_models:
            oldest, _ = self._models.popitem(last=False)
            await self.ask(Message("unload", blobs={"model": oldest}), seconds)

    async def open(self, model_hash: bytes, message: Message, seconds: float) -> Message:
        """Have the worker open a model that it holds, together with the other parties' lanes."""
        answer = await self.ask(message, seconds)
        self._models[model_hash] = answer.blob("digest")
        return answer

    async def ask(self, message: Message, seconds: float) -> Message:
        """Send a request and wait for its answer. The caller holds the turn.

        Args:
            message: the request.
            seconds: until its deadline. A worker that is silent for longer than that and the grace is killed and
                replaced; one that is at work still has `longest_s`.

        Raises:
            MpcInferError: what the worker answered.
            SessionAborted: the worker died.
            DeadlineExpired: it did not answer.
        """
        answer = self._post(message)
        try:
            if await self._patiently(answer, max(seconds, 0)):
                return raise_error(answer.result())
        except asyncio.CancelledError:
            # Nobody waits for the outcome any more; the worker must not go on with it under somebody else's turn.
            self._kill()
            raise
        finally:
            answer.cancel()
        _LOG.warning("lane does not answer, killing it", lane=self.number, request=message.kind)
        self._kill()
        raise DeadlineExpired(f"lane {self.number} did not answer {message.kind} by its deadline")

    async def _patiently(self, answer: asyncio.Future[Message], seconds: float) -> bool:
        """Wait for an answer, past its deadline as long as the worker lives. Whether there is one."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + max(seconds, self._longest_s)
        await asyncio.wait({answer}, timeout=seconds)
        while not answer.done() and loop.time() < latest and self.ready:
            pong = self._post(Message(PING))
            pong.add_done_callback(_noted)
            await asyncio.wait({answer}, timeout=self._grace_s)
            if not pong.done():
                pong.cancel()
                break
        return answer.done()

    def ask_ahead(self, message: Message) -> None:
        """Send a request whose failure is told by the answer to the next one. The caller holds the turn."""
        self._post(message).add_done_callback(_noted)

    def tell(self, message: Message) -> None:
        """Send what has no answer, out of turn."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))

    def _post(self, message: Message) -> asyncio.Future[Message]:
        if not self._ready.is_set():
            # Not waited for: a new life of the worker knows nothing of what this turn has given the old one.
            raise SessionAborted(f"lane {self.number} of this party ended in mid-work")
        number, self._next_number = self._next_number, self._next_number + 1
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._answers[number] = answer
        answer.add_done_callback(lambda _: self._answers.pop(number, None))
        self.tell(replace(message, number=number))
        return answer

    def _kill(self) -> None:
        self._ready.clear()
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def _keep_alive(self) -> None:
        pause = _FIRST_PAUSE
        while not self._closing:
            loop = asyncio.get_running_loop()
            started = loop.time()
            try:
                await self._live_once()
            except (OSError, MpcInferError, asyncio.IncompleteReadError) as error:
                if not self._closing:
                    _LOG.error("lane failed", exception=error, lane=self.number)
            if not self._closing:
                pause = _FIRST_PAUSE if loop.time() - started > 30 else min(2 * pause, _LONGEST_PAUSE)
                _LOG.warning("lane ended, starting it anew", lane=self.number)
                await asyncio.sleep(pause)

    async def _live_once(self) -> None:
        """One life of the worker: start, hand over the setup, pass its answers on until it ends."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await _spawn(theirs.fileno())
        reader, self._writer = await asyncio.open_connection(sock=ours)
        try:
            self.tell(self._setup())
            async with asyncio.timeout(START_SECONDS):
                raise_error(await read_frame(reader))
            self._ready.set()
            self.life += 1
            _LOG.info("lane ready", lane=self.number, pid=self._process.pid)
            await self._pass_answers(reader)
        except TimeoutError as error:
            raise InternalError(f"lane {self.number} did not start in {START_SECONDS:.0f} s") from error
        finally:
            self._end_life()
            await self._reap(self._process)

    async def _reap(self, process: asyncio.subprocess.Process) -> None:
        try:
            async with asyncio.timeout(_REAP_SECONDS):
                await process.wait()
        except TimeoutError:
            # Killed, and not gone: it hangs in the kernel. The next life must not wait for that.
            _LOG.error("a killed lane does not end", lane=self.number, pid=process.pid)

    async def _pass_answers(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                message = await read_frame(reader)
                if message.kind == MATERIAL_READY:
                    self.ready_material.add(message.blob("material"))
                    continue
                answer = self._answers.get(message.number)
                if answer is not None and not answer.done():
                    answer.set_result(message)

    def _end_life(self) -> None:
        self._kill()
        self._models.clear()
        self.ready_material.clear()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for answer in list(self._answers.values()):
            if not answer.done():
                answer.set_exception(SessionAborted(f"lane {self.number} of this party ended in mid-work"))


def _noted(answer: "asyncio.Future[Message]") -> None:
    if not answer.cancelled():
        answer.exception()


async def _spawn(descriptor: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "mpc_infer.party.lane",
        str(descriptor),
        str(os.getpid()),
        pass_fds=(descriptor,),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=sys.stderr.fileno() if _has_descriptor(sys.stderr) else None,
    )


def _has_descriptor(stream: object) -> bool:
    try:
        return isinstance(stream.fileno(), int)  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False
