"""The dealer's side of the masked engine: run the program of a plan on masks, and work out the corrections."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_infer.preprocessing import masked_kernels as kernels
from mpc_infer.preprocessing.masked_functions import FUNCTIONS, scale_bits, segment_polynomials
from mpc_infer.preprocessing.masked_layout import fat_tables, lean_tables, narrow_tables
from mpc_infer.preprocessing.masked_products import multiply_add, multiply_add_batch, multiply_add_groups
from mpc_infer.preprocessing.masked_requests import LEAN, UNDEALT, MaskedRequest, layout_of, may_wrap
from mpc_infer.preprocessing.masked_views import VIEWS, apply_view, ring_word
from mpc_infer.preprocessing.requests import words
from mpc_infer.sharing.stream import Stream

Words = NDArray[np.uint64]
Value = Any
"""WEIGHT, MASKED: the mask. SHARE: G, None for zero. CONSTANT: None. PATTERN: (mask bits, sign bits of the mask).
FLIP: mask bits.
"""

MODEL_LABEL = "model-mask"
MAX_CACHED_BYTES = 1 << 30


class ModelMasks:
    """Masks of models' weights, as their seeds expand to. What is kept is only a saving: any of it can be made again.

    Args:
        max_bytes: the oldest entries go when this is exceeded.
    """

    def __init__(self, max_bytes: int = MAX_CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: dict[bytes, Words] = {}
        self._lock = threading.Lock()

    def mask(self, seeds: Sequence[bytes], request: MaskedRequest) -> Words:
        """The sum of all parties' masks of one weight."""
        key = hashlib.sha256(b"".join(seeds) + repr((request.params, request.shape)).encode()).digest()
        with self._lock:
            found = self._kept.get(key)
        if found is None:
            found = sum_words([weight_mask(seed, request) for seed in seeds])
        self._keep(key, found)
        return found

    def _keep(self, key: bytes, mask: Words) -> None:
        # What was used last goes last. Several requests are worked on at once.
        with self._lock:
            self._kept.pop(key, None)
            self._kept[key] = mask
            while sum(array.nbytes for array in self._kept.values()) > self._max_bytes:
                del self._kept[next(iter(self._kept))]

    def __repr__(self) -> str:
        return f"ModelMasks({len(self._kept)} weights)"


def weight_mask(seed: bytes, request: MaskedRequest) -> Words:
    """One party's share of the mask of a weight. Every weight has a stream of its own, whatever plan it stands in."""
    return Stream(seed, f"{MODEL_LABEL}/{request.params[0]}").ring(request.shape)


def sum_words(arrays: Sequence[Words]) -> Words:
    """Sum modulo 2^64, into the first array."""
    for other in arrays[1:]:
        np.add(arrays[0], other, out=arrays[0])
    return arrays[0]


@dataclass(repr=False)
class MaskProgram:
    """One run of a plan's program over masks.

    Args:
        streams: of the parties' material, where they stand.
        models: the parties' 32-byte seeds of the model.
        requests: checked.
        masks: of models that were seen before.
    """

    streams: Sequence[Stream]
    models: Sequence[bytes]
    requests: Sequence[MaskedRequest]
    masks: ModelMasks
    _values: dict[int, Value] = field(default_factory=dict)

    def run(self) -> Iterator[list[Words]]:
        """The corrected parts of the last party, request by request. Values are dropped after their last use."""
        last_use = {number: index for index, request in enumerate(self.requests) for number in request.inputs}
        for index, request in enumerate(self.requests):
            value, parts = self._step(request, self._inputs(request), _Draws(self.streams, request))
            self._values[index] = value
            yield parts
            for number in {*request.inputs, index}:
                if last_use.get(number, -1) <= index:
                    del self._values[number]

    def _inputs(self, request: MaskedRequest) -> list[Value]:
        values = [self._values[number] for number in request.inputs]
        if request.op in VIEWS and any(value is not None for value in values):
            shapes = [self.requests[number].shape for number in request.inputs]
            return [np.zeros(s, np.uint64) if v is None else v for v, s in zip(values, shapes, strict=True)]
        return values

    def _step(self, request: MaskedRequest, inputs: list[Value], draws: "_Draws") -> tuple[Value, list[Words]]:
        if request.op == "weight":
            return self.masks.mask(self.models, request), []
        if request.op in VIEWS:
            return (None if inputs[0] is None else apply_view(request, inputs)), []
        return STEPS[request.op](request, inputs, draws)


class _Draws:
    """What the parties draw for one request, added up or XORed as it is asked for, in the order of the streams."""

    def __init__(self, streams: Sequence[Stream], request: MaskedRequest) -> None:
        self._drawn, self._corrected = words(request.drawn), words(request.corrected)
        self._shapes = request.corrected
        self._buffers = [
            stream.ring(self._drawn + (0 if stream is streams[-1] else self._corrected)) for stream in streams
        ]

    def summed(self) -> Words:
        """The drawn part, over all parties."""
        return sum_words([buffer[: self._drawn].copy() for buffer in self._buffers])

    def xored(self) -> Words:
        """The drawn part, over all parties."""
        return _xor([buffer[: self._drawn].copy() for buffer in self._buffers])

    def others(self, combine: "Mapping[int, Combine] | Combine") -> list[Words]:
        """The corrected parts, over all parties but the last. How to combine them may differ by part."""
        parts, start = [], self._drawn
        for index, (count,) in enumerate(self._shapes):
            how = combine if callable(combine) else combine[index]
            parts.append(how([buffer[start : start + count] for buffer in self._buffers[:-1]]))
            start += count
        return parts


Combine = Callable[[Sequence[Words]], Words]
Step = Callable[[MaskedRequest, list[Value], _Draws], tuple[Value, list[Words]]]


def _xor(arrays: Sequence[Words]) -> Words:
    for other in arrays[1:]:
        np.bitwise_xor(arrays[0], other, out=arrays[0])
    return arrays[0]


def lanes(words: Words, width: int) -> NDArray[Any]:
    """Words as numbers of 16 or 32 bits."""
    return words.view(np.uint16 if width == 16 else np.uint32)


def _add_lanes(width: int) -> "Combine":
    return lambda arrays: sum_words([lanes(array, width) for array in arrays]).view(np.uint64)


def _nothing(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    return None, []


def _open(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    mask, parts = draws.summed().reshape(request.shape), []
    if inputs[0] is not None:
        mask -= inputs[0]
    if request.params[0]:
        parts = [_minus_others(inputs[0], draws)]
    return mask, parts


def _unfold(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    return None, [_minus_others(inputs[0], draws)]


def _minus_others(value: Value, draws: _Draws) -> Words:
    others = draws.others(sum_words)[0]
    return np.subtract(0 if value is None else value.reshape(-1), others, out=others)


def _lift(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    return inputs[0] * ring_word(-request.params[0]), []


def _linear(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    product = np.zeros(request.shape, dtype=np.uint64)
    left = inputs[0].reshape(-1, inputs[0].shape[-1])
    multiply_add(left, inputs[1], product.reshape(-1, request.shape[-1]))
    return product, []


def _apply(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    product = np.zeros(request.shape, dtype=np.uint64)
    multiply_add_groups(inputs[1], inputs[0], product)
    return product, []


def _elementwise(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    return inputs[0] * inputs[1], []


def _matmul(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    product = np.zeros(request.shape, dtype=np.uint64)
    left, right, out = (array.reshape(-1, *array.shape[-2:]) for array in (*inputs, product))
    multiply_add_batch(left, right, out)
    return product, []


def _truncate(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    bits, modulus, lane = request.params
    parts = draws.others({0: sum_words, 1: _add_lanes(lane)})
    small = lanes(parts[1], lane)
    kernels.shifted_left(inputs[0].reshape(-1), ring_word(bits), ring_word(modulus), parts[0], small)
    return None, parts


def _compare(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    bits, layout = ring_word(request.params[0]), layout_of(request)
    mask, count = inputs[0].reshape(-1), request.size
    sign = np.empty(count, dtype=np.uint8)
    kernels.sign_bits(mask, ring_word(request.params[0] + layout.window), sign)
    chosen: NDArray[Any] = draws.xored().view(np.uint8 if layout.drawn == 8 else np.uint16)[:count]
    chosen &= (1 << layout.tables) - 1
    parts = draws.others(_xor)
    if request.params[1] == LEAN:
        halves = parts[0].view(np.uint32).reshape(8, count)
        kernels.lean_tables_left(mask, bits, chosen, halves, parts[1].reshape(3, count))
    elif layout.lean:
        kernels.narrow_tables_left(mask, bits, chosen, parts[0].reshape(layout.tables, count))
    else:
        kernels.fat_tables_left(mask, bits, chosen, parts[0].reshape(count, layout.tables, -1))
    return (chosen, sign), parts


def _flip(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    chosen, sign = inputs[0]
    flips = draws.xored()
    flips ^= _bit_words(sign, flips.size)
    parts = draws.others(_xor)
    if request.params[0] == LEAN:
        wide, high = lean_tables(), parts[1].view(np.uint32)[: request.size]
        kernels.flip_left(chosen, wide.mono_low, wide.mono_high, parts[0], high)
    else:
        kernels.narrow_flip_left(chosen, narrow_tables().monomials, parts[0].view(np.uint16))
    return flips, parts


def _bit_words(bits: NDArray[np.uint8], count: int) -> Words:
    packed = np.zeros(8 * count, dtype=np.uint8)
    packed[: -(-bits.size // 8)] = np.packbits(bits, bitorder="little")
    return packed.view(np.uint64)


def _select(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    bits, number, modulus, lane = request.params
    layout, mask, words = layout_of(request), inputs[1].reshape(-1), (ring_word(bits), ring_word(modulus))
    small_parts = _add_lanes(lane)
    parts = draws.others({0: sum_words, 1: small_parts if layout.lean else sum_words, 2: small_parts})
    small = lanes(parts[-1], lane) if may_wrap(request) else np.empty(0, dtype=np.uint16)
    if layout.lean:
        small = small[: 2 * request.size].reshape(2, -1)
        kernels.lean_terms_left(mask, *words, inputs[0], parts[0].reshape(3, -1), small)
    else:
        chosen, sign = inputs[0]
        ones, many = parts[0].reshape(-1, layout.terms - 1), parts[1].reshape(-1, layout.terms)
        small = small[: request.size * layout.terms].reshape(-1, layout.terms)
        kernels.fat_terms_left(mask, *words, chosen, sign, fat_tables(number).monomials, ones, many, small)
    return None, parts


def _spline(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    bits, frac_bits, place, index, low, function, terms = request.params
    parts = draws.others(sum_words)
    polynomials = segment_polynomials(function, frac_bits, place, index, low, terms)
    tables = parts[0].reshape(request.size, 1 << index, terms)
    scale = float(1 << scale_bits(function, frac_bits))
    units = (scale, scale / (1 << FUNCTIONS[function].power_bits))
    kernels.spline_left(inputs[0].reshape(-1), ring_word(bits), ring_word(place), polynomials, *units, tables)
    return None, parts


def _bit(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    parts, count = draws.others(sum_words), request.size
    if layout_of(request).lean:
        target = np.unpackbits(inputs[0].view(np.uint8), count=count, bitorder="little").astype(np.uint64)
    else:
        chosen, sign = inputs[0]
        negative = sign.astype(np.uint64)[:, None]
        monomials = fat_tables(request.params[1]).monomials[chosen].astype(np.uint64)
        target = np.concatenate([negative, monomials * (np.uint64(1) - negative - negative)], axis=1).reshape(-1)
    return None, [np.subtract(target, parts[0], out=parts[0])]


def _match(request: MaskedRequest, inputs: list[Value], draws: _Draws) -> tuple[Value, list[Words]]:
    low, bits = request.params
    parts = draws.others(sum_words)
    kernels.match_left(inputs[0].reshape(-1), ring_word(low), parts[0].reshape(request.size, 1 << bits))
    return None, parts


STEPS: Mapping[str, Step] = {
    **dict.fromkeys(("local", *UNDEALT), _nothing),
    "open": _open,
    "unfold": _unfold,
    "lift": _lift,
    "linear": _linear,
    "apply": _apply,
    "weigh": _elementwise,
    "multiply": _elementwise,
    "matmul": _matmul,
    "truncate": _truncate,
    "compare": _compare,
    "flip": _flip,
    "select": _select,
    "spline": _spline,
    "bit": _bit,
    "match": _match,
}
"""What the dealer does for each operation that is not a linear map or a weight."""
