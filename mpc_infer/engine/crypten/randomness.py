"""AES-256-CTR in place of CrypTen's generators, which use 32 bits of their seed."""

import numpy as np
import torch

from mpc_infer.engine.pairs import PairSeeds
from mpc_infer.sharing.stream import Stream


class StreamGenerator:
    """A stream as CrypTen's protocols draw from it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def draw(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Uniform int64 words."""
        return torch.from_numpy(self._stream.ring(shape).view(np.int64))


class ZeroGenerator:
    """Zeros, for tracing."""

    def draw(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Zero words."""
        return torch.zeros(shape, dtype=torch.int64)


def neighbour_generators(pairs: PairSeeds) -> tuple[StreamGenerator, StreamGenerator]:
    """Streams shared with the previous and the next party: what one adds to a sharing of zero, the other takes away.

    With two parties both are shared with the same peer, in the two directions.
    """
    before, after = (pairs.rank - 1) % pairs.size, (pairs.rank + 1) % pairs.size
    return (
        StreamGenerator(pairs.stream(before, pairs.rank, "crypten-zero")),
        StreamGenerator(pairs.stream(pairs.rank, after, "crypten-zero")),
    )
