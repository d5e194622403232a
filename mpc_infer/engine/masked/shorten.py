"""How many bits each opening sends: those that can change a result.

**From above.** Everything between two roundings is linear over the ring, and reducing modulo 2^k is a homomorphism:
what is read modulo 2^k only may be opened modulo 2^k. A comparison that ignores b bits reads b + 1 and its window; a
selection or truncation of a value below 2^m rounds it from its opening modulo 2^(m + 2), with the wrap bit of that
modulus in place of the wrap bit of 2^64. Hence a ReLU after a linear layer reads 50 bits of what the layer makes at
f = 16, or fewer where the layer is known to make less, and the layer as many of its input. Outputs read all 64. A
selection that drops no bits needs no wrap bit as long as its value is opened whole; in lean layouts it gets one, 8
bytes of material for bits that need not be sent, where that makes the program send less.

**From below.** Of fractional bits that a later rounding drops, all but `SPARE_BITS` are cut off every party's share
before it is sent. The sum of n shares is then less than n 2^-SPARE_BITS of a unit too low, and a rounding says floor or
floor + 1 of that: among 16 parties it is off by 1.25 units at most (`TRUNCATION` of the range analysis).

What is sent is a part of what was sent before, which was a uniform word: it is as uniform.

**The floor.** An MLP 784-128-128-10 on 64 rows opens 64 x 784 inputs. The layer behind multiplies them by weights with
16 fractional bits; its results of up to 2^9, their sign and a wrap take 43 bits, so no fewer bits of the input will do:
269,696 bytes from each party, a twentieth of what a party sends with CrypTen.
"""

from collections.abc import Sequence
from dataclasses import replace

from mpc_infer.preprocessing.masked_requests import LANES, WORD_BITS, Kind, MaskedRequest, layout_of, may_wrap

SPARE_BITS = 6
"""Of the bits below f: among 16 parties the sum, in every level of a MaxPool, is less than a quarter of a unit."""

ROUNDING = frozenset({"select", "truncate"})
"""Operations that drop bits."""


def shortened(requests: Sequence[MaskedRequest], outputs: Sequence[int]) -> tuple[MaskedRequest, ...]:
    """The same program, with the bits that openings keep, and the moduli of selections and truncations.

    Args:
        requests: whose openings send everything from their low bits on; selections and truncations say the smallest
            modulus that their value fits in.
        outputs: numbers of the shares that leave the program.
    """
    whole, short = (_shortened(requests, outputs, of_all=of_all) for of_all in (False, True))
    return short if _sent(short) < _sent(whole) else whole


def _sent(requests: Sequence[MaskedRequest]) -> int:
    return sum(request.size * request.params[2] for request in requests if request.op == "open")


def _shortened(requests: Sequence[MaskedRequest], outputs: Sequence[int], *, of_all: bool) -> tuple[MaskedRequest, ...]:
    # of_all: selections that drop no bits are rounded too, where they may be.
    found, need = list(requests), [0] * len(requests)
    for number in outputs:
        need[number] = WORD_BITS
    for number in reversed(range(len(found))):
        request = found[number]
        if request.op == "open":
            shares_mask, low, _ = request.params
            found[number] = replace(request, params=(shares_mask, low, max(1, need[number] - low)))
        elif request.op in ROUNDING:
            found[number] = _rounded(request, need[number], of_all=of_all)
        for other in request.inputs:
            need[other] = max(need[other], _reads(found[number], found[other], need[number]))
    return tuple(found)


def _rounded(request: MaskedRequest, need: int, *, of_all: bool) -> MaskedRequest:
    bits, *rest, modulus, _ = request.params
    if request.op == "select" and not bits and not (of_all and layout_of(request).lean):
        modulus = WORD_BITS
    short, long = LANES
    # A wrap is undone by the mask's highest bit times 2^(modulus - bits): shares of it count modulo the rest.
    modulus = min(WORD_BITS, max(modulus, need + bits - long))
    lane = short if need <= modulus - bits + short else long
    return replace(request, params=(bits, *rest, modulus, lane))


def _reads(request: MaskedRequest, read: MaskedRequest, need: int) -> int:
    # How many bits of one of its inputs a request reads when so many of its result are.
    if read.result not in (Kind.MASKED, Kind.SHARE):
        return 0
    if request.op == "compare":
        return request.params[0] + layout_of(request).window + 1
    if request.op == "truncate":
        return request.params[1]
    if request.op == "select" and may_wrap(request):
        return request.params[2]
    if request.op == "match":
        return sum(request.params)
    if request.op == "spline":
        bits, _, place, index, *_ = request.params
        return bits + place + index
    return need
