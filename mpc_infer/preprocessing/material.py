"""Material: one party's correlated randomness for one evaluation, usable once."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from mpc_infer.encoding import DIGEST_BYTES, same_digest
from mpc_infer.errors import MaterialUnusable
from mpc_infer.preprocessing.corrections import correction_digest
from mpc_infer.preprocessing.draws import Words, cut, drawn_words, material_stream, open_drawn
from mpc_infer.preprocessing.plan import Plan
from mpc_infer.preprocessing.requests import Request
from mpc_infer.sharing.stream import SEED_BYTES


class Material:
    """A party's shares of everything that a plan asks for, in its order. In memory only, so that a crash loses it.

    Opening two different values under one mask reveals their difference: hence `start` works once, whatever happened
    afterwards, and every part is handed out once.

    Args:
        plan: what it is for.
        material_id: 16 bytes that name it among the parties.
        parts: drawn and corrected parts of every request.
    """

    def __init__(self, plan: Plan, material_id: bytes, parts: Iterable[list[torch.Tensor]]) -> None:
        self.plan = plan
        self.material_id = material_id
        self._parts = list(zip(plan.requests, parts, strict=True))
        self._position = 0
        self._started = False

    def start(self) -> None:
        """Mark it consumed. To be called before its first use.

        Raises:
            MaterialUnusable: it was consumed before.
        """
        if self._started:
            raise MaterialUnusable("this material was used before, or given up")
        self._started = True

    def take(self, request: Request) -> list[torch.Tensor]:
        """The parts of the next request, which must be the one that the plan has there.

        Returns:
            Drawn parts, then corrected ones, as int64 tensors.

        Raises:
            MaterialUnusable: not started, exhausted, or made for something else.
        """
        if not self._started or self._position >= len(self._parts):
            raise MaterialUnusable("no material is left for this step, or it was not started")
        planned, parts = self._parts[self._position]
        if planned != request:
            raise MaterialUnusable(f"step {self._position} wants {request}, the material is for {planned}")
        self._parts[self._position] = (planned, [])
        self._position += 1
        return parts

    def finish(self) -> None:
        """Check that everything was used.

        Raises:
            MaterialUnusable: something is left, so the evaluation was not the planned one.
        """
        if self._position != len(self._parts):
            raise MaterialUnusable(f"{len(self._parts) - self._position} parts of the material were not used")

    def discard(self) -> None:
        """Forget it. It cannot be started any more."""
        self._started = True
        self._position = len(self._parts)
        self._parts = [(request, []) for request, _ in self._parts]

    def __repr__(self) -> str:
        return f"Material({self.material_id[:4].hex()}, started={self._started})"


def expand(seed: bytes, plan: Plan, party: int, material_id: bytes, corrections: bytearray | None = None) -> Material:
    """Make a party's material from its seed and, for the last party, the dealer's corrections.

    Args:
        seed: this party's 32 bytes; what follows them is for the dealer only.
        plan: what the material is for.
        party: this party's index.
        material_id: 16 bytes.
        corrections: what `read_corrections` returned at the last party; nothing at the others.

    Raises:
        MaterialUnusable: corrections are missing, superfluous or of the wrong length.
    """
    last = party == plan.parties - 1
    data = bytearray() if corrections is None else corrections
    expected = plan.correction_bytes - DIGEST_BYTES if last else 0
    if len(data) != expected:
        raise MaterialUnusable(f"party {party} has {len(data)} bytes of corrections, not {expected}")
    total = sum(drawn_words(request, last=last) for request in plan.requests)
    own = material_stream(seed[:SEED_BYTES]).ring(total)
    given = np.frombuffer(data, dtype=np.uint64)
    return Material(plan, material_id, _parts(plan, own, given if last else None))


def read_corrections(pieces: Iterable[bytes], plan: Plan) -> bytearray:
    """Collect what the dealer sent, check its length as it comes and its digest at the end.

    Returns:
        The corrections without the digest.

    Raises:
        MaterialUnusable: too long, too short, or damaged.
    """
    data = bytearray(plan.correction_bytes)
    filled = 0
    for piece in pieces:
        if filled + len(piece) > len(data):
            raise MaterialUnusable(f"the dealer sent more than the {len(data)} bytes that the plan implies")
        data[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled != len(data):
        raise MaterialUnusable(f"the dealer sent {filled} of {len(data)} bytes")
    body, received = data[:-DIGEST_BYTES], bytes(data[-DIGEST_BYTES:])
    state = correction_digest(plan)
    state.update(body)
    if not same_digest(state.digest(), received):
        raise MaterialUnusable("the dealer's corrections are damaged, or made for another plan")
    return body


def _parts(plan: Plan, own: Words, given: Words | None) -> Iterator[list[torch.Tensor]]:
    for request in plan.requests:
        drawn, own = cut(own, request.drawn)
        if given is None:
            corrected, own = cut(own, request.corrected)
        else:
            corrected, given = cut(given, request.corrected)
        yield [*open_drawn(request, drawn), *corrected]
