import hashlib

import pytest

from mpc_infer.errors import CommitmentMismatch, InvalidInput, InvalidRequest, ModelShareMismatch, SealingFailed
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId
from mpc_infer.sharing import (
    fresh_salt,
    input_context,
    join_opening,
    model_context,
    open_commitment,
    output_context,
    sealed_input_context,
    sealed_model_context,
    sealed_result_context,
    sealed_seed_context,
    seed_commitment,
    share_commitment,
    split_opening,
)

A = Address("0x" + "aA" * 20)
B = Address("0x" + "bb" * 20)
SALT, CONTEXT, SHARE = b"s" * 32, b"c" * 32, b"share"
COMMITMENT = share_commitment(SALT, CONTEXT, SHARE)


def test_the_commitment_is_the_documented_hash():
    parts = [b"mpc-infer/v1/share-commitment", SALT, CONTEXT, SHARE]
    plain = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    assert hashlib.sha256(plain).digest() == COMMITMENT


def test_what_was_committed_opens():
    open_commitment(COMMITMENT, SALT, CONTEXT, SHARE)


@pytest.mark.parametrize(
    ("salt", "context", "share"),
    [
        (b"t" * 32, CONTEXT, SHARE),
        (SALT, b"d" * 32, SHARE),
        (SALT, CONTEXT, b"Share"),
        (SALT, CONTEXT, SHARE + b"\0"),
        (SALT, CONTEXT + b"s", SHARE[1:]),
        (SALT[:31], CONTEXT, SHARE),
        (b"", CONTEXT, SHARE),
    ],
)
def test_nothing_else_opens(salt, context, share):
    with pytest.raises(CommitmentMismatch):
        open_commitment(COMMITMENT, salt, context, share)


def test_the_caller_chooses_the_error():
    with pytest.raises(ModelShareMismatch):
        open_commitment(COMMITMENT, SALT, CONTEXT, b"", ModelShareMismatch)


def test_a_salt_has_32_bytes():
    assert len(fresh_salt()) == 32
    assert fresh_salt() != fresh_salt()
    for make in (lambda: share_commitment(b"", CONTEXT, SHARE), lambda: join_opening(b"s" * 31, SHARE)):
        with pytest.raises(InvalidInput):
            make()


def test_openings_come_apart_as_they_were_joined():
    assert split_opening(join_opening(SALT, SHARE)) == (SALT, SHARE)
    with pytest.raises(SealingFailed):
        split_opening(b"s" * 31)


def contexts():
    job, other_job, model = JobId(b"j" * 32), JobId(b"k" * 32), ModelHash(b"m" * 32)
    session, material, plan = SessionId(b"s" * 16), MaterialId(b"s" * 16), b"p" * 32
    yield from (input_context(j, model, p) for j in (job, other_job) for p in (A, B))
    yield from (output_context(session, j, p) for j in (job, other_job) for p in (A, B))
    yield from (model_context(plan, o, "name", v, p) for o in (A, B) for v in (1, 2) for p in (A, B))
    yield from (sealed_input_context(j, model, o, p) for j in (job, other_job) for o in (A, B) for p in (A, B))
    yield from (sealed_model_context(model, p) for p in (A, B))
    yield from (sealed_result_context(j, p) for j in (job, other_job) for p in (A, B))
    yield from (
        sealed_seed_context(material, plan, commitments, index, receiver, batches)
        for commitments in ([b"1" * 32, b"2" * 32], [b"2" * 32, b"1" * 32], [b"1" * 32], [b"1" * 32 + b"2" * 32])
        for index in (0, 1)
        for receiver in (A, B)
        for batches in (1, 2)
    )
    yield from (seed_commitment(material, index, seed) for index in (0, 1) for seed in (b"x" * 32, b"y" * 32))


def test_no_two_contexts_are_the_same():
    found = list(contexts())
    assert len(set(found)) == len(found)
    assert all(len(context) == 32 for context in found)


def test_the_spelling_of_an_address_does_not_matter():
    job, model = JobId(b"j" * 32), ModelHash(b"m" * 32)
    assert input_context(job, model, A) == input_context(job, model, Address(A.lower()))
    with pytest.raises(InvalidRequest):
        input_context(job, model, Address("0x1234"))
