"""The coordinator's store: jobs move only forward, results are encrypted, receipts reach the chain exactly once."""

from dataclasses import replace
from pathlib import Path

import pytest

from mpc_infer.encoding import to_address
from mpc_infer.errors import JobConflict, JobNotFound, ModelNotFound, NotFound, ReceiptNotFound, StoreError
from mpc_infer.ids import JobId, ModelHash, PartySetId
from mpc_infer.store import (
    BatchState,
    CoordinatorStore,
    JobState,
    ModelListing,
    NewJob,
    ReceiptRecord,
)
from tests.unit.store.conftest import KEY

ALICE, BOB = to_address(b"\xaa" * 20), to_address(b"\xbb" * 20)
PARTIES = PartySetId(b"P" * 32)
MODEL = ModelListing(ModelHash(b"m" * 32), "digits", 1, b"manifest", b"graph", b"holdings")
ROOT = b"\x09" * 32


def job(number: int, owner: str = ALICE) -> NewJob:
    return NewJob(job_id(number), to_address(bytes.fromhex(owner[2:])), MODEL.model_hash, b"d" * 32, b"request", 1000)


def job_id(number: int) -> JobId:
    return JobId(number.to_bytes(32, "big"))


def receipt(number: int, party_set: PartySetId = PARTIES) -> ReceiptRecord:
    return ReceiptRecord(job_id(number), b"R" + number.to_bytes(31, "big"), b"signed", party_set)


def finish(store: CoordinatorStore, *numbers: int) -> list[bytes]:
    for number in numbers:
        store.add_job(job(number))
        store.finish_job(job_id(number), b"result", receipt(number), 2000)
    return [receipt(number).digest for number in numbers]


def test_models(coordinator: CoordinatorStore) -> None:
    second = replace(MODEL, model_hash=ModelHash(b"n" * 32), version=2)
    other = replace(MODEL, model_hash=ModelHash(b"o" * 32), name="cancer")
    for model in (second, MODEL, other, replace(MODEL, manifest=b"changed")):
        coordinator.put_model(model)
    assert coordinator.model(MODEL.model_hash) == MODEL
    assert coordinator.models("digits") == [MODEL, second]
    assert coordinator.models() == [other, MODEL, second]
    assert coordinator.models("nothing") == []
    with pytest.raises(ModelNotFound):
        coordinator.model(ModelHash(b"x" * 32))


def test_the_way_of_a_job(path: Path, coordinator: CoordinatorStore) -> None:
    assert coordinator.add_job(job(1)) is None
    accepted = coordinator.job(job_id(1))
    assert (accepted.state, accepted.result, accepted.created_ms) == (JobState.ACCEPTED, None, 1000)
    coordinator.start_job(job_id(1), 1500)
    assert coordinator.job(job_id(1)).state == JobState.RUNNING
    coordinator.finish_job(job_id(1), b"result", receipt(1), 2000)
    coordinator.close()
    reopened = CoordinatorStore(path, KEY)
    done = reopened.job(job_id(1))
    assert (done.state, done.result, done.problem, done.updated_ms) == (JobState.DONE, b"result", None, 2000)
    assert (done.owner, done.model_hash, done.request) == (ALICE, MODEL.model_hash, b"request")
    assert reopened.receipt(job_id(1)) == receipt(1)


def test_the_same_job_again_and_another_under_its_id(coordinator: CoordinatorStore) -> None:
    coordinator.add_job(job(1))
    coordinator.finish_job(job_id(1), b"result", receipt(1), 2000)
    again = coordinator.add_job(replace(job(1), created_ms=9999))
    assert again is not None
    assert (again.state, again.result, again.created_ms) == (JobState.DONE, b"result", 1000)
    for other in (replace(job(1), request_digest=b"e" * 32), job(1, owner=BOB)):
        with pytest.raises(JobConflict):
            coordinator.add_job(other)


def test_a_failed_job(coordinator: CoordinatorStore) -> None:
    coordinator.add_job(job(1))
    coordinator.start_job(job_id(1), 1500)
    coordinator.fail_job(job_id(1), b"problem", 1600)
    failed = coordinator.job(job_id(1))
    assert (failed.state, failed.problem, failed.result) == (JobState.FAILED, b"problem", None)
    with pytest.raises(ReceiptNotFound):
        coordinator.receipt(job_id(1))


def test_jobs_move_only_forward(coordinator: CoordinatorStore) -> None:
    coordinator.add_job(job(1))
    coordinator.add_job(job(2))
    coordinator.finish_job(job_id(1), b"result", receipt(1), 2000)
    coordinator.fail_job(job_id(2), b"problem", 2000)
    for number in (1, 2, 3):
        with pytest.raises(StoreError):
            coordinator.start_job(job_id(number), 3000)
        with pytest.raises(StoreError):
            coordinator.fail_job(job_id(number), b"late", 3000)
        with pytest.raises(StoreError):
            coordinator.finish_job(job_id(number), b"late", receipt(7), 3000)
    assert coordinator.job(job_id(1)).result == b"result"
    assert coordinator.outbox.unbatched_receipts(10) == [receipt(1)]


def test_a_result_without_its_receipt_is_not_written(coordinator: CoordinatorStore) -> None:
    finish(coordinator, 1)
    coordinator.add_job(job(2))
    with pytest.raises(StoreError, match="UNIQUE"):
        coordinator.finish_job(job_id(2), b"result", replace(receipt(2), digest=receipt(1).digest), 2000)
    assert coordinator.job(job_id(2)).state == JobState.ACCEPTED


def test_unknown_jobs(coordinator: CoordinatorStore) -> None:
    with pytest.raises(JobNotFound):
        coordinator.job(job_id(1))
    with pytest.raises(ReceiptNotFound):
        coordinator.receipt(job_id(1))


def test_what_a_restart_finds(path: Path, coordinator: CoordinatorStore) -> None:
    for number in range(4):
        coordinator.add_job(replace(job(number), created_ms=100 - number))
    coordinator.start_job(job_id(1), 5)
    coordinator.fail_job(job_id(2), b"problem", 5)
    coordinator.finish_job(job_id(3), b"result", receipt(3), 5)
    coordinator.close()
    reopened = CoordinatorStore(path, KEY)
    assert [found.job_id for found in reopened.unfinished_jobs()] == [job_id(1), job_id(0)]
    assert len(reopened.unfinished_jobs(limit=1)) == 1


def test_the_way_of_a_batch(path: Path, coordinator: CoordinatorStore) -> None:
    digests = finish(coordinator, 3, 1, 2)
    assert [found.digest for found in coordinator.outbox.unbatched_receipts(10)] == digests
    assert [found.digest for found in coordinator.outbox.unbatched_receipts(2)] == digests[:2]
    coordinator.outbox.create_batch(ROOT, PARTIES, digests[:2], 3000)
    pending = coordinator.outbox.batch(ROOT)
    assert (pending.state, pending.digests, pending.party_set) == (BatchState.PENDING, tuple(digests[:2]), PARTIES)
    assert coordinator.outbox.unbatched_count() == 1
    coordinator.outbox.sign_batch(ROOT, b"signatures")
    coordinator.close()

    reopened = CoordinatorStore(path, KEY)
    (signed,) = reopened.outbox.open_batches()
    assert (signed.state, signed.signatures, signed.transaction) == (BatchState.SIGNED, b"signatures", None)
    reopened.outbox.anchor_batch(ROOT, b"tx", 12, 80_000, 4000)
    anchored = reopened.outbox.batch(ROOT)
    assert (anchored.state, anchored.transaction, anchored.block, anchored.gas_used) == (
        BatchState.ANCHORED,
        b"tx",
        12,
        80_000,
    )
    assert reopened.outbox.open_batches() == []
    assert [reopened.job(job_id(number)).state for number in (3, 1, 2)] == [
        JobState.ANCHORED,
        JobState.ANCHORED,
        JobState.DONE,
    ]
    assert reopened.job(job_id(3)).result == b"result"
    placed = reopened.receipt(job_id(1))
    assert (placed.batch_root, placed.batch_index) == (ROOT, 1)


def test_a_receipt_is_in_one_batch(coordinator: CoordinatorStore) -> None:
    digests = finish(coordinator, 1, 2)
    coordinator.outbox.create_batch(ROOT, PARTIES, digests[:1], 3000)
    for chosen in (digests, [digests[1]] * 2, [b"x" * 32], []):
        with pytest.raises(StoreError):
            coordinator.outbox.create_batch(b"\x08" * 32, PARTIES, chosen, 3000)
    with pytest.raises(StoreError):
        coordinator.outbox.create_batch(b"\x08" * 32, PartySetId(b"Q" * 32), digests[1:], 3000)
    with pytest.raises(StoreError):
        coordinator.outbox.create_batch(ROOT, PARTIES, digests[1:], 3000)
    assert [found.digest for found in coordinator.outbox.unbatched_receipts(10)] == digests[1:]
    assert [found.root for found in coordinator.outbox.open_batches()] == [ROOT]


def test_batches_move_only_forward(coordinator: CoordinatorStore) -> None:
    coordinator.outbox.create_batch(ROOT, PARTIES, finish(coordinator, 1), 3000)
    with pytest.raises(StoreError):
        coordinator.outbox.anchor_batch(ROOT, b"tx", 1, 1, 4000)
    coordinator.outbox.sign_batch(ROOT, b"old keys")
    coordinator.outbox.sign_batch(ROOT, b"new keys")
    coordinator.outbox.anchor_batch(ROOT, b"tx", 1, 1, 4000)
    with pytest.raises(StoreError):
        coordinator.outbox.sign_batch(ROOT, b"late")
    with pytest.raises(StoreError):
        coordinator.outbox.anchor_batch(ROOT, b"tx2", 2, 2, 5000)
    assert coordinator.outbox.batch(ROOT).transaction == b"tx"


def test_an_unknown_batch(coordinator: CoordinatorStore) -> None:
    with pytest.raises(NotFound):
        coordinator.outbox.batch(ROOT)
    with pytest.raises(StoreError):
        coordinator.outbox.sign_batch(ROOT, b"signatures")


def test_results_do_not_lie_open(path: Path, coordinator: CoordinatorStore) -> None:
    coordinator.add_job(job(1))
    coordinator.finish_job(job_id(1), b"the result is secret", receipt(1), 2000)
    assert b"secret" not in repr(coordinator.job(job_id(1))).encode()
    coordinator.close()
    data = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"signed" in data
    assert b"secret" not in data
    with pytest.raises(StoreError, match="cannot be decrypted"):
        CoordinatorStore(path, bytes(32)).job(job_id(1))
