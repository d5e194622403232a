"""CrypTen's source of correlated randomness: our material, or, for tracing, zeros and a list of what was asked for."""

from typing import Any

import torch

from mpc_infer.engine.crypten.library import ArithmeticSharedTensor, BinarySharedTensor, crypten
from mpc_infer.errors import InternalError
from mpc_infer.preprocessing import BinaryProduct, Material, Product, RandomBit, Request, Square, Truncation
from mpc_infer.preprocessing.corrections import logical_shift

# A value to be truncated lies in [-2^62, 2^62).
OFFSET_BITS = 62


class Provider:
    """The requests of CrypTen's protocols, translated. A subclass says where the parts come from."""

    def _take(self, request: Request) -> list[torch.Tensor]:
        raise NotImplementedError

    def generate_additive_triple(self, left: Any, right: Any, op: str, *_: object, **options: object) -> Any:
        """a, b and op(a, b), for Beaver's product."""
        if op not in ("mul", "matmul") or set(options) - {"device"}:
            raise InternalError(f"no material is planned for a product {op!r}")
        return _arithmetic(self._take(Product(op, tuple(left), tuple(right))))  # type: ignore[arg-type]

    def square(self, size: Any, **_: object) -> Any:
        """r and r * r."""
        return _arithmetic(self._take(Square(tuple(size))))

    def generate_binary_triple(self, left: Any, right: Any, **_: object) -> Any:
        """a, b and a & b, bit by bit."""
        if tuple(left) != tuple(right):
            raise InternalError("AND of two shapes")
        return tuple(BinarySharedTensor.from_shares(part) for part in self._take(BinaryProduct(tuple(left))))

    def B2A_rng(self, size: Any, **_: object) -> Any:  # noqa: N802 (CrypTen's name)
        """A random bit, shared additively and by XOR."""
        binary, arithmetic = self._take(RandomBit(tuple(size)))
        return ArithmeticSharedTensor.from_shares(arithmetic, precision=0), BinarySharedTensor.from_shares(binary)

    def wrap_rng(self, *_: object, **__: object) -> Any:
        """Refused: it belongs to the truncation that is replaced here."""
        raise InternalError("CrypTen's own truncation was called")

    def truncate(self, share: torch.Tensor, bits: int) -> torch.Tensor:
        """Divide a shared value z by 2^bits, rounding up with a probability equal to what is cut off. One round.

        1. The parties open c = z + 2^62 + r under the uniform mask r. |z| < 2^62, so that the sum before the mask lies
           in [0, 2^63).
        2. It wrapped around 2^64 exactly if r's highest bit is 1 and c's is 0.
        3. [z >> bits] = (c >> bits) - 2^(62 - bits) - [r >> bits] + (1 - c_msb) 2^(64 - bits) [r_msb], plus 0 or 1.

        Source: the design note engine.md, "Truncation". Leakage: none, c is uniform.
        """
        mask, mask_shifted, mask_top = self._take(Truncation(tuple(share.shape), bits))
        communicator = crypten.communicator.get()
        first = communicator.get_rank() == 0
        masked = share + mask
        if first:
            masked += 1 << OFFSET_BITS
        opened = communicator.all_reduce(masked)
        result: torch.Tensor = (opened >= 0).long().mul_(mask_top).bitwise_left_shift_(64 - bits).sub_(mask_shifted)
        if first:
            result += logical_shift(opened, bits).sub_(1 << (OFFSET_BITS - bits))
        return result


class MaterialProvider(Provider):
    """Hands out a party's material in the plan's order."""

    def __init__(self, material: Material) -> None:
        self._material = material

    def _take(self, request: Request) -> list[torch.Tensor]:
        return self._material.take(request)


class RecordingProvider(Provider):
    """Writes down what is asked for and hands out zeros. Nothing secret is near it."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def _take(self, request: Request) -> list[torch.Tensor]:
        self.requests.append(request)
        drawn = (request.shape,) if isinstance(request, RandomBit) else request.drawn
        return [torch.zeros(shape, dtype=torch.int64) for shape in (*drawn, *request.corrected)]


def _arithmetic(parts: list[torch.Tensor]) -> Any:
    return tuple(ArithmeticSharedTensor.from_shares(part, precision=0) for part in parts)
