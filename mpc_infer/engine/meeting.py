"""Between `begin` and `end` of a link: any error ends a session everywhere; and what parties compare there."""

from collections.abc import Sequence

from mpc_infer.encoding import same_digest
from mpc_infer.engine.link import Link
from mpc_infer.errors import PlanMismatch, SessionAborted


class Meeting:
    """A session on a link, as a context manager.

    Args:
        link: idle.
        session_id: 16 bytes, never used twice.
        deadline: `time.monotonic()` seconds.
        begun: the link is in this session already.
    """

    def __init__(self, link: Link, session_id: bytes, deadline: float, *, begun: bool = False) -> None:
        self._link = link
        self._begun = begun
        self._session_id = session_id
        self._deadline = deadline

    def __enter__(self) -> None:
        if not self._begun:
            self._link.begin(self._session_id, self._deadline)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._link.end()
        else:
            self._link.abort(error)


def agree(link: Link, ours: bytes) -> None:
    """Exchange a digest of what is about to be done. One round.

    Raises:
        PlanMismatch: another party has another one.
    """
    compare_hello(exchange_fixed(link, ours), ours)


def compare_hello(theirs: Sequence[bytes], ours: bytes) -> None:
    """As `agree`, when all parties' digests are there."""
    for party, other in enumerate(theirs):
        if not same_digest(other, ours):
            raise PlanMismatch(f"party {party} is about to compute something else than this one", party=party)


def exchange_fixed(link: Link, message: bytes) -> list[bytes]:
    """Send one message to all, and receive one of the same length from each. One round.

    Raises:
        SessionAborted: a party's has another length.
    """
    received = link.exchange_bytes([message] * link.size, max_bytes=len(message))
    check_lengths(received, len(message))
    return received


def check_lengths(messages: Sequence[bytes], length: int) -> None:
    """All messages have this length.

    Raises:
        SessionAborted: one has another.
    """
    for party, message in enumerate(messages):
        if len(message) != length:
            raise SessionAborted(f"party {party} sent {len(message)} bytes, not {length}", party=party)
