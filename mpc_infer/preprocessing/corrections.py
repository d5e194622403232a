"""The dealer's work: from the parties' seeds to what makes the last party's shares right."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mpc_infer.errors import InvalidRequest
from mpc_infer.preprocessing.draws import batch_seed, cut, drawn_words, is_binary, material_stream, open_drawn
from mpc_infer.preprocessing.masked_dealer import MaskProgram, ModelMasks
from mpc_infer.preprocessing.plan import Plan
from mpc_infer.preprocessing.requests import BinaryProduct, Product, RandomBit, Request, Square, Truncation
from mpc_infer.sharing.stream import SEED_BYTES, Stream

CHUNK_BYTES = 1 << 20


def corrections(
    seeds: Sequence[bytes], plan: Plan, batches: int = 1, masks: ModelMasks | None = None
) -> Iterator[bytes]:
    """Corrections for the last party, request by request: memory is bounded by the largest request.

    1. Derive the batch's seed of every party, and expand it exactly as the party does.
    2. Open the drawn parts; compute what the corrected parts must sum to.
    3. Subtract the corrected parts of all parties but the last. What is left is the last party's share: uniform,
       because the others' shares are.
    4. At the end, a digest over plan and corrections: a damaged answer is noticed, not computed with.

    Every batch has its own seeds and its own digest. The same seeds and plan give the same bytes, and fewer batches
    their beginning.

    Args:
        seeds: `plan.seed_bytes` bytes per party, by index.
        plan: checked.
        batches: how often the plan is drawn from the seeds.
        masks: of models whose weights were masked before; for plans of the masked engine only.

    Yields:
        Pieces of at most 1 MiB, `plan.correction_bytes` for every batch.

    Raises:
        InvalidRequest: not one seed per party, or of another length.
    """
    if len(seeds) != plan.parties:
        raise InvalidRequest(f"{len(seeds)} seeds for a plan of {plan.parties} parties")
    if any(len(seed) != plan.seed_bytes for seed in seeds):
        raise InvalidRequest(f"a seed for this plan has {plan.seed_bytes} bytes")
    models = [seed[SEED_BYTES:] for seed in seeds]
    masks = masks or ModelMasks()
    for index in range(batches):
        streams = [material_stream(batch_seed(seed, index)) for seed in seeds]
        yield from _one_batch(streams, models, plan, masks)


def _one_batch(streams: Sequence[Stream], models: Sequence[bytes], plan: Plan, masks: ModelMasks) -> Iterator[bytes]:
    state = correction_digest(plan)
    parts: Iterator[list[NDArray[Any]]]
    if plan.program:
        parts = MaskProgram(streams, models, plan.program, masks).run()
    else:
        parts = ([part.numpy() for part in _correct(request, streams)] for request in plan.requests)
    for part in itertools.chain.from_iterable(parts):
        data = np.ascontiguousarray(part).reshape(-1).view(np.uint8).data
        state.update(data)
        yield from (bytes(data[start : start + CHUNK_BYTES]) for start in range(0, len(data), CHUNK_BYTES))
    yield state.digest()


def correction_digest(plan: Plan) -> "hashlib._Hash":
    """The running SHA-256 that ends the corrections of a plan: over a domain, the plan's digest and the corrections."""
    return hashlib.sha256(b"mpc-infer/v1/corrections" + plan.digest)


def _correct(request: Request, streams: Sequence[Stream]) -> list[torch.Tensor]:
    drawn: list[torch.Tensor] = []
    offsets: list[torch.Tensor] = []
    for party, stream in enumerate(streams):
        last = party == len(streams) - 1
        buffer = stream.ring(drawn_words(request, last=last))
        own_drawn, rest = cut(buffer, request.drawn)
        binary = is_binary(request) or isinstance(request, RandomBit)
        drawn = _accumulate(drawn, open_drawn(request, own_drawn), binary=binary)
        if not last:
            offsets = _accumulate(offsets, cut(rest, request.corrected)[0], binary=is_binary(request))
    return [
        target ^ offset if is_binary(request) else target - offset
        for target, offset in zip(_targets(request, drawn), offsets, strict=True)
    ]


def _accumulate(totals: list[torch.Tensor], parts: list[torch.Tensor], *, binary: bool) -> list[torch.Tensor]:
    if not totals:
        return parts
    pairs = zip(totals, parts, strict=True)
    return [total.bitwise_xor_(part) if binary else total.add_(part) for total, part in pairs]


def _targets(request: Request, drawn: list[torch.Tensor]) -> list[torch.Tensor]:
    if isinstance(request, Product):
        return [torch.matmul(*drawn) if request.op == "matmul" else torch.mul(*drawn)]
    if isinstance(request, Square):
        return [drawn[0] * drawn[0]]
    if isinstance(request, BinaryProduct):
        return [drawn[0] & drawn[1]]
    if isinstance(request, Truncation):
        return [logical_shift(drawn[0], request.bits), logical_shift(drawn[0], 63)]
    return [drawn[0]]


def logical_shift(values: torch.Tensor, bits: int) -> torch.Tensor:
    """Shift int64 words right, filling with zeros: what >> does to the same bits as uint64."""
    return (values >> bits) & ((1 << (64 - bits)) - 1)
