"""Writing a masked program: values by number, each tensor of the graph in the forms in which it is known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from mpc_infer.engine.masked.bounds import Bound, bound_of, layout_for, modulus_for, narrowed
from mpc_infer.engine.masked.program import Role, Slot
from mpc_infer.engine.masked.shorten import SPARE_BITS, shortened
from mpc_infer.preprocessing.masked_requests import (
    BY_CONSTANT,
    LANES,
    LAYOUTS,
    WIDEST,
    WORD_BITS,
    Kind,
    MaskedRequest,
    is_folded,
)

Shape = tuple[int, ...]
ROUNDED = 4
"""Units that rounding on the way may add to what is known of a value's size."""
FROM_SHARES = frozenset({"linear", "apply", "weigh", "multiply", "matmul"}) | BY_CONSTANT
"""Operations for which the parties need their shares of the masks of what they read."""

SLOT_OPS: Mapping[Role, str] = {
    Role.INPUT: "local",
    Role.BIAS: "local",
    Role.ADDEND: "local",
    Role.WEIGHT: "weight",
    Role.CONSTANT: "constant",
}
"""How a program reads a slot."""


@dataclass
class Tensor:
    """A tensor of the graph, in the forms in which it is known.

    Attributes:
        shape: with the batch.
        shares, opened: number of the value as a share, or opened under a mask, by fractional bits beyond f.
    """

    shape: Shape
    shares: dict[int, int] = field(default_factory=dict)
    opened: dict[int, int] = field(default_factory=dict)


@dataclass
class Builder:
    """A program as far as it is written.

    Args:
        frac_bits: f.
        lean_from: comparisons of at least this many elements at once take two openings and less material.

    Attributes:
        bounds: of all values, by number (see `mpc_infer.engine.masked.bounds`).
        held: numbers of shares that several requests read as they are (see `Program.held`).
    """

    frac_bits: int
    lean_from: int
    requests: list[MaskedRequest] = field(default_factory=list)
    slots: list[Slot] = field(default_factory=list)
    bounds: list[Bound] = field(default_factory=list)
    held: set[int] = field(default_factory=set)
    _folded: set[int] = field(default_factory=set)

    def add(self, op: str, inputs: Sequence[int], shape: Shape, params: Sequence[int] = ()) -> int:
        """Append a request; the number of its value."""
        request = MaskedRequest(op, tuple(inputs), shape, tuple(params))
        read = [self.bounds[other] for other in inputs]
        self.bounds.append(bound_of(request, read, [self.shape(other) for other in inputs]))
        self.requests.append(request)
        number = len(self.requests) - 1
        if is_folded(request, self._folded.__contains__):
            self._folded.add(number)
        return number

    def limit(self, number: int, bound: Bound) -> int:
        """Say of a value that it is not larger than this; the value."""
        self.bounds[number] = narrowed(self.bounds[number], bound)
        return number

    def slot(self, slot: Slot) -> int:
        """The value of a slot, written once."""
        if slot not in self.slots:
            self.slots.append(slot)
            self.add(SLOT_OPS[slot.role], (), slot.shape, (len(self.slots) - 1,))
        index = self.slots.index(slot)
        return next(
            number
            for number, request in enumerate(self.requests)
            if request.op in SLOT_OPS.values() and request.params == (index,)
        )

    def shape(self, number: int) -> Shape:
        """Shape of a value."""
        return self.requests[number].shape

    def open(self, share: int, bits: int = 0) -> int:
        """Make a share public under a mask. Of ``bits`` fractional bits that it has too many, most are not sent."""
        return self.add("open", (share,), self.shape(share), (0, max(0, bits - SPARE_BITS), WORD_BITS))

    def view(self, op: str, inputs: Sequence[int], shape: Shape, params: Sequence[int] = ()) -> int:
        """A linear map on masked values or on shares, whichever they are."""
        on_shares = self.requests[inputs[0]].result is Kind.SHARE
        return self.add(op, inputs, shape, (int(on_shares), *params))

    def reshape(self, number: int, shape: Shape) -> int:
        """The same elements in another shape."""
        return number if self.shape(number) == shape else self.view("reshape", (number,), shape)

    def total(self, inputs: Sequence[int], signs: Sequence[int], shape: Shape) -> int:
        """Sum with signs, broadcasting."""
        return self.view("sum", inputs, shape, signs)

    def shift(self, number: int, start: int, axis: int = 0, step: int = 0) -> int:
        """A public integer added to every element, and ``step`` times the element's place on an axis."""
        return self.view("shift", (number,), self.shape(number), (start, axis, step))

    def part(self, number: int, axis: int, start: int, stop: int, step: int = 1) -> int:
        """Part of a value along an axis."""
        shape = self.shape(number)
        taken = len(range(start, stop, step))
        return self.view("slice", (number,), (*shape[:axis], taken, *shape[axis + 1 :]), (axis, start, stop, step))

    def join(self, inputs: Sequence[int], axis: int) -> int:
        """Values one after the other on an axis."""
        shape = self.shape(inputs[0])
        size = sum(self.shape(number)[axis] for number in inputs)
        return self.view("concat", inputs, (*shape[:axis], size, *shape[axis + 1 :]), (axis,))

    def bit(self, pattern: tuple[int, int], scale: int) -> int:
        """2^scale where a comparison was positive, else 0, as a share."""
        found, layout = pattern
        return self.add("bit", (found,), self.shape(found), (scale, layout))

    def lift(self, number: int, factor: int) -> int:
        """A masked value, times a public integer, as a share."""
        return self.add("lift", (number,), self.shape(number), (factor,))

    def compare(self, number: int, bits: int) -> tuple[int, int]:
        """Where a masked value is not negative: a pattern or a flip, and its layout."""
        shape = self.shape(number)
        # Two units less: bits that are ignored, or not sent, may borrow.
        self.limit(number, (1 << WIDEST) - 2 << bits)
        layout = layout_for(self.bounds[number], bits, lean=self.requests[number].size >= self.lean_from)
        pattern = self.add("compare", (number,), shape, (bits, layout))
        return (self.add("flip", (pattern,), shape, (layout,)) if LAYOUTS[layout].lean else pattern), layout

    def select(self, pattern: tuple[int, int], number: int, bits: int) -> int:
        """The value, shifted right, where a comparison was positive, else 0."""
        found, layout = pattern
        modulus, lane = self._rounding(number, bits)
        return self.add("select", (found, number), self.shape(number), (bits, layout, modulus, lane))

    def truncate(self, number: int, bits: int) -> int:
        """A masked value without so many fractional bits, as a share."""
        return self.add("truncate", (number,), self.shape(number), (bits, *self._rounding(number, bits)))

    def _rounding(self, number: int, bits: int) -> tuple[int, int]:
        # The smallest modulus, and the widest shares of a mask's highest bit: `shortened` knows what is read of them.
        return modulus_for(self.bounds[number], bits), LANES[-1]

    def masked(self, tensor: Tensor) -> int:
        """A tensor with f fractional bits, opened."""
        if 0 not in tensor.opened:
            tensor.opened[0] = self.open(self.share(tensor))
        return tensor.opened[0]

    def share(self, tensor: Tensor) -> int:
        """A tensor with f fractional bits as a share."""
        if 0 not in tensor.shares:
            if 0 in tensor.opened:
                tensor.shares[0] = self.lift(tensor.opened[0], 1)
            else:
                tensor.shares[0] = self.truncate(*self.nearest(tensor))
        return tensor.shares[0]

    def own(self, tensor: Tensor) -> int:
        """A tensor with f fractional bits in whatever form a public weight can multiply it, opened only if it is."""
        if 0 in tensor.opened:
            return tensor.opened[0]
        tensor.shares[0] = self.unfolded(self.share(tensor))
        return tensor.shares[0]

    def unfolded(self, share: int) -> int:
        """A share that the parties hold alone."""
        return self.add("unfold", (share,), self.shape(share)) if share in self._folded else share

    def nearest(self, tensor: Tensor, most: int = 62) -> tuple[int, int]:
        """A tensor, opened at whichever scale takes the fewest rounds, and its fractional bits beyond f."""
        if 0 not in tensor.opened and 0 not in tensor.shares:
            bits = min([*tensor.opened, *tensor.shares])
            if bits <= most:
                if bits not in tensor.opened:
                    tensor.opened[bits] = self.open(tensor.shares[bits], bits)
                return tensor.opened[bits], bits
        return self.masked(tensor), 0

    def wide(self, tensor: Tensor) -> int:
        """A tensor with 2 f fractional bits as a share."""
        extra, one = self.frac_bits, 1 << self.frac_bits
        if extra in tensor.shares:
            return tensor.shares[extra]
        if 0 in tensor.opened:
            return self.lift(tensor.opened[0], one)
        if extra in tensor.opened:
            return self.lift(tensor.opened[extra], 1)
        return self.view("scale", (self.share(tensor),), tensor.shape, (one,))

    def is_own(self, tensor: Tensor) -> bool:
        """Whether a public weight can multiply a tensor that has not been opened, without more material."""
        return not tensor.opened and 0 in tensor.shares and tensor.shares[0] not in self._folded

    def waits(self, tensor: Tensor) -> bool:
        """Whether a tensor still has too many fractional bits."""
        return 0 not in tensor.opened and 0 not in tensor.shares

    def know(self, tensor: Tensor, value_bits: int) -> None:
        """Say of a tensor that it is below 2^value_bits units of 2^-f, and not by less than what roundings take."""
        # An owner may have said less than any rounding takes.
        largest = max(0, (1 << value_bits) - ROUNDED)
        for bits, number in (*tensor.shares.items(), *tensor.opened.items()):
            self.limit(number, largest << bits)

    def settle(self, tensor: Tensor) -> None:
        """Open a tensor that is read more than once, so that nothing is computed twice."""
        number, bits = self.nearest(tensor)
        tensor.shares, tensor.opened = {}, {bits: number}

    def result(self, tensor: Tensor) -> int:
        """A share that the parties hold alone: an output of the graph."""
        return self.unfolded(self.share(tensor))

    def finish(self, outputs: Sequence[int]) -> tuple[MaskedRequest, ...]:
        """The program, with shares of masks for whoever needs them, and openings of no more bits than are used."""
        needed: set[int] = set()
        for number in reversed(range(len(self.requests))):
            request = self.requests[number]
            if request.op == "open":
                shares_mask = number in needed and request.inputs[0] in self._folded
                self.requests[number] = replace(request, params=(int(shares_mask), *request.params[1:]))
            elif request.op in FROM_SHARES or (number in needed and request.result is Kind.MASKED):
                needed.update(request.inputs)
        return shortened(self.requests, outputs)
