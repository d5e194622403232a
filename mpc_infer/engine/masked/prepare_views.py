"""Linear maps: on masks and bases before the session, on opened values and what is added online."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mpc_infer.engine.masked.state import Masked, Shared, State, Words, touched
from mpc_infer.preprocessing.masked_requests import Kind, MaskedRequest
from mpc_infer.preprocessing.masked_views import apply_view, ring_word

if TYPE_CHECKING:
    from mpc_infer.engine.masked.prepare import Preparation


def prepare_view(
    prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Sequence[Words]
) -> State:
    """Prepare a linear map of either kind."""
    if request.result is Kind.SHARE:
        return _share(prep, request, inputs)
    return _masked(prep, number, request, inputs)


def _masked(prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Masked]) -> Masked:
    known = [value.mask for value in inputs if value.mask is not None]
    mask = apply_view(request, known) if len(known) == len(inputs) else None
    if request.op == "reshape":
        return Masked(inputs[0].delta.reshape(request.shape), mask)
    delta = touched(request.shape)
    prep.at(number, lambda: _fill(request, inputs, delta))
    return Masked(delta, mask)


def _fill(request: MaskedRequest, inputs: Sequence[Masked], delta: Words) -> None:
    apply_view(request, [value.delta for value in inputs], delta)
    if request.op == "shift":
        delta += public_shift(request)


def public_shift(request: MaskedRequest) -> Words:
    """What a shift adds: broadcasts to the request's shape."""
    _, start, axis, step = request.params
    places = np.arange(request.shape[axis], dtype=np.uint64) * ring_word(step) + ring_word(start)
    return places.reshape((-1,) + (1,) * (len(request.shape) - 1 - axis))


def _share(prep: "Preparation", request: MaskedRequest, inputs: Sequence[Shared]) -> Shared:
    shapes = [prep.program.requests[number].shape for number in request.inputs]
    base = None
    if any(value.base is not None for value in inputs):
        base = apply_view(request, [value.base_of(shape) for value, shape in zip(inputs, shapes, strict=True)])
    if request.op == "shift" and prep.first:
        base = inputs[0].base_of(request.shape) + public_shift(request)
    return Shared(base, _adds(request, inputs, shapes))


def _adds(
    request: MaskedRequest, inputs: Sequence[Shared], shapes: Sequence[tuple[int, ...]]
) -> list[Callable[[Words], None]]:
    if request.op == "reshape" and inputs[0].adds:
        return [lambda target: inputs[0].add_into(target.reshape(shapes[0]))]
    if request.op == "shift":
        return inputs[0].adds
    if request.op == "sum":
        terms = zip(inputs, request.params[1:], shapes, strict=True)
        return [_term(value, sign, shape, request.shape) for value, sign, shape in terms if value.adds]
    if not any(value.adds for value in inputs):
        return []

    def add(target: Words) -> None:
        arrays = [np.zeros(shape, dtype=np.uint64) for shape in shapes]
        for value, array in zip(inputs, arrays, strict=True):
            value.add_into(array)
        target += apply_view(request, arrays)

    return [add]


def _term(value: Shared, sign: int, shape: tuple[int, ...], whole: tuple[int, ...]) -> Callable[[Words], None]:
    if sign > 0 and shape == whole:
        return value.add_into

    def add(target: Words) -> None:
        array = np.zeros(shape, dtype=np.uint64)
        value.add_into(array)
        (np.add if sign > 0 else np.subtract)(target, array, out=target)

    return add
