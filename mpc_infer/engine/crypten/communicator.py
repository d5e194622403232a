"""CrypTen's network: every opening is one round of our link."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.distributed import ReduceOp

from mpc_infer.engine.crypten.library import crypten
from mpc_infer.engine.frames import HEADER_BYTES
from mpc_infer.engine.link import Array, Link
from mpc_infer.errors import InternalError
from mpc_infer.evidence.transcript import Transcript


class Opening(crypten.communicator.Communicator):  # type: ignore[misc]
    """What CrypTen's protocols call when all parties open values: sums, or XORs, of everybody's share.

    The one collective that our operators need is all_reduce. The others stay refused by the base class, and objects
    (which CrypTen pickles) are refused here.
    """

    def __init__(self, rank: int, size: int) -> None:
        self._rank = rank
        self._size = size

    def get_rank(self) -> int:
        """This party's index."""
        return self._rank

    def get_world_size(self) -> int:
        """How many parties there are."""
        return self._size

    def all_reduce(self, input: Any, op: Any = ReduceOp.SUM, batched: bool = False) -> Any:
        """Open a tensor, or with `batched` several in one round.

        Args:
            input: an int64 tensor or a list of them; not changed.
            op: SUM or BXOR.
        """
        if op not in (ReduceOp.SUM, ReduceOp.BXOR):
            raise InternalError(f"shares are opened by sum or XOR, not by {op}")
        combine = np.add if op == ReduceOp.SUM else np.bitwise_xor
        if not batched:
            return self._open([input], combine)[0]
        return self._open(input, combine)

    def send_obj(self, *_: object, **__: object) -> Any:
        """Refused: CrypTen would pickle it."""
        raise InternalError("parties send each other no objects")

    recv_obj = send_obj
    broadcast_obj = send_obj

    def _open(self, tensors: Sequence[torch.Tensor], combine: np.ufunc) -> list[torch.Tensor]:
        parts = [tensor.detach().numpy() for tensor in tensors]
        joined = len(parts) > 1
        flat = np.concatenate([part.reshape(-1) for part in parts]) if joined else np.asarray(parts[0], order="C")
        opened = torch.from_numpy(self._combine(flat, combine))
        if not joined:
            return [opened]
        pieces = torch.split(opened, [tensor.numel() for tensor in tensors])
        return [piece.reshape(tensor.shape) for piece, tensor in zip(pieces, tensors, strict=True)]

    def _combine(self, flat: Array, combine: np.ufunc) -> Array:
        raise NotImplementedError


class LinkOpening(Opening):
    """Opens over a link and keeps the transcript of all openings."""

    def __init__(self, link: Link, transcript: Transcript) -> None:
        super().__init__(link.rank, link.size)
        self._link = link
        self._transcript = transcript
        self._step = 0

    def _combine(self, flat: Array, combine: np.ufunc) -> Array:
        shares = self._link.exchange(flat)
        opened: Array = combine(shares[0], shares[1])
        for share in shares[2:]:
            combine(opened, share, out=opened)
        self._transcript.add(self._step, opened.reshape(-1).view(np.uint8).data)
        self._step += 1
        return opened


class CountingOpening(Opening):
    """Opens zeros to nobody and counts what a real opening would cost. For tracing."""

    def __init__(self, size: int) -> None:
        super().__init__(0, size)
        self.rounds = 0
        self.bytes_sent = 0

    def _combine(self, flat: Array, combine: np.ufunc) -> Array:
        self.rounds += 1
        self.bytes_sent += (HEADER_BYTES + flat.nbytes) * (self._size - 1)
        return np.zeros_like(flat)
