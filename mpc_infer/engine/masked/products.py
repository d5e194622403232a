"""Where a party's integer products are done: most of the arithmetic that a session leaves to do.

On the CPU by compiled loops. Elsewhere through torch, which has no products of 64-bit integers on CUDA: words are cut
into three limbs of 22 bits, whose products are exact in float64 over 512 terms (22 + 22 + 9 = 53 bits), and six of
their nine products count modulo 2^64. The same bits come out.
"""

import weakref
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from mpc_infer.errors import ConfigError
from mpc_infer.preprocessing.masked_products import multiply_add, multiply_add_batch, multiply_add_groups

Words = NDArray[np.uint64]
LIMB_BITS = 22
TERMS = 512
PAIRS = ((0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0))
"""Limbs whose product has bits below 2^64."""


class Products(Protocol):
    """A place for products."""

    def keep(self, factor: Words) -> None:
        """Make a factor ready that many products will use. It must not change any more."""

    def add_product(self, left: Words, right: Words, out: Words) -> None:
        """``out += left @ right`` over Z_2^64, all in C order.

        Args:
            left, right, out: (m, k), (k, n), (m, n); or batches of these; or, for weights of g groups and b images,
                (g, m, k), (b, g, k, n), (b, g, m, n).
        """


class CompiledProducts:
    """On the CPU, by compiled loops."""

    def keep(self, factor: Words) -> None:
        """Nothing is to be done: it is where it is used."""

    def add_product(self, left: Words, right: Words, out: Words) -> None:
        """See `Products`."""
        if right.ndim == 2:
            multiply_add(left, right, out)
        elif right.ndim == 3:
            multiply_add_batch(left, right, out)
        else:
            multiply_add_groups(left, right, out)


class TorchProducts:
    """On a device of torch.

    Args:
        device: its name.

    Raises:
        ConfigError: there is no such device.
    """

    def __init__(self, device: str) -> None:
        try:
            self._device = torch.zeros(1, device=device).device
        except (RuntimeError, AssertionError) as error:  # torch says it either way
            raise ConfigError(f"there is no device {device!r} here", remedy="use 'cpu'") from error
        # Factors stay where they are used for as long as somebody holds the words: weights, above all.
        self._placed: dict[int, tuple[weakref.ref[Words], list[torch.Tensor]]] = {}

    def keep(self, factor: Words) -> None:
        """See `Products`."""
        if id(factor) in self._placed and self._placed[id(factor)][0]() is factor:
            return
        key = id(factor)
        gone = weakref.ref(factor, lambda _: self._placed.pop(key, None))
        self._placed[key] = gone, self._limbs(factor)

    def add_product(self, left: Words, right: Words, out: Words) -> None:
        """See `Products`."""
        ours, theirs = self._known(left), self._known(right)
        total = torch.zeros(out.shape, dtype=torch.int64, device=self._device)
        for start in range(0, left.shape[-1], TERMS):
            part = slice(start, start + TERMS)
            for i, j in PAIRS:
                product = torch.matmul(ours[i][..., part], theirs[j][..., part, :])
                total += product.to(torch.int64) << LIMB_BITS * (i + j)
        out += total.cpu().numpy().view(np.uint64)

    def _known(self, factor: Words) -> list[torch.Tensor]:
        kept = self._placed.get(id(factor))
        return kept[1] if kept is not None and kept[0]() is factor else self._limbs(factor)

    def _limbs(self, factor: Words) -> list[torch.Tensor]:
        words = torch.from_numpy(np.ascontiguousarray(factor).view(np.int64)).to(self._device)
        low = (1 << LIMB_BITS) - 1
        limbs = (words & low, (words >> LIMB_BITS) & low, (words >> 2 * LIMB_BITS) & (low >> 2))
        return [limb.to(torch.float64) for limb in limbs]


def products_on(device: str) -> Products:
    """Products on a device: ``cpu`` (compiled), ``cuda``, or ``torch-cpu``, which is for tests: cuda's way on the CPU.

    Raises:
        ConfigError: there is no such device.
    """
    return CompiledProducts() if device == "cpu" else TorchProducts(device.removeprefix("torch-"))
