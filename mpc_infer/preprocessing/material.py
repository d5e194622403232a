"""Material: one party's correlated randomness for one evaluation, usable once."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mpc_infer.encoding import DIGEST_BYTES, same_digest
from mpc_infer.errors import MaterialUnusable
from mpc_infer.ids import MaterialId
from mpc_infer.preprocessing.corrections import correction_digest
from mpc_infer.preprocessing.draws import Words, batch_seed, cut, drawn_words, material_stream, open_drawn
from mpc_infer.preprocessing.plan import Plan
from mpc_infer.preprocessing.requests import Request


class Material:
    """A party's shares of everything that a plan asks for, in its order. Made from a `Batch`, kept in memory only.

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
        self._taken: object = None  # freed by `discard`: giving gigabytes back takes longer than a session may

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
        self._taken = taken
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
        self._prepared = self._taken = None
        self._position = len(self._parts)
        self._parts = [(request, []) for request, _ in self._parts]

    def __repr__(self) -> str:
        return f"Material({self.material_id[:4].hex()}, started={self._started})"


@dataclass(frozen=True, repr=False)
class Batch:
    """One batch of material as it may be written down: what is needed to make it, and nothing of any other batch.

    Attributes:
        material_id: 16 bytes.
        seed: 32 bytes, this party's for this batch alone (see `batch_seed`).
        corrections: the dealer's at the last party, `plan.correction_bytes` less a digest; empty at the others.
    """

    material_id: MaterialId
    seed: bytes
    corrections: bytearray

    def expand(self, plan: Plan, party: int) -> Material:
        """The material itself. As long as the batch exists it could be made twice: only what is used once is safe.

        Raises:
            MaterialUnusable: corrections are missing, superfluous or of the wrong length.
        """
        last = party == plan.parties - 1
        expected = corrections_length(plan, party)
        if len(self.corrections) != expected:
            raise MaterialUnusable(f"party {party} has corrections of {len(self.corrections)} bytes, not {expected}")
        total = sum(drawn_words(request, last=last) for request in plan.requests)
        given = np.frombuffer(self.corrections, np.uint64) if last else None
        return Material(plan, self.material_id, _parts(plan, material_stream(self.seed).ring(total), given))


def corrections_length(plan: Plan, party: int) -> int:
    """Bytes of corrections in one batch of a party: none but at the last one."""
    return plan.correction_bytes - DIGEST_BYTES if party == plan.parties - 1 else 0


def expand(
    seed: bytes, plan: Plan, party: int, material_id: MaterialId, corrections: bytearray | None = None
) -> Material:
    """Make the material of an exchange of one batch.

    Args:
        seed: this party's 32 bytes; what follows them is for the dealer only.
        plan: what the material is for.
        party: this party's index.
        material_id: 16 bytes.
        corrections: what `read_corrections` returned at the last party; nothing at the others.

    Raises:
        MaterialUnusable: corrections are missing, superfluous or of the wrong length.
    """
    return Batch(material_id, batch_seed(seed, 0), bytearray() if corrections is None else corrections).expand(
        plan, party
    )


def read_corrections(pieces: Iterable[bytes], plan: Plan) -> bytearray:
    """The only batch in what the dealer sent (see `read_batches`)."""
    (corrections,) = read_batches(pieces, plan, 1)
    return corrections


def read_batches(pieces: Iterable[bytes], plan: Plan, batches: int) -> Iterator[bytearray]:
    """What the dealer sends, batch by batch as it comes: one is in memory at a time.

    Yields:
        Every batch's corrections without the digest, which was checked.

    Raises:
        MaterialUnusable: too long, too short, or damaged.
    """
    reader = _Pieces(pieces)
    for _ in range(batches):
        data, digest = bytearray(plan.correction_bytes - DIGEST_BYTES), bytearray(DIGEST_BYTES)
        reader.fill(data)
        reader.fill(digest)
        state = correction_digest(plan)
        state.update(data)
        if not same_digest(state.digest(), bytes(digest)):
            raise MaterialUnusable("the dealer's corrections are damaged, or made for another plan")
        yield data
    reader.check_end()


class _Pieces:
    """A stream of pieces, read in other sizes."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def fill(self, target: bytearray) -> None:
        filled = 0
        while filled < len(target):
            if not self._rest:
                self._rest = memoryview(self._next(len(target) - filled))
            part = self._rest[: len(target) - filled]
            target[filled : filled + len(part)] = part
            filled += len(part)
            self._rest = self._rest[len(part) :]

    def check_end(self) -> None:
        if self._rest or any(self._pieces):
            raise MaterialUnusable("the dealer sent more than the plan implies")

    def _next(self, wanting: int) -> bytes:
        for piece in self._pieces:
            if piece:
                return piece
        raise MaterialUnusable(f"the dealer's answer ended {wanting} bytes before the end of a batch")


def _parts(plan: Plan, own: Words, given: Words | None) -> Iterator[list[torch.Tensor]]:
    for request in plan.requests:
        drawn, own = cut(own, request.drawn)
        if given is None:
            corrected, own = cut(own, request.corrected)
        else:
            corrected, given = cut(given, request.corrected)
        yield [*open_drawn(request, drawn), *corrected]
