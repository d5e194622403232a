"""The kinds of correlated randomness, each with what the parties draw and what the dealer corrects.

A request has *drawn* parts, which every party expands from its seed, and *corrected* parts, which all parties but the
last expand and the last one gets from the dealer, so that the sum (or XOR) over all parties is what it must be. Shares
are words of 64 bits. ::

    Product(op, left, right)   drawn a, b     corrected c = op(a, b)           additive
    Square(shape)              drawn r        corrected r * r                  additive
    BinaryProduct(shape)       drawn a, b     corrected c = a & b              XOR
    RandomBit(shape)           drawn b (XOR)  corrected the same bit, additive
    Truncation(shape, bits)    drawn r        corrected r >> bits, r >> 63     additive
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

from mpc_infer.errors import InvalidRequest
from mpc_infer.preprocessing.masked_requests import MaskedRequest, from_fields, to_fields

Shape = tuple[int, ...]
MAX_AXES = 6
WORD_BITS = 64


@dataclass(frozen=True, slots=True)
class Product:
    """A multiplication triple over the ring; `op` is "mul" (with broadcasting) or "matmul"."""

    kind: ClassVar[str] = "product"
    op: Literal["mul", "matmul"]
    left: Shape
    right: Shape

    @property
    def drawn(self) -> tuple[Shape, ...]:
        """Shapes of a and b."""
        return (self.left, self.right)

    @property
    def corrected(self) -> tuple[Shape, ...]:
        """Shape of c."""
        return (product_shape(self.op, self.left, self.right),)

    @property
    def work(self) -> int:
        """Multiplications that the dealer does."""
        inner = self.left[-1] if self.op == "matmul" else 1
        return math.prod(self.corrected[0]) * inner


@dataclass(frozen=True, slots=True)
class _Elementwise:
    shape: Shape

    @property
    def drawn(self) -> tuple[Shape, ...]:
        """Shapes of the drawn parts."""
        return (self.shape,)

    @property
    def corrected(self) -> tuple[Shape, ...]:
        """Shapes of the corrected parts."""
        return (self.shape,)

    @property
    def work(self) -> int:
        """Elements that the dealer goes through."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Square(_Elementwise):
    """r and r * r."""

    kind: ClassVar[str] = "square"


@dataclass(frozen=True, slots=True)
class BinaryProduct(_Elementwise):
    """64 AND triples in each word."""

    kind: ClassVar[str] = "binary-product"

    @property
    def drawn(self) -> tuple[Shape, ...]:
        """Shapes of a and b."""
        return (self.shape, self.shape)


@dataclass(frozen=True, slots=True)
class RandomBit(_Elementwise):
    """A random bit per element, shared by XOR and additively. The XOR shares are drawn 64 to a word."""

    kind: ClassVar[str] = "random-bit"

    @property
    def drawn(self) -> tuple[Shape, ...]:
        """Words that hold the bits, the lowest bit first."""
        return ((-(-math.prod(self.shape) // WORD_BITS),),)


@dataclass(frozen=True, slots=True)
class Truncation(_Elementwise):
    """A mask of 64 bits, the mask shifted, and the mask's highest bit: for one exact truncation by `bits`."""

    kind: ClassVar[str] = "truncation"
    bits: int

    @property
    def corrected(self) -> tuple[Shape, ...]:
        """Shapes of r >> bits and of r >> 63."""
        return (self.shape, self.shape)


Request = Product | Square | BinaryProduct | RandomBit | Truncation | MaskedRequest


def product_shape(op: str, left: Shape, right: Shape) -> Shape:
    """Shape of a product.

    Raises:
        InvalidRequest: the factors do not fit.
    """
    if op == "mul":
        return _broadcast(left, right)
    if op != "matmul" or len(left) < 2 or len(right) < 2 or left[-1] != right[-2]:
        raise InvalidRequest(f"no product {op!r} of {left} and {right}")
    return (*_broadcast(left[:-2], right[:-2]), left[-2], right[-1])


def words(shapes: tuple[Shape, ...]) -> int:
    """Words in all of these shapes."""
    return sum(math.prod(shape) for shape in shapes)


def to_json(request: Request) -> list[object]:
    """A request as it stands in a plan."""
    if isinstance(request, MaskedRequest):
        return [request.kind, *to_fields(request)]
    if isinstance(request, Product):
        return [request.kind, request.op, list(request.left), list(request.right)]
    extra = [request.bits] if isinstance(request, Truncation) else []
    return [request.kind, list(request.shape), *extra]


def from_json(value: object) -> Request:
    """Read a request strictly.

    Raises:
        InvalidRequest: anything is not as `to_json` writes it.
    """
    if not isinstance(value, list) or not value or not isinstance(value[0], str) or value[0] not in _READERS:
        raise InvalidRequest("a plan holds a request of an unknown kind")
    return _READERS[value[0]](value[1:])


def _broadcast(left: Shape, right: Shape) -> Shape:
    size = max(len(left), len(right))
    pairs = zip((1,) * (size - len(left)) + left, (1,) * (size - len(right)) + right, strict=True)
    return tuple(_broadcast_axis(a, b) for a, b in pairs)


def _broadcast_axis(left: int, right: int) -> int:
    if left != right and 1 not in (left, right):
        raise InvalidRequest(f"axes of {left} and {right} do not broadcast")
    return max(left, right)


def _shape(value: object) -> Shape:
    if not isinstance(value, list) or len(value) > MAX_AXES:
        raise InvalidRequest(f"a shape is a list of at most {MAX_AXES} sizes")
    return tuple(_size(size) for size in value)


def _size(value: object) -> int:
    if type(value) is not int or not 0 < value < 2**40:
        raise InvalidRequest("a size in a shape is not a positive integer")
    return value


def _read_product(fields: list[object]) -> Product:
    op, left, right = _fields(fields, 3)
    if op not in ("mul", "matmul"):
        raise InvalidRequest("a plan holds a product that is neither mul nor matmul")
    product = Product(op, _shape(left), _shape(right))
    if len(product.corrected[0]) > MAX_AXES:
        raise InvalidRequest("a product has too many axes")
    return product


def _read_truncation(fields: list[object]) -> Truncation:
    shape, bits = _fields(fields, 2)
    if type(bits) is not int or not 0 < bits < WORD_BITS - 1:
        raise InvalidRequest("a truncation is by 1 to 62 bits")
    return Truncation(_shape(shape), bits)


def _fields(fields: list[object], count: int) -> list[object]:
    if len(fields) != count:
        raise InvalidRequest("a request in a plan has too many or too few fields")
    return fields


_READERS: dict[str, Callable[[list[object]], Request]] = {
    Product.kind: _read_product,
    Square.kind: lambda fields: Square(_shape(*_fields(fields, 1))),
    BinaryProduct.kind: lambda fields: BinaryProduct(_shape(*_fields(fields, 1))),
    RandomBit.kind: lambda fields: RandomBit(_shape(*_fields(fields, 1))),
    Truncation.kind: _read_truncation,
    MaskedRequest.kind: from_fields,
}
