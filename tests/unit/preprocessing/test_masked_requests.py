"""Requests as they stand in plans, and that what the dealer says to the last party is uniform."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mpc_infer.engine.masked.compiler import compile_graph
from mpc_infer.errors import InvalidRequest
from mpc_infer.preprocessing import ModelMasks, corrections, expand, read_corrections
from mpc_infer.preprocessing.masked_dealer import weight_mask
from mpc_infer.preprocessing.masked_requests import (
    MAX_AXES,
    MAX_INPUTS,
    MAX_NUMBER,
    MAX_PARAMS,
    OPERATIONS,
    Kind,
    MaskedRequest,
    from_fields,
    packed,
    to_fields,
)
from mpc_infer.sharing import FixedPoint, fresh_seed
from tests.protocol.test_masked_openings import chi_square, network


def test_a_request_goes_there_and_back():
    request = MaskedRequest("sum", (0, 1), (2, 3), (1, -1, 1))
    assert from_fields(to_fields(request)) == request


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["open", [0], [1]],
        ["open", [0], [1], [0], 0],
        ["shut", [0], [1], [0]],
        [None, [0], [1], [0]],
        ["open", 0, [1], [0]],
        ["open", (0,), [1], [0]],
        ["open", [-1], [1], [0]],
        ["open", [0], [0], [0]],
        ["open", [0], [1.0], [0]],
        ["open", [True], [1], [0]],
        ["open", [0], [1], ["0"]],
        ["open", [0], [1], [None]],
        ["open", [0], [MAX_NUMBER + 1], [0]],
        ["open", [0], [1], [-MAX_NUMBER - 1]],
        ["open", [0] * (MAX_INPUTS + 1), [1], [0]],
        ["open", [0], [1] * (MAX_AXES + 1), [0]],
        ["open", [0], [1], [0] * (MAX_PARAMS + 1)],
    ],
)
def test_what_is_no_request_is_refused(fields):
    with pytest.raises(InvalidRequest):
        from_fields(fields)


def test_parts_begin_on_words():
    assert [packed(count, bits) for count, bits in ((1, 1), (64, 1), (65, 1), (3, 32), (9, 8))] == [
        (1,), (1,), (2,), (2,), (2,)
    ]  # fmt: skip


def test_what_a_linear_map_makes():
    assert MaskedRequest("reshape", (0,), (1,), (0,)).result is Kind.MASKED
    assert MaskedRequest("reshape", (0,), (1,), (1,)).result is Kind.SHARE
    assert all(operation.result is None or operation.reads is not None for operation in OPERATIONS.values())


@pytest.fixture(scope="module", params=[10**9, 1], ids=["fat", "lean"])
def plan(request):
    graph, _ = network()
    return compile_graph(graph, 12, 3, FixedPoint(), lean_from=request.param).plan


def test_what_each_party_holds_is_uniform(plan):
    # For two models and fixed seeds of the material at two of three parties: no mask shows in what a party is given.
    fixed = [fresh_seed(), fresh_seed()]
    for _ in range(2):
        seeds = [seed + fresh_seed() for seed in (fresh_seed(), *fixed)]
        given = read_corrections([b"".join(corrections(seeds, plan))], plan)
        for rank, seed in enumerate(seeds):
            material = expand(seed, plan, rank, bytes(16), given if rank == 2 else None)
            for request, parts in material._parts:
                for part in parts:
                    values = part.numpy().reshape(-1).view(np.uint8)
                    if values.size >= 5 * 256:
                        # Beyond 8 standard deviations with a probability below 1e-12.
                        assert abs(chi_square(values, 256) - 256) < 8 * np.sqrt(512) + 10, (rank, request.op)


def test_other_seeds_of_a_model_give_other_corrections(plan):
    material = [fresh_seed() for _ in range(3)]
    one, other = (
        b"".join(corrections([seed + model for seed in material], plan)) for model in (bytes(32), bytes([1]) * 32)
    )
    # Masks of weights stand in what only the dealer can know: some corrections are of that, and must move with it.
    assert one != other


def test_weight_masks_that_were_forgotten_are_made_again(plan):
    seeds = [fresh_seed() + fresh_seed() for _ in range(3)]
    answers = {b"".join(corrections(seeds, plan, 1, ModelMasks(most))) for most in (0, 1, 1 << 30)}
    kept = ModelMasks()
    answers |= {b"".join(corrections(seeds, plan, 1, kept)) for _ in range(2)}
    assert len(answers) == 1


def test_a_weights_mask_is_the_key_stream_that_the_page_names():
    seed, request = bytes(range(32)), MaskedRequest("weight", (), (3, 5), (7,))
    key = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"model-mask/7").derive(seed)
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(8 * 15))
    assert weight_mask(seed, request).tobytes() == stream
