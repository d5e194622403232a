"""What a dealer refuses, and that what it returns makes the sums right."""

import dataclasses

import pytest
import torch

from mpc_infer import errors
from mpc_infer.dealer.config import DealerLimits
from mpc_infer.dealer.service import CHUNK_BYTES, CorrectionsRequest, Dealer, in_chunks
from mpc_infer.identity.signer import Signer
from mpc_infer.preprocessing import Plan, Product, Square, expand, read_corrections
from mpc_infer.sharing.commitment import seed_commitment
from mpc_infer.sharing.contexts import sealed_seed_context
from mpc_infer.sharing.sealing import SealingKeys, seal
from mpc_infer.sharing.stream import fresh_seed

PARTIES = 3
MATERIAL = b"m" * 16
REQUESTS = (Product("matmul", (2, 3), (3, 4)), Square((5,)))
PLAN = Plan("crypten", bytes(32), 2, PARTIES, 16, 3, 100, REQUESTS)


@pytest.fixture(scope="module")
def keys():
    return SealingKeys.generate()


@pytest.fixture(scope="module")
def receiver():
    return Signer.generate().address


def make(keys, receiver, *, plan=PLAN, seeds=None, **context):
    seeds = seeds or [fresh_seed() for _ in range(PARTIES)]
    commitments = tuple(seed_commitment(MATERIAL, index, seed) for index, seed in enumerate(seeds))
    bound = {"material_id": MATERIAL, "plan_digest": plan.digest, "seed_commitments": commitments} | context
    boxes = tuple(
        seal(seed, keys.public(), sealed_seed_context(**bound, party_index=index, receiver_address=receiver))
        for index, seed in enumerate(seeds)
    )
    return seeds, CorrectionsRequest(MATERIAL, plan.to_bytes(), commitments, boxes)


def dealer(keys, **limits):
    return Dealer(keys, DealerLimits(**limits))


def test_the_corrections_make_the_shares_sum_to_products(keys, receiver):
    seeds, request = make(keys, receiver)
    pieces = list(dealer(keys).corrections(request, receiver))
    given = read_corrections(pieces, PLAN)
    materials = [
        expand(seed, PLAN, index, MATERIAL, given if index == PARTIES - 1 else None) for index, seed in enumerate(seeds)
    ]
    for material in materials:
        material.start()
    a, b, c = (sum(parts) for parts in zip(*(m.take(REQUESTS[0]) for m in materials), strict=True))
    assert torch.equal(c, a @ b)
    r, square = (sum(parts) for parts in zip(*(m.take(REQUESTS[1]) for m in materials), strict=True))
    assert torch.equal(square, r * r)


def test_the_same_request_gives_the_same_bytes(keys, receiver):
    _, request = make(keys, receiver)
    first, second = (b"".join(dealer(keys).corrections(request, receiver)) for _ in range(2))
    assert first == second
    assert len(first) == PLAN.correction_bytes


def test_another_caller_gets_nothing(keys, receiver):
    _, request = make(keys, receiver)
    with pytest.raises(errors.SealingFailed):
        dealer(keys).corrections(request, Signer.generate().address)


@pytest.mark.parametrize(
    "context",
    [
        {"material_id": b"n" * 16},
        {"plan_digest": bytes(32)},
        {"seed_commitments": [bytes(32)] * PARTIES},
        {"batches": 2},
    ],
)
def test_seeds_sealed_for_something_else_are_refused(keys, receiver, context):
    _, request = make(keys, receiver, **context)
    with pytest.raises(errors.SealingFailed):
        dealer(keys).corrections(request, receiver)


def test_a_seed_that_does_not_open_its_commitment_is_refused(keys, receiver):
    seeds = [fresh_seed() for _ in range(PARTIES)]
    commitments = tuple(seed_commitment(MATERIAL, index, seed) for index, seed in enumerate(seeds))
    seeds[1] = fresh_seed()
    _, request = make(keys, receiver, seeds=seeds, seed_commitments=commitments)
    request = dataclasses.replace(request, seed_commitments=commitments)
    with pytest.raises(errors.CommitmentMismatch) as caught:
        dealer(keys).corrections(request, receiver)
    assert caught.value.party == 1


def test_a_seed_of_another_length_is_refused(keys, receiver):
    _, request = make(keys, receiver, seeds=[b"short", fresh_seed(), fresh_seed()])
    with pytest.raises(errors.InvalidRequest, match="party 0"):
        dealer(keys).corrections(request, receiver)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"material_id": b"short"}, errors.InvalidRequest),
        ({"plan": b"{}"}, errors.InvalidRequest),
        ({"plan": PLAN.to_bytes() + b" "}, errors.InvalidRequest),
        ({"seed_commitments": ()}, errors.InvalidRequest),
        ({"sealed_seeds": ()}, errors.InvalidRequest),
        ({"seed_commitments": (b"x", b"y", b"z")}, errors.InvalidRequest),
    ],
)
def test_malformed_requests_are_refused(keys, receiver, change, error):
    _, request = make(keys, receiver)
    with pytest.raises(error):
        dealer(keys).corrections(dataclasses.replace(request, **change), receiver)


def test_limits_are_kept(keys, receiver):
    _, request = make(keys, receiver)
    with pytest.raises(errors.MessageTooLarge):
        dealer(keys, max_plan_bytes=10).corrections(request, receiver)
    with pytest.raises(errors.InvalidRequest, match="limit"):
        dealer(keys, max_correction_bytes=10).corrections(request, receiver)
    _, three = make(keys, receiver, batches=3)
    three = dataclasses.replace(three, batches=3)
    assert len(b"".join(dealer(keys).corrections(three, receiver))) == 3 * PLAN.correction_bytes
    with pytest.raises(errors.MessageTooLarge):
        dealer(keys, max_correction_bytes=2 * PLAN.correction_bytes).corrections(three, receiver)
    with pytest.raises(errors.InvalidRequest):
        dealer(keys).corrections(dataclasses.replace(request, batches=65), receiver)


@pytest.mark.parametrize("sizes", [[], [1], [3, 4, 5], [8, 8], [100], [0, 7, 1, 0]])
def test_chunks_hold_the_same_bytes(sizes):
    pieces = [bytes([index]) * size for index, size in enumerate(sizes)]
    chunks = list(in_chunks(pieces, 8))
    assert b"".join(chunks) == b"".join(pieces)
    assert all(len(chunk) == 8 for chunk in chunks[:-1])
    assert all(chunks)


def test_a_chunk_fits_a_message():
    assert CHUNK_BYTES <= 4 << 20


def test_work_is_limited_for_all_batches_together(keys, receiver):
    work = sum(request.work for request in PLAN.requests)
    _, request = make(keys, receiver)
    assert dealer(keys, max_work=work).corrections(request, receiver)
    with pytest.raises(errors.InvalidRequest, match="limit"):
        dealer(keys, max_work=work - 1).corrections(request, receiver)
    with pytest.raises(errors.MessageTooLarge, match="2 times"):
        dealer(keys, max_work=2 * work - 1).corrections(dataclasses.replace(request, batches=2), receiver)
