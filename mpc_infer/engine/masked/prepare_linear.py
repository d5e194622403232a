"""Products: what is prepared of them, and what is added online."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mpc_infer.engine.masked.state import Masked, Shared, State, Weighed, Words
from mpc_infer.errors import PlanMismatch
from mpc_infer.preprocessing.masked_requests import MaskedRequest
from mpc_infer.preprocessing.masked_views import ring_word

if TYPE_CHECKING:
    from mpc_infer.engine.masked.prepare import Preparation

Parts = Sequence[Words]


def mask_of(value: Masked) -> Words:
    """This party's share of the mask of an opened value.

    Raises:
        PlanMismatch: the program gives the parties none.
    """
    if value.mask is None:
        raise PlanMismatch("a product reads a value whose mask is not shared")
    return value.mask


def _lift(prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value: Masked = inputs[0]
    factor = ring_word(request.params[0])

    def add(target: Words) -> None:
        target += value.delta if factor == 1 else value.delta * factor

    return Shared(None, [add] if prep.first else [])


def _with_weight(prep: "Preparation", weight: Weighed) -> Callable[[Words, Words, Words], None]:
    for factor in (weight.share, weight.masked):
        prep.products.keep(factor)
    return prep.products.add_product


def _linear(prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value, weight = inputs
    inner, width = weight.share.shape
    base = np.zeros(request.shape, dtype=np.uint64)
    product = _with_weight(prep, weight)
    product(np.negative(mask_of(value)).reshape(-1, inner), weight.masked, base.reshape(-1, width))

    def add(target: Words) -> None:
        product(value.delta.reshape(-1, inner), weight.share, target.reshape(-1, width))

    return Shared(base, [add])


def _apply(prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value, weight = inputs
    base = np.zeros(request.shape, dtype=np.uint64)
    product = _with_weight(prep, weight)
    product(weight.masked, np.negative(mask_of(value)), base)

    def add(target: Words) -> None:
        product(weight.share, value.delta, target)

    return Shared(base, [add])


def _weigh(prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    value, weight = inputs
    held: Weighed = weight
    base = np.negative(mask_of(value)) * held.masked

    def add(target: Words) -> None:
        target += value.delta * held.share

    return Shared(base, [add])


def _multiply(prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    left, right = inputs
    left_mask, right_mask = mask_of(left), np.negative(mask_of(right))

    def add(target: Words) -> None:
        factor = right.delta + right_mask if prep.first else right_mask
        target += left.delta * factor
        target -= left_mask * right.delta

    return Shared(None, [add])


def _matmul(prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Parts) -> State:
    left, right = inputs
    left_mask, right_mask = np.negative(mask_of(left)), np.negative(mask_of(right))

    def add(target: Words) -> None:
        factor = right.delta + right_mask if prep.first else right_mask
        out = _flat(target)
        prep.products.add_product(_flat(left.delta), _flat(factor), out)
        prep.products.add_product(_flat(left_mask), _flat(right.delta), out)

    return Shared(None, [add])


def _flat(array: Words) -> Words:
    return array.reshape(-1, *array.shape[-2:])


LINEAR: Mapping[str, Callable[["Preparation", int, MaskedRequest, Sequence[Any], Sequence[Words]], State]] = {
    "lift": _lift,
    "linear": _linear,
    "apply": _apply,
    "weigh": _weigh,
    "multiply": _multiply,
    "matmul": _matmul,
}
"""How each product is prepared."""
