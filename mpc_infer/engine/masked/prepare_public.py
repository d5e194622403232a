"""Products by public weights: of shares online, of masks beforehand."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mpc_infer.engine.masked.prepare_linear import mask_of
from mpc_infer.engine.masked.state import Constant, Masked, Shared, State, Words
from mpc_infer.preprocessing.masked_requests import MaskedRequest

if TYPE_CHECKING:
    from mpc_infer.engine.masked.prepare import Preparation

Multiply = Callable[["Preparation", Words, Words, Words], None]
"""``out += left times weight``, one way or the other."""


def _linear(prep: "Preparation", left: Words, weight: Words, out: Words) -> None:
    inner, width = weight.shape
    prep.products.add_product(left.reshape(-1, inner), weight, out.reshape(-1, width))


def _apply(prep: "Preparation", left: Words, weight: Words, out: Words) -> None:
    prep.products.add_product(weight, left, out)


def _weigh(prep: "Preparation", left: Words, weight: Words, out: Words) -> None:
    out += left * weight


MULTIPLY: Mapping[str, Multiply] = {"linear-constant": _linear, "apply-constant": _apply, "weigh-constant": _weigh}


def _product(
    prep: "Preparation", number: int, request: MaskedRequest, inputs: Sequence[Any], parts: Sequence[Words]
) -> State:
    """The product of what this party has.

    Of a share s_j: s_j W, online. Of an opened value D with mask L: -[L]_j W beforehand, and D W online at party 0.
    """
    constant: Constant = inputs[1]
    prep.products.keep(constant.value)
    if isinstance(inputs[0], Masked):
        return _of_masked(prep, request, inputs[0], constant.value)
    if not inputs[0].adds:
        base = inputs[0].base
        return Shared(None if base is None else _made(prep, request, base, constant.value), [])
    multiply, products = MULTIPLY[request.op], prep
    place = prep.whole(request.inputs[0])
    return Shared(None, [lambda target: multiply(products, place, constant.value, target)])


def _of_masked(prep: "Preparation", request: MaskedRequest, value: Masked, weight: Words) -> Shared:
    multiply, base = MULTIPLY[request.op], _made(prep, request, np.negative(mask_of(value)), weight)
    adds = [lambda target: multiply(prep, value.delta, weight, target)] if prep.first else []
    return Shared(base, adds)


def _made(prep: "Preparation", request: MaskedRequest, left: Words, weight: Words) -> Words:
    found = np.zeros(request.shape, dtype=np.uint64)
    MULTIPLY[request.op](prep, left, weight, found)
    return found


PUBLIC: Mapping[str, Callable[["Preparation", int, MaskedRequest, Sequence[Any], Sequence[Words]], State]] = (
    dict.fromkeys(MULTIPLY, _product)
)
"""How each product by a public weight is prepared."""
