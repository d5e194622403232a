"""Seeds that each pair of parties shares for one session, and sharings of zero made from them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mpc_infer.encoding import digest
from mpc_infer.errors import InternalError
from mpc_infer.sharing.stream import Stream, fresh_seed

SEED_BYTES = 32


@dataclass(frozen=True, repr=False)
class PairSeeds:
    """One secret 32-byte seed with every other party, fresh in every session."""

    rank: int
    seeds: tuple[bytes, ...]

    @classmethod
    def combine(cls, rank: int, session_id: bytes, ours: Sequence[bytes], theirs: Sequence[bytes]) -> "PairSeeds":
        """Hash both halves of every pair, the lower index's first. Neither side alone chooses the seed."""
        seeds = []
        for peer, (own, other) in enumerate(zip(ours, theirs, strict=True)):
            low, high = (own, other) if rank < peer else (other, own)
            seeds.append(digest("pair-seed", session_id, low, high) if peer != rank else b"")
        return cls(rank, tuple(seeds))

    @property
    def size(self) -> int:
        """How many parties there are."""
        return len(self.seeds)

    def stream(self, sender: int, receiver: int, purpose: str) -> Stream:
        """The stream that two parties share for a direction and a purpose. This party must be one of the two."""
        if self.rank not in (sender, receiver) or sender == receiver:
            raise InternalError(f"party {self.rank} shares no seed with the pair {sender}, {receiver}")
        peer = receiver if sender == self.rank else sender
        return Stream(self.seeds[peer], f"{purpose}/{sender}-{receiver}")

    def zero_share(self, shape: tuple[int, ...], purpose: str) -> NDArray[np.uint64]:
        """This party's share of zero: uniform even to all the others but one, summing to zero over all parties."""
        share = np.zeros(shape, dtype=np.uint64)
        for peer in range(self.size):
            if peer > self.rank:
                share += self.stream(self.rank, peer, purpose).ring(shape)
            elif peer < self.rank:
                share -= self.stream(peer, self.rank, purpose).ring(shape)
        return share


def draw_halves(size: int) -> list[bytes]:
    """A fresh half of a seed for each party."""
    return [fresh_seed() for _ in range(size)]
