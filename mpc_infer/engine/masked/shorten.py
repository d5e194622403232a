"""How many bits each opening sends: those that can change a result.

**From above.** Everything between two roundings is linear over the ring, and reducing modulo 2^k is a homomorphism:
what is read modulo 2^k only may be opened modulo 2^k. A comparison that ignores b bits reads b + 33; the value that it
selects is below 2^(b + 32), so it can be rounded from its opening modulo 2^(b + 34), with the wrap bit of that modulus
in place of the wrap bit of 2^64. Hence a ReLU after a linear layer reads 50 bits of what the layer makes at f = 16, and
the layer 50 bits of its input. Truncations and outputs read all 64. A selection that drops no bits needs no wrap bit
as long as its value is opened whole; in the lean layout it gets one, 8 bytes of material for 30 bits that need not be
sent, where that makes the program send less.

**From below.** Of fractional bits that a later rounding drops, all but `SPARE_BITS` are cut off every party's share
before it is sent. The sum of n shares is then less than n 2^-SPARE_BITS of a unit too low, and a rounding within one
unit stays within one unit: it says floor or floor + 1 of a value that is lower by less than a unit.

What is sent is a part of what was sent before, which was a uniform word: it is as uniform.

**The floor.** An MLP 784-128-128-10 on 64 rows opens 64 x 784 inputs, 50 bits each: 313,600 bytes from each party, 3 %
of the 10.6 MB that a party sends with CrypTen. The layer behind multiplies them by weights with 16 fractional bits; its
results of up to 2^32 units, their sign and a wrap take 50 bits, so no fewer bits of the input will do. A thirtieth of
CrypTen's bytes (353 KB) would leave 39 KB for everything else, 19 bits for each of 16,384 ReLUs.
"""

from collections.abc import Sequence
from dataclasses import replace

from mpc_infer.preprocessing.masked_requests import LEAN, LOW_BITS, WORD_BITS, Kind, MaskedRequest, may_wrap

SPARE_BITS = 6
"""Of the bits below f: among 16 parties, and over the levels of a MaxPool, the sum stays below one unit."""

EXACT = frozenset({"truncate"})
"""Operations that read all bits."""


def shortened(requests: Sequence[MaskedRequest], outputs: Sequence[int]) -> tuple[MaskedRequest, ...]:
    """The same program, with the bits that openings keep and the moduli of selections.

    Args:
        requests: whose openings send everything from their low bits on.
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
        elif request.op == "select" and (request.params[0] or (of_all and request.params[1] == LEAN)):
            found[number] = _rounded(found, request, need[number])
        for other in request.inputs:
            need[other] = max(need[other], _reads(found[number], found[other], need[number]))
    return tuple(found)


def _rounded(requests: Sequence[MaskedRequest], request: MaskedRequest, need: int) -> MaskedRequest:
    # A selection of the very value that was compared: its size is bounded already.
    bits, layout, modulus, lane = request.params
    pattern = requests[request.inputs[0]]
    compared = requests[pattern.inputs[0]] if pattern.op == "flip" else pattern
    if compared.inputs[0] == request.inputs[1] and compared.params[0] == bits:
        modulus = bits + LOW_BITS + 2
        lane = 16 if need - (modulus - bits) <= 16 else 32
    return replace(request, params=(bits, layout, modulus, lane))


def _reads(request: MaskedRequest, read: MaskedRequest, need: int) -> int:
    # How many bits of one of its inputs a request reads when so many of its result are.
    if read.result not in (Kind.MASKED, Kind.SHARE):
        return 0
    if request.op in EXACT:
        return WORD_BITS
    if request.op == "compare":
        return request.params[0] + LOW_BITS + 1
    if request.op == "select" and may_wrap(request):
        return request.params[2]
    if request.op == "match":
        return sum(request.params)
    if request.op == "spline":
        bits, _, place, index, _, _ = request.params
        return bits + place + index
    return need
