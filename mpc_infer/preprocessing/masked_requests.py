"""What the masked engine asks of the dealer: a small program over masks, in single-assignment form.

Every request makes one value, and names the values that it reads by their numbers: a value's number is the position of
its request in the plan. The dealer runs the program on masks, each party runs the same one on its shares of masks
before the input exists, and on public values and shares afterwards. Six kinds of values::

    WEIGHT   a secret matrix: opened once per model under the mask that the model seeds expand to
    CONSTANT a public matrix of the model: every party knows it, and the dealer has no need to
    MASKED   a public tensor D and a mask L with value = D - L (mod 2^64); parties may hold shares of L
    SHARE    each party can compute s_j, and only the dealer knows G; value = sum of s_j + G
    PATTERN  the opened bits of a comparison, masked by bits that only the dealer knows
    FLIP     one opened bit per element: the comparison's result XOR a bit that only the dealer knows

G is why a product of masks costs no correction: whatever only the dealer can know of a SHARE becomes part of the mask
under which it is opened.

A request has *drawn* parts, which every party expands from its seed, and *corrected* parts, which all parties but the
last expand and the last one gets from the dealer. Sizes are in words of 64 bits; each part begins on a word of its own.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from mpc_infer.errors import InvalidRequest

Shape = tuple[int, ...]
MAX_AXES = 8
MAX_INPUTS = 64
MAX_PARAMS = 32
MAX_NUMBER = 2**52
WORD_BITS = 64


@dataclass(frozen=True)
class Layout:
    """How a comparison with zero is done.

    Attributes:
        lean: in two openings with little material, or in one with much.
        digits: bits of the digits into which the bits below the sign bit are cut, the highest digit first.
    """

    lean: bool
    digits: tuple[int, ...]

    @property
    def window(self) -> int:
        """Bits below the sign bit that are read: values must be below 2^window units."""
        return sum(self.digits)

    @property
    def tables(self) -> int:
        """Truth tables of an element: u of every digit, e of all but the last."""
        return 2 * len(self.digits) - 1

    @property
    def field(self) -> int:
        """Bits of a pattern, the public sign bit among them, as they travel."""
        return self.tables + 1 if self.lean else 8

    @property
    def drawn(self) -> int:
        """Bits in which the masks of a pattern are drawn."""
        return 16 if self.tables > 8 else 8

    @property
    def terms(self) -> int:
        """The constant 1, the mask's own sign bit, and the products of masks of u and e: 2, and 22 or 10."""
        digits = len(self.digits)
        return 2 + ((1 << digits) - 1) + ((1 << digits - 1) - 1)


LAYOUTS = (
    Layout(lean=False, digits=(8, 8, 8, 8)),
    Layout(lean=True, digits=(5, 5, 5, 5, 6, 6)),
    Layout(lean=False, digits=(8, 8, 8)),
    Layout(lean=True, digits=(6, 6, 6, 6)),
)
"""By number, as requests name them."""
FAT, LEAN, FAT_NARROW, LEAN_NARROW = range(4)
WIDEST = 32
"""What is compared is below 2^32 units, whatever is known of it."""


class Kind(StrEnum):
    """What a request makes."""

    WEIGHT = "weight"
    CONSTANT = "constant"
    MASKED = "masked"
    SHARE = "share"
    PATTERN = "pattern"
    FLIP = "flip"


@dataclass(frozen=True, slots=True)
class MaskedRequest:
    """One step of the program.

    Attributes:
        op: a key of `OPERATIONS`, where each is described.
        inputs: numbers of the values that it reads.
        shape: of the value that it makes.
        params: integers, as its operation wants them.
    """

    kind: ClassVar[str] = "masked"
    op: str
    inputs: tuple[int, ...]
    shape: Shape
    params: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        """Elements of the value that it makes."""
        return math.prod(self.shape)

    @property
    def drawn(self) -> tuple[Shape, ...]:
        """Words of the drawn parts."""
        return OPERATIONS[self.op].drawn(self)

    @property
    def corrected(self) -> tuple[Shape, ...]:
        """Words of the corrected parts."""
        return OPERATIONS[self.op].corrected(self)

    @property
    def work(self) -> int:
        """Multiplications or elements that the dealer goes through; products say how many in their last parameter."""
        if self.op in UNDEALT:
            return 0
        return self.size * (self.params[-1] if self.op in INNER else 1)

    @property
    def result(self) -> Kind:
        """What it makes. Where both masked values and shares will do, the first parameter says which."""
        operation = OPERATIONS[self.op]
        return operation.result if operation.result is not None else (Kind.SHARE if self.params[0] else Kind.MASKED)


Parts = Callable[[MaskedRequest], tuple[Shape, ...]]


def no_parts(request: MaskedRequest) -> tuple[Shape, ...]:
    """Nothing."""
    return ()


def packed(count: int, bits: int) -> Shape:
    """Words that hold this many elements of 1, 8, 16, 32 or 64 bits, back to back."""
    return (-(-count * bits // 64),)


@dataclass(frozen=True)
class Operation:
    """What is known of an operation.

    Attributes:
        result: what it makes; None: what its first parameter says.
        reads: kinds of its inputs; None: any number of the same kind as the result.
        params: how many parameters; None: as many as it likes.
        drawn, corrected: parts of its material.
    """

    result: Kind | None
    reads: tuple[Kind, ...] | None
    params: int | None
    drawn: Parts = no_parts
    corrected: Parts = no_parts


def _open_drawn(request: MaskedRequest) -> tuple[Shape, ...]:
    return ((request.size,),)


def _open_corrected(request: MaskedRequest) -> tuple[Shape, ...]:
    return ((request.size,),) if request.params[0] else ()


def _whole(request: MaskedRequest) -> tuple[Shape, ...]:
    return ((request.size,),)


def _truncate_corrected(request: MaskedRequest) -> tuple[Shape, ...]:
    return ((request.size,), packed(request.size, request.params[2]))


def _compare_drawn(request: MaskedRequest) -> tuple[Shape, ...]:
    return (packed(request.size, layout_of(request).drawn),)


def _compare_corrected(request: MaskedRequest) -> tuple[Shape, ...]:
    layout = layout_of(request)
    if request.params[1] == LEAN:
        return (packed(8 * request.size, 32), (3 * request.size,))
    return ((request.size * layout.tables * (1 if layout.lean else FAT_TABLE_WORDS),),)


def _flip_drawn(request: MaskedRequest) -> tuple[Shape, ...]:
    return (packed(request.size, 1),)


def _flip_corrected(request: MaskedRequest) -> tuple[Shape, ...]:
    if request.params[0] == LEAN:
        return ((request.size,), packed(request.size, 32))
    return (packed(request.size, 16),)


def _select_corrected(request: MaskedRequest) -> tuple[Shape, ...]:
    layout, lane, count = layout_of(request), request.params[3], request.size
    if not layout.lean:
        words: tuple[Shape, ...] = ((count * (layout.terms - 1),), (count * layout.terms,))
        return (*words, packed(count * layout.terms, lane)) if may_wrap(request) else words
    words = ((3 * count,),)
    return (*words, packed(2 * count, lane)) if may_wrap(request) else words


def may_wrap(request: MaskedRequest) -> bool:
    """Whether a selection must undo a wrap: it drops bits, or its value is known modulo less than 2^64."""
    bits, _, modulus, _ = request.params
    return bits > 0 or modulus < WORD_BITS


LANES = (16, 32)
"""Bits in which shares of a mask's highest bit may be kept."""


def layout_of(request: MaskedRequest) -> Layout:
    """Of a request whose second parameter says it."""
    return LAYOUTS[request.params[1]]


def _spline_corrected(request: MaskedRequest) -> tuple[Shape, ...]:
    return ((request.size * request.params[6] << request.params[3],),)


def _bit_corrected(request: MaskedRequest) -> tuple[Shape, ...]:
    layout = layout_of(request)
    return ((request.size * (1 if layout.lean else layout.terms - 1),),)


def _match_corrected(request: MaskedRequest) -> tuple[Shape, ...]:
    return ((request.size << request.params[1],),)


FAT_TABLE_WORDS = 4
"""A truth table over 8 bits has 256."""

INNER = frozenset({"linear", "apply", "matmul"})
"""Operations whose last parameter is the inner size of a product."""

BY_CONSTANT = frozenset({"linear-constant", "apply-constant", "weigh-constant"})
"""Products by a public weight: each party multiplies what it has of the other factor, a share or a share of a mask."""

UNDEALT = BY_CONSTANT | {"constant"}
"""Operations that the dealer has nothing to do for: no mask and no G comes of them."""

FOLDING = frozenset({"lift", "linear", "apply", "weigh", "multiply", "matmul"})
"""Operations whose result has a part G that only the dealer knows."""

OPERATIONS: Mapping[str, Operation] = {
    # A matrix of the model. params: slot.
    "weight": Operation(Kind.WEIGHT, (), 1),
    # A public matrix of the model. params: slot.
    "constant": Operation(Kind.CONSTANT, (), 1),
    # A share that each party has: of an input, or of a bias. params: slot.
    "local": Operation(Kind.SHARE, (), 1),
    # Make a share public under a fresh mask. params: whether the parties need shares of a mask that G is part of; low
    # bits that are not sent; bits that are. Known afterwards is the value modulo 2^(their sum), among n parties less
    # than n 2^low too low.
    "open": Operation(Kind.MASKED, (Kind.SHARE,), 3, _open_drawn, _open_corrected),
    # The same share, with the dealer's part given to the parties.
    "unfold": Operation(Kind.SHARE, (Kind.SHARE,), 0, no_parts, _whole),
    # A masked value as a share. params: a public integer that multiplies it.
    "lift": Operation(Kind.SHARE, (Kind.MASKED,), 1),
    # x[..., k] W[k, n]. params: k.
    "linear": Operation(Kind.SHARE, (Kind.MASKED, Kind.WEIGHT), 1),
    # W[g, o, k] x[b, g, k, l]. params: k.
    "apply": Operation(Kind.SHARE, (Kind.MASKED, Kind.WEIGHT), 1),
    # x * w, broadcast.
    "weigh": Operation(Kind.SHARE, (Kind.MASKED, Kind.WEIGHT), 0),
    # The same three by a public weight, of a share without G, or of a masked value: its mask counts as the share.
    "linear-constant": Operation(Kind.SHARE, (Kind.SHARE, Kind.CONSTANT), 1),
    "apply-constant": Operation(Kind.SHARE, (Kind.SHARE, Kind.CONSTANT), 1),
    "weigh-constant": Operation(Kind.SHARE, (Kind.SHARE, Kind.CONSTANT), 0),
    # Products of two secrets.
    "multiply": Operation(Kind.SHARE, (Kind.MASKED, Kind.MASKED), 0),
    "matmul": Operation(Kind.SHARE, (Kind.MASKED, Kind.MASKED), 1),
    # Division by 2^bits, rounded down or up. params: bits, modulus (the value is known modulo 2^modulus, and below
    # 2^(modulus - 2)), bits in which shares of a mask's highest bit are kept.
    "truncate": Operation(Kind.SHARE, (Kind.MASKED,), 3, no_parts, _truncate_corrected),
    # Masked digits of a comparison with zero. params: bits to ignore, layout.
    "compare": Operation(Kind.PATTERN, (Kind.MASKED,), 2, _compare_drawn, _compare_corrected),
    # The masked result, for lean layouts. params: layout.
    "flip": Operation(Kind.FLIP, (Kind.PATTERN,), 1, _flip_drawn, _flip_corrected),
    # The value, divided by 2^bits, where it is not negative, else 0. params: bits, layout, modulus and width as of
    # truncate.
    "select": Operation(Kind.SHARE, (Kind.PATTERN, Kind.MASKED), 4, no_parts, _select_corrected),
    # A function of the value, with more fractional bits. params: bits to ignore, fractional bits of what is left,
    # bits of a place within a segment, bits of a segment's number, units at which segment 0 begins, function,
    # coefficients of a segment.
    "spline": Operation(Kind.SHARE, (Kind.MASKED,), 7, no_parts, _spline_corrected),
    # 2^scale where the value is not negative, else 0. params: scale, layout.
    "bit": Operation(Kind.SHARE, (Kind.PATTERN,), 2, no_parts, _bit_corrected),
    # 1 where the value is 0, else 0. params: low bits to ignore, which are 0; bits that are read.
    "match": Operation(Kind.SHARE, (Kind.MASKED,), 2, no_parts, _match_corrected),
    # Linear maps. The first parameter says whether on shares (1) or on masked values (0).
    "sum": Operation(None, None, None),
    "scale": Operation(None, None, 2),
    "shift": Operation(None, None, 4),
    "reshape": Operation(None, None, 1),
    "permute": Operation(None, None, None),
    "slice": Operation(None, None, 5),
    "concat": Operation(None, None, 2),
    "reduce": Operation(None, None, 2),
    "patches": Operation(None, None, 12),
}
"""Operations by name.

``sum``: coefficients +1 or -1 for each input, broadcasting. ``scale``: a public integer. ``shift``: a public integer is
added, and an axis and a multiple of the place on it. ``reshape``: to the request's shape. ``permute``: the axes.
``slice``: axis, start, stop, step. ``concat``: axis. ``reduce``: sum over an axis, which disappears. ``patches``:
x[b, c, h, w] to [b, c, kh*kw, oh*ow]; kernel, stride, dilation, pads before, output size, 0 to fill with zeros or 1 to
repeat a pixel of the same window.
"""


def is_folded(request: MaskedRequest, folded: Callable[[int], bool]) -> bool:
    """Whether a request makes a share with a part G that only the dealer knows.

    Args:
        folded: the same of the values that it reads, by number.
    """
    if request.op in FOLDING:
        return True
    view = OPERATIONS[request.op].reads is None and request.result is Kind.SHARE
    return view and any(folded(number) for number in request.inputs)


def to_fields(request: MaskedRequest) -> list[object]:
    """A request as it stands in a plan, without its kind."""
    return [request.op, list(request.inputs), list(request.shape), list(request.params)]


def from_fields(fields: list[object]) -> MaskedRequest:
    """Read a request strictly. What it says about other requests is checked by `check_program`.

    Raises:
        InvalidRequest: not a request.
    """
    if len(fields) != 4 or not isinstance(fields[0], str) or fields[0] not in OPERATIONS:
        raise InvalidRequest("a plan holds a masked request of an unknown operation")
    inputs = _numbers(fields[1], MAX_INPUTS, 0)
    shape = _numbers(fields[2], MAX_AXES, 1)
    return MaskedRequest(fields[0], inputs, shape, _numbers(fields[3], MAX_PARAMS, -MAX_NUMBER))


def _numbers(value: object, most: int, low: int) -> tuple[int, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise InvalidRequest(f"a masked request holds lists of at most {most} numbers")
    if any(type(number) is not int or not low <= number <= MAX_NUMBER for number in value):
        raise InvalidRequest(f"a number in a masked request is not an integer from {low}")
    return tuple(value)
