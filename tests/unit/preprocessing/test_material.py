"""What the parties expand and what the dealer corrects belong together, and can be used once."""

import functools
import operator
import secrets

import numpy as np
import pytest
import torch

from mpc_infer.errors import InvalidRequest, MaterialUnusable
from mpc_infer.preprocessing import (
    Batch,
    BinaryProduct,
    Plan,
    Product,
    RandomBit,
    Square,
    Truncation,
    batch_seed,
    corrections,
    expand,
    read_batches,
    read_corrections,
)
from mpc_infer.preprocessing.corrections import logical_shift

ID = bytes(16)
REQUESTS = (
    Product("matmul", (4, 3), (3, 2)),
    Product("matmul", (2, 4, 3), (3, 2)),
    Product("mul", (4, 1), (5,)),
    Square((7,)),
    BinaryProduct((2, 4)),
    RandomBit((65,)),
    RandomBit((3, 64)),
    Truncation((4, 2), 16),
    Truncation((1000,), 1),
)


def plan_of(*requests, parties=3):
    return Plan("crypten", bytes(32), 1, parties, 16, 0, 0, requests)


def make(plan):
    seeds = [secrets.token_bytes(32) for _ in range(plan.parties)]
    given = read_corrections(corrections(seeds, plan), plan)
    last = plan.parties - 1
    return [expand(seed, plan, party, ID, given if party == last else None) for party, seed in enumerate(seeds)]


def opened(materials, request):
    for item in materials:
        item.start()
    parts = zip(*(item.take(request) for item in materials), strict=True)
    return [list(part) for part in parts]


def add(shares):
    return functools.reduce(operator.add, shares)


def xor(shares):
    return functools.reduce(operator.xor, shares)


@pytest.mark.parametrize("parties", [2, 3, 4, 5])
@pytest.mark.parametrize("request_", REQUESTS, ids=str)
def test_parts_fit(request_, parties):
    parts = opened(make(plan_of(request_, parties=parties)), request_)
    if isinstance(request_, Product):
        a, b, c = map(add, parts)
        assert a.shape == request_.left
        assert b.shape == request_.right
        assert torch.equal(c, getattr(torch, request_.op)(a, b))
    elif isinstance(request_, Square):
        r, square = map(add, parts)
        assert torch.equal(square, r * r)
    elif isinstance(request_, BinaryProduct):
        a, b, c = map(xor, parts)
        assert torch.equal(c, a & b)
    elif isinstance(request_, RandomBit):
        binary, arithmetic = xor(parts[0]), add(parts[1])
        assert torch.equal(binary, arithmetic)
        assert set(binary.unique().tolist()) == {0, 1}
        assert binary.shape == request_.shape
    else:
        r, shifted, top = map(add, parts)
        assert torch.equal(shifted, logical_shift(r, request_.bits))
        assert torch.equal(top, (r < 0).long())


def test_every_share_of_every_part_is_uniform():
    # Chi-square over 256 byte values with 255 degrees of freedom: beyond 400 with a probability below 1e-8.
    for request in (Product("mul", (20_000,), (20_000,)), Truncation((20_000,), 16), BinaryProduct((20_000,))):
        for shares in opened(make(plan_of(request)), request):
            for share in shares:
                counts = np.bincount(share.numpy().view(np.uint8), minlength=256)
                expected = counts.sum() / 256
                assert ((counts - expected) ** 2 / expected).sum() < 400


def test_the_same_request_gives_the_same_bytes():
    seeds = [bytes([party]) * 32 for party in range(3)]
    plan = plan_of(*REQUESTS)
    first, second = (b"".join(corrections(seeds, plan)) for _ in range(2))
    assert first == second
    assert len(first) == plan.correction_bytes
    assert b"".join(corrections([seeds[0], seeds[2], seeds[1]], plan)) != first


def test_corrections_come_in_small_pieces():
    plan = plan_of(Square((1 << 18,)), parties=2)
    sizes = [len(piece) for piece in corrections([bytes(32), bytes(32)], plan)]
    assert sizes == [1 << 20, 1 << 20, 32]


def test_a_seed_for_each_party():
    with pytest.raises(InvalidRequest):
        list(corrections([bytes(32)] * 2, plan_of(*REQUESTS)))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data + b"x",
        lambda data: b"",
        lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    ],
    ids=["short", "long", "empty", "flipped", "digest"],
)
def test_damaged_corrections_are_refused(damage):
    plan = plan_of(*REQUESTS)
    data = b"".join(corrections([secrets.token_bytes(32)] * 3, plan))
    with pytest.raises(MaterialUnusable):
        read_corrections([damage(data)], plan)


def test_corrections_of_another_plan_are_refused():
    first, second = plan_of(Square((4,))), plan_of(BinaryProduct((4,)))
    with pytest.raises(MaterialUnusable, match="another plan"):
        read_corrections(corrections([bytes(32)] * 3, first), second)


def test_an_endless_answer_is_cut_off():
    def endless():
        while True:
            yield bytes(1 << 20)

    with pytest.raises(MaterialUnusable):
        read_corrections(endless(), plan_of(*REQUESTS))


def test_only_the_last_party_takes_corrections():
    plan = plan_of(*REQUESTS)
    given = read_corrections(corrections([bytes(32)] * 3, plan), plan)
    with pytest.raises(MaterialUnusable):
        expand(bytes(32), plan, 0, ID, given)
    with pytest.raises(MaterialUnusable):
        expand(bytes(32), plan, 2, ID)


def test_material_is_used_once_in_order():
    plan = plan_of(Square((2,)), Truncation((2,), 16), parties=2)
    material = make(plan)[0]
    with pytest.raises(MaterialUnusable):
        material.take(Square((2,)))
    material.start()
    with pytest.raises(MaterialUnusable, match="wants"):
        material.take(Truncation((2,), 16))
    material.take(Square((2,)))
    with pytest.raises(MaterialUnusable, match="not used"):
        material.finish()
    material.take(Truncation((2,), 16))
    material.finish()
    with pytest.raises(MaterialUnusable):
        material.take(Square((2,)))
    with pytest.raises(MaterialUnusable):
        material.start()


def test_discarded_material_is_gone():
    material = make(plan_of(Square((2,)), parties=2))[0]
    material.discard()
    with pytest.raises(MaterialUnusable):
        material.start()
    with pytest.raises(MaterialUnusable):
        material.take(Square((2,)))


def test_nothing_secret_in_its_text():
    material = make(plan_of(Square((2,)), parties=2))[0]
    assert "tensor" not in repr(material)


def test_every_batch_has_its_own_seed_and_each_holds():
    plan = plan_of(*REQUESTS)
    seeds = [secrets.token_bytes(32) for _ in range(3)]
    data = b"".join(corrections(seeds, plan, 3))
    assert data.startswith(b"".join(corrections(seeds, plan)))
    drawn = set()
    for index, given in enumerate(read_batches([data], plan, 3)):
        mine = [batch_seed(seed, index) for seed in seeds]
        batches = [Batch(ID, mine[0], bytearray()), Batch(ID, mine[1], bytearray()), Batch(ID, mine[2], given)]
        a, b, c = map(add, opened([each.expand(plan, rank) for rank, each in enumerate(batches)], REQUESTS[0]))
        assert torch.equal(c, a @ b if REQUESTS[0].op == "matmul" else a * b)
        drawn |= {a.numpy().tobytes(), *mine}
    assert len(drawn) == 3 * (1 + 3)


def test_the_seed_of_a_batch_is_of_the_exchange_and_not_of_the_model():
    seed = bytes(range(32))
    assert batch_seed(seed, 1) == batch_seed(seed + secrets.token_bytes(32), 1)
    assert batch_seed(seed, 1).hex() == "125376869ef511447aba676eb7f167fe889531780c13530fb937247c9dcc8b96"


def test_batches_come_one_at_a_time():
    plan, given = plan_of(*REQUESTS), []

    def pieces():
        for index, piece in enumerate(corrections([bytes(32)] * 3, plan, 3)):
            given.append(index)
            yield piece

    per_batch = len(list(corrections([bytes(32)] * 3, plan)))
    for number, _ in enumerate(read_batches(pieces(), plan, 3), 1):
        assert len(given) == number * per_batch


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data + b"x", lambda data: data[1:] + b"x"])
def test_a_damaged_or_missing_batch_is_noticed(damage):
    plan = plan_of(*REQUESTS)
    data = b"".join(corrections([bytes(32)] * 3, plan, 2))
    for sizes in (len(data), 7):
        pieces = [damage(data)[start : start + sizes] for start in range(0, len(data) + 1, sizes)]
        with pytest.raises(MaterialUnusable):
            list(read_batches(pieces, plan, 2))
