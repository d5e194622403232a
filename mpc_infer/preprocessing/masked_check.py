"""Checking a program of masked requests: it comes from outside, and the dealer runs it."""

import math
from collections.abc import Callable, Mapping, Sequence

from mpc_infer.errors import InvalidRequest
from mpc_infer.preprocessing.masked_functions import FUNCTIONS
from mpc_infer.preprocessing.masked_requests import (
    BY_CONSTANT,
    LANES,
    LAYOUTS,
    OPERATIONS,
    UNDEALT,
    WORD_BITS,
    Kind,
    Layout,
    MaskedRequest,
    Shape,
    is_folded,
    layout_of,
)
from mpc_infer.preprocessing.requests import words

MAX_TRUNCATION = 32
"""Fractional bits that a truncation removes, at most: the bit that a wrap adds is kept in 32 bits."""


MAX_MATCHED = 8
"""Bits of a number that a table compares with zero."""

MAX_TERMS = 16
"""Coefficients of a spline's segment."""

MAX_WINDOW = 1 << 20
"""The most that a window's kernel, stride, dilation and pads may say: their products stay far below 2^63."""


def check_program(requests: Sequence[MaskedRequest]) -> None:
    """Check order, kinds, parameters and shapes of all requests, and that public weights multiply what parties have.

    Raises:
        InvalidRequest: says which request is wrong.
    """
    folded: set[int] = set()
    for number, request in enumerate(requests):
        if any(other >= number for other in request.inputs):
            raise InvalidRequest(f"masked request {number} ({request.op}) reads a value that comes after it")
        try:
            _check_kinds(request, [requests[other].result for other in request.inputs])
            expected = SHAPES[request.op](request, [requests[other].shape for other in request.inputs])
        except _Wrong as error:
            raise InvalidRequest(f"masked request {number} ({request.op}): {error}") from error
        if expected != request.shape:
            raise InvalidRequest(f"masked request {number} ({request.op}) makes {expected}, not {request.shape}")
        _check_layout(requests, number, request)
        if request.op in BY_CONSTANT and request.inputs[0] in folded:
            # The dealer does not know the weight: its part G of the share would be lost.
            raise InvalidRequest(f"masked request {number} ({request.op}) multiplies a share that is not unfolded")
        if is_folded(request, folded.__contains__):
            folded.add(number)


class _Wrong(ValueError):
    """What is wrong with one request."""


def program_work(requests: Sequence[MaskedRequest]) -> int:
    """Multiplications, or words that are read and written if those are more, of the whole program."""
    return sum(
        max(
            request.work,
            words(request.drawn) + words(request.corrected),
            sum(requests[other].size for other in request.inputs),
        )
        for request in requests
        if request.op not in UNDEALT
    )


def live_words(requests: Sequence[MaskedRequest]) -> int:
    """The most words that values take which are still to be read, at any step: each is dropped after its last use."""
    last_use = {number: index for index, request in enumerate(requests) for number in request.inputs}
    held = most = 0
    for index, request in enumerate(requests):
        held += _held(request)
        most = max(most, held)
        done = {number for number in {*request.inputs, index} if last_use.get(number, -1) <= index}
        held -= sum(_held(requests[number]) for number in done)
    return most


def _held(request: MaskedRequest) -> int:
    # The dealer has no public weights.
    return 0 if request.op == "constant" else request.size


def _check_kinds(request: MaskedRequest, kinds: list[Kind]) -> None:
    operation = OPERATIONS[request.op]
    if operation.params is not None and len(request.params) != operation.params:
        raise _Wrong(f"it has {len(request.params)} parameters, not {operation.params}")
    if operation.reads is None:
        _check_view(request, kinds)
    elif request.op in ("select", "bit"):
        masked = _pattern_kinds(request)
        if kinds != masked:
            raise _Wrong(f"it reads {kinds}, not {masked}")
    elif request.op in BY_CONSTANT and kinds == [Kind.MASKED, Kind.CONSTANT]:
        return
    elif tuple(kinds) != operation.reads:
        raise _Wrong(f"it reads {kinds}, not {operation.reads}")


def _pattern_kinds(request: MaskedRequest) -> list[Kind]:
    first = Kind.FLIP if _known_layout(request.params[1]).lean else Kind.PATTERN
    return [first, Kind.MASKED] if request.op == "select" else [first]


def _known_layout(number: int) -> Layout:
    if number not in range(len(LAYOUTS)):
        raise _Wrong("its layout is unknown")
    return LAYOUTS[number]


def _check_view(request: MaskedRequest, kinds: list[Kind]) -> None:
    if not kinds or not request.params or request.params[0] not in (0, 1):
        raise _Wrong("a linear map has inputs, and its first parameter is 0 or 1")
    if set(kinds) != {request.result}:
        raise _Wrong("a linear map reads values of the kind that it makes")
    if request.op not in ("sum", "concat") and len(kinds) != 1:
        raise _Wrong("it has one input")


def _check_layout(requests: Sequence[MaskedRequest], number: int, request: MaskedRequest) -> None:
    # A pattern says how it was made; whoever reads it must agree.
    if request.op not in ("flip", "select", "bit"):
        return
    read = requests[request.inputs[0]]
    own, made = (each.params[0] if each.op == "flip" else each.params[1] for each in (request, read))
    if own != made:
        raise InvalidRequest(f"masked request {number} reads a pattern of another layout")


def _declared(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    return request.shape


def _same(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    return shapes[0]


def _linear(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    left, right = shapes
    if len(right) != 2 or len(left) < 2 or left[-1] != right[0] or request.params[-1] != right[0]:
        raise _Wrong(f"{left} times {right}")
    return (*left[:-1], right[1])


def _apply(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    data, weight = shapes
    fits = len(data) == 4 and len(weight) == 3 and data[1] == weight[0] and data[2] == weight[2] == request.params[-1]
    if not fits:
        raise _Wrong(f"{weight} applied to {data}")
    return (data[0], data[1], weight[1], data[3])


def _matmul(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    left, right = shapes
    fits = len(left) == len(right) >= 2 and left[:-2] == right[:-2] and left[-1] == right[-2] == request.params[-1]
    if not fits:
        raise _Wrong(f"{left} times {right}")
    return (*left[:-1], right[-1])


def _broadcast(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    result = tuple(max(sizes) for sizes in zip(*padded, strict=True))
    if any(size not in (1, full) for shape in padded for size, full in zip(shape, result, strict=True)):
        raise _Wrong(f"{shapes} do not broadcast")
    return result


def _sum(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    signs = request.params[1:]
    if len(signs) != len(shapes) or not set(signs) <= {1, -1}:
        raise _Wrong("it has a coefficient of 1 or -1 for each input")
    return _broadcast(request, shapes)


def _shift(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    if not 0 <= request.params[2] < len(shapes[0]):
        raise _Wrong("there is no such axis")
    return shapes[0]


def _reshape(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    if math.prod(shapes[0]) != request.size:
        raise _Wrong(f"{shapes[0]} has another number of elements")
    return request.shape


def _permute(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    axes = request.params[1:]
    if sorted(axes) != list(range(len(shapes[0]))):
        raise _Wrong(f"{axes} are not the axes of {shapes[0]}")
    return tuple(shapes[0][axis] for axis in axes)


def _slice(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    _, axis, start, stop, step = request.params
    shape = shapes[0]
    if not 0 <= axis < len(shape) or not 0 <= start < stop <= shape[axis] or step < 1:
        raise _Wrong("the slice is outside, or empty")
    return (*shape[:axis], -(-(stop - start) // step), *shape[axis + 1 :])


def _concat(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    axis, first = request.params[1], shapes[0]
    if not 0 <= axis < len(first):
        raise _Wrong("there is no such axis")
    if any(shape[:axis] + shape[axis + 1 :] != first[:axis] + first[axis + 1 :] for shape in shapes):
        raise _Wrong(f"{shapes} cannot be joined")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


def _reduce(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    axis = request.params[1]
    if not 0 <= axis < len(shapes[0]) or len(shapes[0]) < 2:
        raise _Wrong("there is no such axis")
    return shapes[0][:axis] + shapes[0][axis + 1 :]


def _patches(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    kh, kw, sh, sw, dh, dw, top, left, height, width, repeat = request.params[1:]
    if len(shapes[0]) != 4 or min(kh, kw, sh, sw, dh, dw, height, width) < 1 or repeat not in (0, 1):
        raise _Wrong("its window is wrong")
    if max(kh, kw, sh, sw, dh, dw, top, left) > MAX_WINDOW:
        raise _Wrong(f"a window has at most {MAX_WINDOW} places, steps and pads")
    for size, count, kernel, stride, dilation, before in (
        (shapes[0][2], height, kh, sh, dh, top),
        (shapes[0][3], width, kw, sw, dw, left),
    ):
        if before < 0:
            raise _Wrong("its pads are negative")
        if repeat:
            _check_windows(size, count, kernel, stride, dilation, before)
    return (*shapes[0][:2], kh * kw, height * width)


def _check_windows(size: int, count: int, kernel: int, stride: int, dilation: int, before: int) -> None:
    # The outermost windows have a pixel inside that the others can repeat.
    for first in (-before, (count - 1) * stride - before):
        entered = max(0, -(first // dilation))
        if entered >= kernel or first + entered * dilation >= size:
            raise _Wrong("a window lies outside of the image")


def _truncate(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    bits, modulus, lane = request.params
    if not 0 < bits <= MAX_TRUNCATION:
        raise _Wrong(f"it drops 1 to {MAX_TRUNCATION} bits")
    _check_rounding(bits, modulus, lane)
    return shapes[0]


def _check_rounding(bits: int, modulus: int, lane: int) -> None:
    if not bits + 2 <= modulus <= WORD_BITS or lane not in LANES:
        raise _Wrong("its modulus or the width of its shares is wrong")


def _compare(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    _known_layout(request.params[1])
    if not 0 <= request.params[0] <= 31:
        raise _Wrong("it drops 0 to 31 bits")
    return shapes[0]


def _flip(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    if not _known_layout(request.params[0]).lean:
        raise _Wrong("its layout has no second opening")
    return shapes[0]


def _select(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    bits, _, modulus, lane = request.params
    if not 0 <= bits <= MAX_TRUNCATION or shapes[0] != shapes[1]:
        raise _Wrong("it reads values of one shape and drops at most 32 bits")
    _check_rounding(bits, modulus, lane)
    if bits == 0 and modulus < WORD_BITS and not layout_of(request).lean:
        raise _Wrong("in its layout a value from which no bits are dropped is opened whole")
    return shapes[0]


def _open(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    _, low, kept = request.params
    if low < 0 or kept < 1 or low + kept > WORD_BITS:
        raise _Wrong(f"it sends bits {low} to {low + kept} of {WORD_BITS}")
    return shapes[0]


def _spline(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    bits, frac_bits, place, index, low, function, terms = request.params
    if not (0 <= bits <= MAX_TRUNCATION and 1 <= frac_bits <= 30 and 1 <= place <= 20 and 3 <= index <= 8):
        raise _Wrong("its segments are too few, too many or too large")
    if not 2 <= terms <= MAX_TERMS:
        raise _Wrong(f"a segment has 2 to {MAX_TERMS} coefficients")
    if abs(low) > 1 << 31 or function not in range(len(FUNCTIONS)):
        raise _Wrong("its function is unknown, or begins too far away")
    return shapes[0]


def _bit(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    if not 0 <= request.params[0] < 62:
        raise _Wrong("its scale is 0 to 61")
    return shapes[0]


def _match(request: MaskedRequest, shapes: list[Shape]) -> Shape:
    low, bits = request.params
    if not 0 <= low <= MAX_TRUNCATION or not 1 <= bits <= MAX_MATCHED:
        raise _Wrong(f"it ignores 0 to {MAX_TRUNCATION} bits, and reads 1 to {MAX_MATCHED}")
    return shapes[0]


SHAPES: Mapping[str, Callable[[MaskedRequest, list[Shape]], Shape]] = {
    "weight": _declared,
    "constant": _declared,
    "local": _declared,
    "open": _open,
    "unfold": _same,
    "lift": _same,
    "linear": _linear,
    "apply": _apply,
    "weigh": _broadcast,
    "linear-constant": _linear,
    "apply-constant": _apply,
    "weigh-constant": _broadcast,
    "multiply": _broadcast,
    "matmul": _matmul,
    "truncate": _truncate,
    "compare": _compare,
    "flip": _flip,
    "select": _select,
    "spline": _spline,
    "bit": _bit,
    "match": _match,
    "sum": _sum,
    "scale": _same,
    "shift": _shift,
    "reshape": _reshape,
    "permute": _permute,
    "slice": _slice,
    "concat": _concat,
    "reduce": _reduce,
    "patches": _patches,
}
"""Operation: the shape of its result."""
