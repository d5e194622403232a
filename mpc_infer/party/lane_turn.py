"""A lane that is held for one session: its worker meets the other parties' while the session is judged and admitted."""

from types import TracebackType
from typing import Self

from mpc_infer.errors import MpcInferError, SessionAborted
from mpc_infer.ids import SessionId
from mpc_infer.party.calls import SessionCall
from mpc_infer.party.frames import Message
from mpc_infer.party.lane_host import LaneHost
from mpc_infer.telemetry import Log

_LOG = Log("party.lanes")
PART_S = 5.0
"""How long a lane may take to leave a meeting."""
REASON = "this party does not run it"


class LaneTurn:
    """As a context manager it gives the lane back in the end.

    Args:
        lane: held by the caller.
        call: the session.
        until_ms: when it must be over, Unix milliseconds.

    Attributes:
        taken: a session has it, and will leave it.
    """

    def __init__(self, lane: LaneHost, call: SessionCall, until_ms: int) -> None:
        self.lane = lane
        self.until_ms = until_ms
        self.taken = False
        self._call = call
        self._held = True
        self._met = False
        self._life = lane.life

    @property
    def held(self) -> bool:
        """Whether it was not given back yet."""
        return self._held

    def check_same_worker(self) -> None:
        """Refuse to spend anything on a worker that is not the one that was given the model, and has met the others.

        Raises:
            SessionAborted: it ended meanwhile.
        """
        if not self.lane.ready or self.lane.life != self._life:
            raise SessionAborted(f"lane {self.lane.number} of this party ended before the session began")

    def meet(self) -> None:
        """Have the lanes meet. Nothing of the session is sent; if it does not run, they part."""
        fields, blobs = {"deadline_ms": self.until_ms}, {"session": self._call.session_id}
        self.lane.ask_ahead(Message("meet", fields=fields, blobs=blobs))
        self._met = True

    async def run(self, message: Message, seconds: float) -> Message:
        """Ask the lane for the session (see `LaneHost.ask`); there is nothing to part from after that."""
        self._met = False
        return await self.lane.ask(message, seconds)

    async def leave(self) -> None:
        """Part from the others, if the lanes meet or have met for nothing, and give the lane back. Never raises.

        A worker that was started since knows of no meeting, and may be asked for the same session yet.
        """
        if not self._held:
            return
        self._held = False
        try:
            if self._met and self.lane.ready and self.lane.life == self._life:
                self.lane.tell(abort_message(SessionId(self._call.session_id), REASON))  # it may wait there for others
                await self.lane.ask(Message("part", fields={"reason": REASON}), PART_S)
        except MpcInferError as error:
            _LOG.warning("a lane did not leave a meeting", lane=self.lane.number, reason=str(error))
        finally:
            self.lane.give_back()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()


def abort_message(session_id: SessionId, reason: str) -> Message:
    """What ends a session, or a meeting, on a lane that is busy with it."""
    return Message("abort", fields={"reason": reason}, blobs={"session": session_id})
