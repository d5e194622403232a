"""What a party's seed expands to, in the one order that the parties and the dealer share."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from mpc_infer.preprocessing.requests import BinaryProduct, RandomBit, Request, Shape, words
from mpc_infer.sharing.stream import SEED_BYTES, Stream

STREAM_LABEL = "material"
Words = NDArray[np.uint64]


def batch_seed(seed: bytes, index: int) -> bytes:
    """The seed of one batch of an exchange: whoever gets hold of one batch's learns nothing of the others.

    HKDF-SHA256(seed, no salt, info = "batch" ‖ index as u32 be, 32 bytes).

    Args:
        seed: the party's 32 bytes for the whole exchange; what follows them is the model's.
        index: the batch's place, from 0.
    """
    info = b"batch" + index.to_bytes(4, "big")
    return HKDF(algorithm=SHA256(), length=SEED_BYTES, salt=None, info=info).derive(seed[:SEED_BYTES])


def material_stream(seed: bytes) -> Stream:
    """The stream from which a batch is drawn, request by request: drawn parts first, then corrected ones.

    Args:
        seed: the batch's own.
    """
    return Stream(seed, STREAM_LABEL)


def drawn_words(request: Request, *, last: bool) -> int:
    """Words that a party draws for a request. The last party gets its corrected parts from the dealer instead."""
    return words(request.drawn) + (0 if last else words(request.corrected))


def is_binary(request: Request) -> bool:
    """Whether the corrected part is shared by XOR."""
    return isinstance(request, BinaryProduct)


def cut(buffer: Words, shapes: Sequence[Shape]) -> tuple[list[torch.Tensor], Words]:
    """Views of the front of a buffer as int64 tensors of these shapes, and the rest of the buffer."""
    tensors = []
    for shape in shapes:
        count = math.prod(shape)
        tensors.append(torch.from_numpy(buffer[:count].view(np.int64)).reshape(shape))
        buffer = buffer[count:]
    return tensors, buffer


def unpack_bits(packed: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Bits of words, lowest first, as int64 tensor of this shape."""
    bits = np.unpackbits(packed.numpy().view(np.uint8), count=math.prod(shape), bitorder="little")
    return torch.from_numpy(bits.astype(np.int64)).reshape(shape)


def open_drawn(request: Request, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Drawn parts as the protocols use them."""
    return [unpack_bits(tensors[0], request.shape)] if isinstance(request, RandomBit) else tensors
