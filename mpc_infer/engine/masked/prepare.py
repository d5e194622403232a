"""Before the input exists: shares of masks, what of every share does not depend on the input, and all buffers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mpc_infer.engine.masked import kernels, packing
from mpc_infer.engine.masked.model import MaskedModel
from mpc_infer.engine.masked.prepare_linear import LINEAR
from mpc_infer.engine.masked.prepare_public import PUBLIC
from mpc_infer.engine.masked.prepare_views import prepare_view
from mpc_infer.engine.masked.products import Products
from mpc_infer.engine.masked.program import Program, Role
from mpc_infer.engine.masked.state import (
    Bits,
    Constant,
    Masked,
    Session,
    Shared,
    State,
    Weighed,
    Words,
    adding,
    touched,
)
from mpc_infer.errors import PlanMismatch
from mpc_infer.preprocessing.masked_dealer import lanes
from mpc_infer.preprocessing.masked_functions import FUNCTIONS
from mpc_infer.preprocessing.masked_layout import fat_tables, lean_tables, narrow_tables
from mpc_infer.preprocessing.masked_requests import (
    LEAN,
    WORD_BITS,
    MaskedRequest,
    layout_of,
    may_wrap,
)
from mpc_infer.preprocessing.masked_views import VIEWS, ring_word

Parts = Sequence[Words]


@dataclass
class Preparation:
    """A session as far as it is prepared.

    Attributes:
        program, model: what is run.
        first: whether this is party 0.
        session: the result.
        values: by number.
        products: where products are done.
    """

    program: Program
    model: MaskedModel
    first: bool
    session: Session
    values: list[State]
    products: Products
    _places: dict[int, Words] = field(default_factory=dict, repr=False)

    def at(self, number: int, task: Callable[[], None]) -> None:
        """Have something done online as soon as a value's inputs are known."""
        self.session.tasks[self._before(number)].append(task)

    def after(self, number: int, task: Callable[[], None]) -> None:
        """Have something done online as soon as a value's message was opened, before what reads the value."""
        self.session.tasks[self.program.levels[number]].append(task)

    def segment(self, number: int) -> Words:
        """The place of a value's message in its frame."""
        level = self.program.levels[number] - 1
        place = next(item for item in self.program.rounds[level].segments if item.number == number)
        return self.session.frames[level][place.start : place.stop]

    def whole(self, number: int) -> Words:
        """A place where a share, its base included, is written online as soon as it is known; once for all who ask."""
        place, share = self._places.get(number), _shared(self.values[number])
        if place is None:
            place = self._places[number] = touched(self.program.requests[number].shape)
            if share.base is not None:
                place += share.base
            self.after(number, lambda: share.add_into(place))
            # Whoever reads it from now on takes it from there: it is not computed twice.
            self.values[number] = Shared(None, [adding(place)])
        return place

    def finish(self) -> None:
        """Let go of the session. Its tasks hold this object: in a ring only the collector would find its memory."""
        self.session, self.values, self._places = Session([], []), [], {}

    def _before(self, number: int) -> int:
        return max((self.program.levels[other] for other in self.program.requests[number].inputs), default=0)


Step = Callable[[Preparation, int, MaskedRequest, Sequence[Any], Parts], State]


def prepare(program: Program, model: MaskedModel, rank: int, parts: Sequence[Parts], products: Products) -> Session:
    """Prepare one evaluation.

    Args:
        program: of this batch.
        model: opened.
        rank: this party's index.
        parts: material, drawn and corrected parts of every request.
        products: where products are done.

    Raises:
        PlanMismatch: the model is another one.
    """
    frames = [touched((each.words,)) for each in program.rounds]
    session = Session(frames, [[] for _ in range(len(frames) + 1)])
    preparation = Preparation(program, model, rank == 0, session, [], products)
    for number, (request, given) in enumerate(zip(program.requests, parts, strict=True)):
        inputs = [preparation.values[other] for other in request.inputs]
        step = prepare_view if request.op in VIEWS else STEPS[request.op]
        preparation.values.append(step(preparation, number, request, inputs, given))
        if number in program.held:
            preparation.whole(number)
    for name, number, shape in program.outputs:
        session.outputs.append((name, _shared(preparation.values[number]), shape))
    preparation.finish()
    return session


def _shared(value: State) -> Shared:
    if not isinstance(value, Shared):
        raise PlanMismatch("an output of the program is not a share")
    return value


def _weight(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    weight = prep.model.weights.get(prep.program.slots[request.params[0]])
    if weight is None:
        raise PlanMismatch("the model that is loaded is not the plan's")
    return Weighed(weight.share, weight.masked)


def _local(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    slot = prep.program.slots[request.params[0]]
    if slot.role is Role.INPUT:
        place = np.zeros(slot.shape, dtype=np.uint64)
        prep.session.inputs[slot.name] = place
        return Shared(None, [adding(place)])
    bias = (prep.model.public if slot.role is Role.ADDEND else prep.model.biases).get(slot)
    if bias is None:
        raise PlanMismatch("the model that is loaded is not the plan's")
    # What is public is added once: by party 0.
    return Shared(bias if prep.first or slot.role is Role.BIAS else None, [])


def _constant(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value = prep.model.public.get(prep.program.slots[request.params[0]])
    if value is None:
        raise PlanMismatch("the model that is loaded is not the plan's")
    return Constant(value)


def _open(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    share: Shared = inputs[0]
    drawn, (_, low, width) = parts[0].reshape(request.shape), request.params
    message = prep.segment(number)
    place = message.reshape(request.shape) if width == WORD_BITS else touched(request.shape)
    place += drawn
    if share.base is not None:
        place += share.base
    prep.at(number, lambda: share.add_into(place))
    if width != WORD_BITS:
        prep.at(number, lambda: packing.pack(place.reshape(-1), low, width, message))
        prep.after(number, lambda: packing.unpack(message, low, width, place.reshape(-1)))
    mask = drawn - parts[1].reshape(request.shape) if request.params[0] else drawn
    return Masked(place, mask)


def _unfold(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    share: Shared = inputs[0]
    return Shared(share.base_of(request.shape) + parts[0].reshape(request.shape), share.adds)


def _truncate(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value: Masked = inputs[0]
    bits, modulus, lane = request.params
    sizes, small = (ring_word(bits), ring_word(modulus)), lanes(parts[1], lane)[: request.size]

    def add(target: Words) -> None:
        kernels.truncate(value.delta.reshape(-1), *sizes, prep.first, small, target.reshape(-1))

    return Shared(np.negative(parts[0]).reshape(request.shape), [add])


def _compare(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value: Masked = inputs[0]
    bits, layout, place, count = ring_word(request.params[0]), layout_of(request), prep.segment(number), request.size
    if request.params[1] == LEAN:
        halves, words = parts[1].view(np.uint32).reshape(8, count), parts[2].reshape(3, count)
        prep.at(number, lambda: kernels.compare_lean(value.delta.reshape(-1), bits, prep.first, halves, words, place))
        return Bits(place, parts[0].view(np.uint16)[:count])
    found, pick = place.view(np.uint8)[:count], kernels.compare_narrow if layout.lean else kernels.compare_fat
    tables = parts[1].reshape((layout.tables, count) if layout.lean else (count, layout.tables, -1))
    prep.at(number, lambda: pick(value.delta.reshape(-1), bits, prep.first, tables, found))
    return Bits(found, parts[0].view(np.uint8)[:count])


def _flip(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    pattern: Bits = inputs[0]
    place, chosen = prep.segment(number), pattern.masks
    place ^= parts[0]
    if chosen is None:
        raise PlanMismatch("a pattern without masks is flipped")
    if request.params[0] == LEAN:
        wide, low, high = lean_tables(), parts[1], parts[2].view(np.uint32)[: request.size]
        public = (wide.constant, wide.single, wide.low, wide.high)
        prep.at(number, lambda: kernels.flip_lean(pattern.opened, prep.first, *public, chosen, low, high, place))
    else:
        tables, products = narrow_tables(), parts[1].view(np.uint16)[: request.size]
        asked = (tables.constant, tables.chosen)
        prep.at(number, lambda: kernels.flip_narrow(pattern.opened, prep.first, *asked, chosen, products, place))
    return Bits(place)


def _select(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    found, value = inputs
    count, (bits, _, modulus, lane) = request.size, request.params
    if not layout_of(request).lean:
        return Shared(None, [_select_fat(prep, request, found, value, parts)])
    words, sizes = parts[0].reshape(3, count), (ring_word(bits), ring_word(modulus))
    small = lanes(parts[1], lane)[: 2 * count].reshape(2, -1) if may_wrap(request) else None

    def add(target: Words) -> None:
        delta, out = value.delta.reshape(-1), target.reshape(-1)
        if small is None:
            kernels.select_lean(delta, prep.first, found.opened, words, out)
        else:
            kernels.select_lean_wide(delta, *sizes, prep.first, found.opened, words, small, out)

    return Shared(None, [add])


def _select_fat(
    prep: Preparation, request: MaskedRequest, found: Bits, value: Masked, parts: Parts
) -> Callable[[Words], None]:
    count, (bits, layout, modulus, lane), terms = request.size, request.params, layout_of(request).terms
    ones, many, tables = parts[0].reshape(count, terms - 1), parts[1].reshape(count, terms), fat_tables(layout)
    grid = np.zeros((0, terms), dtype=np.uint16)
    if bits:
        grid = lanes(parts[2], lane)[: terms * count].reshape(-1, terms)
    public, sizes = (tables.starts, tables.terms, tables.signs), (ring_word(bits), ring_word(modulus))

    def add(target: Words) -> None:
        delta, out = value.delta.reshape(-1), target.reshape(-1)
        kernels.select_fat(delta, *sizes, prep.first, found.opened, *public, ones, many, grid, out)

    return add


def _bit(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    found: Bits = inputs[0]
    scale, layout = ring_word(request.params[0]), layout_of(request)

    def add(target: Words) -> None:
        out = target.reshape(-1)
        if layout.lean:
            kernels.bit_lean(found.opened, scale, prep.first, parts[0], out)
        else:
            ones, tables = parts[0].reshape(-1, layout.terms - 1), fat_tables(request.params[1])
            public = (tables.starts, tables.terms, tables.signs)
            kernels.bit_fat(found.opened, scale, prep.first, *public, ones, out)

    return Shared(None, [add])


def _spline(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value: Masked = inputs[0]
    bits, _, place, index, low, function, terms = request.params
    tables = parts[0].reshape(request.size, 1 << index, terms)
    places = (ring_word(bits), ring_word(place), ring_word(FUNCTIONS[function].power_bits), ring_word(low))

    def add(target: Words) -> None:
        kernels.spline(value.delta.reshape(-1), *places, tables, target.reshape(-1))

    return Shared(None, [add])


def _match(prep: Preparation, number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value: Masked = inputs[0]
    low, tables = ring_word(request.params[0]), parts[0].reshape(request.size, 1 << request.params[1])
    return Shared(None, [lambda target: kernels.match(value.delta.reshape(-1), low, tables, target.reshape(-1))])


STEPS: Mapping[str, Step] = {
    "weight": _weight,
    "constant": _constant,
    "local": _local,
    "open": _open,
    "unfold": _unfold,
    "truncate": _truncate,
    "compare": _compare,
    "flip": _flip,
    "select": _select,
    "spline": _spline,
    "bit": _bit,
    "match": _match,
    **LINEAR,
    **PUBLIC,
}
"""How each operation that is not a linear map is prepared."""
