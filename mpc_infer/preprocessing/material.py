"""Material: one party's correlated randomness for one evaluation, usable once."""

from collections.abc import Callable, Iterable, Iterator, Sequence

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
        self._prepared: object = None

    @property
    def prepared(self) -> bool:
        """Whether `prepare` was called."""
        return self._prepared is not None

    def prepare(self, work: Callable[[Sequence[Sequence[torch.Tensor]]], object]) -> None:
        """Replace the parts by what can be made of them before the input exists: as secret, and usable once as they.

        Raises:
            MaterialUnusable: it was consumed or prepared before.
        """
        if self._started or self.prepared:
            raise MaterialUnusable("this material was used or prepared before")
        self._prepared = work([parts for _, parts in self._parts])
        self._parts = [(request, []) for request, _ in self._parts]

    def take_prepared(self) -> object:
        """What `prepare` made, once.

        Raises:
            MaterialUnusable: not started, not prepared, or taken before.
        """
        if not self._started or self._prepared is None:
            raise MaterialUnusable("the material was not started, or what was prepared of it is gone")
        taken, self._prepared = self._prepared, None
        self._position = len(self._parts)
        return taken

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
        if not self._started or self.prepared or self._position >= len(self._parts):
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
        self._prepared = None
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
    return expand_batches(seed, plan, party, [material_id], None if corrections is None else [corrections])[0]


def expand_batches(
    seed: bytes,
    plan: Plan,
    party: int,
    material_ids: Sequence[bytes],
    corrections: Sequence[bytearray] | None = None,
) -> list[Material]:
    """As `expand`, for several batches that are drawn from the seed one after the other.

    Args:
        material_ids: one per batch, in the order that all parties have agreed on.
        corrections: what `read_batches` returned at the last party; nothing at the others.

    Raises:
        MaterialUnusable: corrections are missing, superfluous or of the wrong length.
    """
    last = party == plan.parties - 1
    given = [bytearray()] * len(material_ids) if corrections is None else corrections
    expected = plan.correction_bytes - DIGEST_BYTES if last else 0
    if len(given) != len(material_ids) or any(len(data) != expected for data in given):
        sizes = [len(data) for data in given]
        raise MaterialUnusable(
            f"party {party} has corrections of {sizes} bytes, not {len(material_ids)} times {expected}"
        )
    total = sum(drawn_words(request, last=last) for request in plan.requests)
    stream = material_stream(seed[:SEED_BYTES])
    return [
        Material(plan, material_id, _parts(plan, stream.ring(total), np.frombuffer(data, np.uint64) if last else None))
        for material_id, data in zip(material_ids, given, strict=True)
    ]


def read_corrections(pieces: Iterable[bytes], plan: Plan) -> bytearray:
    """As `read_batches`, for one batch."""
    return read_batches(pieces, plan, 1)[0]


def read_batches(pieces: Iterable[bytes], plan: Plan, batches: int) -> list[bytearray]:
    """Collect what the dealer sent, check its length as it comes and every batch's digest at the end.

    Returns:
        Every batch's corrections without the digest.

    Raises:
        MaterialUnusable: too long, too short, or damaged.
    """
    size = plan.correction_bytes
    data = _collected(pieces, batches * size)
    return [_checked(data[start : start + size], plan) for start in range(0, batches * size, size)]


def _collected(pieces: Iterable[bytes], size: int) -> bytearray:
    data = bytearray(size)
    filled = 0
    for piece in pieces:
        if filled + len(piece) > len(data):
            raise MaterialUnusable(f"the dealer sent more than the {len(data)} bytes that the plan implies")
        data[filled : filled + len(piece)] = piece
        filled += len(piece)
    if filled != len(data):
        raise MaterialUnusable(f"the dealer sent {filled} of {len(data)} bytes")
    return data


def _checked(data: bytearray, plan: Plan) -> bytearray:
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
