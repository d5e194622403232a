"""Additive sharing over Z_2^64."""

from collections.abc import Sequence

import numpy as np

from mpc_infer.errors import InvalidInput, WrongDtype, WrongShape
from mpc_infer.sharing.fixed import Ring
from mpc_infer.sharing.stream import Stream, fresh_seed


def split(ring: Ring, parties: int) -> list[Ring]:
    """Split an array into uniform shares whose sum is the array; any ``parties - 1`` of them tell nothing.

    Args:
        ring: uint64 array of any shape.
        parties: how many shares, at least 2.

    Returns:
        ``parties`` arrays of the same shape, made with fresh randomness.

    Raises:
        WrongDtype: the array is not uint64.
        InvalidInput: fewer than two parties.
    """
    if ring.dtype != np.uint64:
        raise WrongDtype(f"ring elements are uint64, not {ring.dtype}")
    if parties < 2:
        raise InvalidInput(f"a value is shared among at least two parties, not {parties}")
    stream = Stream(fresh_seed(), "shares")
    shares = [stream.ring(ring.shape) for _ in range(parties - 1)]
    return [*shares, np.asarray(ring - combine(shares))]


def combine(shares: Sequence[Ring]) -> Ring:
    """The sum of the shares mod 2^64.

    Args:
        shares: uint64 arrays of one shape, in any order.

    Raises:
        InvalidInput: no share.
        WrongDtype: a share is not uint64.
        WrongShape: the shares differ in shape.
    """
    if not shares:
        raise InvalidInput("there is no share to combine")
    total = np.zeros(shares[0].shape, dtype=np.uint64)
    for share in shares:
        if share.dtype != np.uint64:
            raise WrongDtype(f"ring elements are uint64, not {share.dtype}")
        if share.shape != total.shape:
            raise WrongShape(f"a share has shape {share.shape}, another {total.shape}")
        np.add(total, share, out=total)
    return total
