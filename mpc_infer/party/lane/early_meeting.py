"""Meeting the other lanes before it is certain that a session runs; nothing of the session is sent."""

from collections.abc import Iterator
from contextlib import contextmanager

from mpc_infer.engine.link import Link
from mpc_infer.errors import MpcInferError
from mpc_infer.ids import SessionId


class EarlyMeeting:
    """What became of the meeting that a lane was asked for last.

    Args:
        link: idle.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._session_id = b""
        self._failure: MpcInferError | None = None

    @property
    def pending(self) -> bool:
        """Whether the session of a meeting, or its end, is still to come."""
        return bool(self._session_id)

    def meet(self, session_id: SessionId, deadline: float) -> None:
        """Meet.

        Raises:
            SessionAborted: or one of its kinds. The session, when it comes, fails with the same.
        """
        self._session_id, self._failure = session_id, None
        try:
            self._link.begin(session_id, deadline)
        except MpcInferError as error:
            self._failure = error
            raise

    def part(self, reason: MpcInferError) -> None:
        """Leave a meeting; the others hear why."""
        if self.pending and self._failure is None:
            self._link.abort(reason)
        self._session_id, self._failure = b"", None

    @contextmanager
    def session(self, session_id: SessionId) -> Iterator[bool]:
        """All that a session does. Whatever fails before it is in the link's hands, the others need not wait for it.

        Yields:
            Whether the lanes have met for it.

        Raises:
            SessionAborted: what the meeting failed with.
        """
        met, failure = self._session_id == session_id, self._failure
        self._session_id, self._failure = b"", None
        if met and failure is not None:
            raise failure
        try:
            yield met
        except Exception as error:
            if met:
                self._link.abort(error)
            raise
