"""A compiled graph: the plan that dealer and parties share, and which tensor goes into which slot of it."""

from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from mpc_infer.engine.frames import HEADER_BYTES
from mpc_infer.preprocessing import Plan
from mpc_infer.preprocessing.masked_requests import Kind, MaskedRequest, layout_of, packed
from mpc_infer.preprocessing.plan import PlanLimits, check_limits

COMMUNICATING = frozenset({"open", "compare", "flip"})


class Role(StrEnum):
    """What a slot holds: of a secret weight a share, or what it is opened to; of a public one the weight itself."""

    INPUT = "input"
    BIAS = "bias"
    WEIGHT = "weight"
    ADDEND = "addend"
    CONSTANT = "constant"


@dataclass(frozen=True, slots=True)
class Slot:
    """A tensor of the graph as a request takes it.

    Attributes:
        role: inputs come with a job; weights and biases with the model. Addends are public biases, which party 0 adds;
            constants are public weights.
        name: of the graph's tensor.
        shape: that the request wants; the elements are the same.
        permute: axes, applied after ``view``, before ``shape``; empty for none.
        view: shape before axes are permuted.
        shift: the share, or the weight, is multiplied by 2^shift.
    """

    role: Role
    name: str
    shape: tuple[int, ...]
    permute: tuple[int, ...] = ()
    view: tuple[int, ...] = ()
    shift: int = 0


@dataclass(frozen=True)
class Segment:
    """A request's message in the frame of its round.

    Attributes:
        number: the request's.
        start, stop: its first word, and the one after its last.
        width: bits of the fields that are added up; 0 for what is XORed.
    """

    number: int
    start: int
    stop: int
    width: int


@dataclass(frozen=True)
class Round:
    """One frame of so many words."""

    segments: tuple[Segment, ...]
    words: int


@dataclass(frozen=True)
class Program:
    """A plan and how a party runs it.

    Attributes:
        plan: what is hashed, agreed on and sent to the dealer.
        slots: by number, as ``weight`` and ``local`` requests name them.
        outputs: (name, number of a share, shape) of the graph's outputs.
        held: numbers of shares that a party writes down once, since several requests read them.
    """

    plan: Plan
    slots: tuple[Slot, ...]
    outputs: tuple[tuple[str, int, tuple[int, ...]], ...]
    held: frozenset[int] = frozenset()

    @property
    def requests(self) -> tuple[MaskedRequest, ...]:
        """The plan's requests."""
        return self.plan.program

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """For each request, after how many rounds its value is known."""
        return levels(self.requests)

    @cached_property
    def rounds(self) -> tuple[Round, ...]:
        """The frames, in order."""
        return rounds(self.requests)


def levels(requests: tuple[MaskedRequest, ...]) -> tuple[int, ...]:
    """For each request, after how many rounds its value is known, when every message is sent as early as it can be."""
    found: list[int] = []
    for request in requests:
        before = max((found[number] for number in request.inputs), default=0)
        found.append(before + (request.op in COMMUNICATING))
    return tuple(found)


def rounds(requests: tuple[MaskedRequest, ...]) -> tuple[Round, ...]:
    """Independent messages of one step travel in one frame."""
    level = levels(requests)
    members: list[list[int]] = [[] for _ in range(max(level, default=0))]
    for number, request in enumerate(requests):
        if request.op in COMMUNICATING:
            members[level[number] - 1].append(number)
    return tuple(_round(requests, numbers) for numbers in members)


def message_words(request: MaskedRequest) -> int:
    """Words of a request's message."""
    return packed(request.size, message_bits(request))[0]


def message_bits(request: MaskedRequest) -> int:
    """Bits of each element of a request's message: what an opening keeps, 8 or 12 of a comparison, 1 of a flip."""
    if request.op == "open":
        return request.params[2]
    return 1 if request.op == "flip" else layout_of(request).field


def bytes_sent(requests: tuple[MaskedRequest, ...], parties: int) -> int:
    """Bytes of frames that each party sends."""
    return (parties - 1) * sum(HEADER_BYTES + 8 * each.words for each in rounds(requests))


def make_plan(
    graph_digest: bytes, batch: int, parties: int, frac_bits: int, requests: tuple[MaskedRequest, ...]
) -> Plan:
    """A plan with its declared costs, checked against the limits that a dealer has by default.

    Raises:
        InvalidRequest: it asks for too much.
    """
    plan = Plan(
        engine="masked",
        graph_digest=graph_digest,
        batch=batch,
        parties=parties,
        frac_bits=frac_bits,
        rounds=len(rounds(requests)),
        bytes_sent=bytes_sent(requests, parties),
        requests=requests,
    )
    check_limits(plan, PlanLimits())
    return plan


def _round(requests: tuple[MaskedRequest, ...], numbers: list[int]) -> Round:
    segments, start = [], 0
    for number in numbers:
        request = requests[number]
        stop = start + message_words(request)
        width = message_bits(request) if request.op == "open" else 0
        segments.append(Segment(number, start, stop, width))
        start = stop
    return Round(tuple(segments), start)


def kinds(requests: tuple[MaskedRequest, ...]) -> tuple[Kind, ...]:
    """What each request makes."""
    return tuple(request.result for request in requests)
