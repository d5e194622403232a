"""The plan: which correlated randomness one evaluation takes, in order. It is what the dealer learns."""

import itertools
from dataclasses import dataclass
from functools import cached_property

from mpc_infer.encoding import DIGEST_BYTES, canonical_json, digest, parse_json
from mpc_infer.errors import InvalidRequest, MessageTooLarge
from mpc_infer.preprocessing.masked_check import check_program, live_words, program_work
from mpc_infer.preprocessing.masked_requests import MaskedRequest
from mpc_infer.preprocessing.requests import Request, from_json, to_json, words
from mpc_infer.sharing.stream import SEED_BYTES

SCHEMA = "mpc-infer/plan/v1"
MAX_PLAN_BYTES = 1 << 20
_FIELDS = {"schema", "engine", "graph", "batch", "parties", "frac_bits", "rounds", "bytes_sent", "requests"}


@dataclass(frozen=True, slots=True)
class PlanLimits:
    """What a dealer is willing to work on.

    Attributes:
        requests: requests in a plan.
        request_words: words of 64 bits that one request draws or corrects.
        correction_bytes: bytes of corrections for the whole plan.
        live_words: words of masks that a program of masked requests holds at one time.
        work: multiplications for the whole plan.
        parties: parties in a plan.
    """

    requests: int = 20_000
    request_words: int = 1 << 27
    correction_bytes: int = 1 << 33
    live_words: int = 1 << 28
    work: int = 1 << 36
    parties: int = 16


@dataclass(frozen=True)
class Plan:
    """One evaluation of one graph for one number of rows among one number of parties.

    Attributes:
        engine: name of the back end.
        graph_digest: 32 bytes.
        batch: rows.
        parties: how many.
        frac_bits: fractional bits of the fixed point.
        rounds, bytes_sent: declared cost of the evaluation for each party; bytes are those of frames.
        requests: in the order in which the evaluation uses them.
    """

    engine: str
    graph_digest: bytes
    batch: int
    parties: int
    frac_bits: int
    rounds: int
    bytes_sent: int
    requests: tuple[Request, ...]

    @cached_property
    def correction_bytes(self) -> int:
        """Length of what the dealer returns: the corrections and a digest over them."""
        return 8 * sum(words(request.corrected) for request in self.requests) + DIGEST_BYTES

    @cached_property
    def material_bytes(self) -> int:
        """Bytes of material that each party holds before the evaluation."""
        return 8 * sum(words(request.drawn) + words(request.corrected) for request in self.requests)

    @cached_property
    def work(self) -> int:
        """Multiplications that the dealer does for one batch, or words that it goes through if those are more."""
        return program_work(self.program) if self.program else sum(request.work for request in self.requests)

    @property
    def program(self) -> tuple[MaskedRequest, ...]:
        """The requests, if they are a program of the masked engine; else nothing."""
        return tuple(request for request in self.requests if isinstance(request, MaskedRequest))

    @property
    def seed_bytes(self) -> int:
        """Length of what a party seals to the dealer: a seed for the material, and one of the model if it is masked."""
        return 2 * SEED_BYTES if self.program else SEED_BYTES

    def to_bytes(self) -> bytes:
        """RFC 8785 bytes: the form that is hashed and sent to the dealer."""
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        return canonical_json(
            {
                "schema": SCHEMA,
                "engine": self.engine,
                "graph": self.graph_digest.hex(),
                "batch": self.batch,
                "parties": self.parties,
                "frac_bits": self.frac_bits,
                "rounds": self.rounds,
                "bytes_sent": self.bytes_sent,
                "requests": [to_json(request) for request in self.requests],
            }
        )

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that name this plan; part of every receipt."""
        return digest("plan", self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes, limits: PlanLimits | None = None) -> "Plan":
        """Read a plan that somebody sent.

        Raises:
            MessageTooLarge: longer than a plan may be.
            InvalidRequest: not a plan, not its canonical bytes, or beyond the limits.
        """
        if len(data) > MAX_PLAN_BYTES:
            raise MessageTooLarge(f"a plan of {len(data)} bytes; the limit is {MAX_PLAN_BYTES}")
        plan = _read(data)
        if plan.to_bytes() != data:
            raise InvalidRequest("a plan is not in its canonical form")
        if plan.program:
            if len(plan.program) != len(plan.requests):
                raise InvalidRequest("a plan mixes masked requests with others")
            check_program(plan.program)
        check_limits(plan, limits or PlanLimits())
        return plan


def check_limits(plan: Plan, limits: PlanLimits) -> None:
    """Refuse a plan that asks for too much.

    Raises:
        InvalidRequest: says which limit.
    """
    drawn = (max(words(request.drawn), words(request.corrected)) for request in plan.requests)
    sizes = itertools.chain(drawn, (request.size for request in plan.program))
    for what, value, limit in (
        ("requests", len(plan.requests), limits.requests),
        ("parties", plan.parties, limits.parties),
        ("words in one request", max(sizes, default=0), limits.request_words),
        ("bytes of corrections", plan.correction_bytes, limits.correction_bytes),
        ("words of masks at one time", live_words(plan.program), limits.live_words),
        ("multiplications", plan.work, limits.work),
    ):
        if value > limit:
            raise InvalidRequest(f"the plan has {value} {what}; the limit is {limit}", remedy="send fewer rows at once")


def _read(data: bytes) -> Plan:
    value = parse_json(data, max_bytes=MAX_PLAN_BYTES)
    if not isinstance(value, dict) or set(value) != _FIELDS or value["schema"] != SCHEMA:
        raise InvalidRequest(f"a plan must have exactly the fields of {SCHEMA}")
    requests = value["requests"]
    if not isinstance(requests, list):
        raise InvalidRequest("a plan holds a list of requests")
    return Plan(
        engine=_text(value["engine"]),
        graph_digest=_digest(value["graph"]),
        batch=_count(value["batch"], 1, 2**20),
        parties=_count(value["parties"], 2, 255),
        frac_bits=_count(value["frac_bits"], 1, 31),
        rounds=_count(value["rounds"], 0, 2**31),
        bytes_sent=_count(value["bytes_sent"], 0, 2**50),
        requests=tuple(from_json(request) for request in requests),
    )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isascii() or not 0 < len(value) <= 32:
        raise InvalidRequest("a plan's engine is not a short name")
    return value


def _digest(value: object) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * DIGEST_BYTES:
        raise InvalidRequest("a plan's graph digest is not 64 hex digits")
    try:
        return bytes.fromhex(value)
    except ValueError as error:
        raise InvalidRequest("a plan's graph digest is not 64 hex digits") from error


def _count(value: object, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise InvalidRequest(f"a number in a plan is not an integer from {low} to {high}")
    return value
