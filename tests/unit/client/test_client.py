"""The whole way of a request, from arrays to a verified bundle, on the simulated network."""

from pathlib import Path

import numpy as np
import pytest

from mpc_infer.errors import (
    DeadlineExpired,
    InvalidRequest,
    ModelNotFound,
    NotFinite,
    OpeningMismatch,
    OutOfRange,
    ReceiptInvalid,
    ReceiptSignatureInvalid,
    WrongDtype,
    WrongShape,
)
from mpc_infer.evidence.bundle import Bundle
from mpc_infer.evidence.eip712 import JobRequest
from mpc_infer.v1 import coordinator_pb2
from tests.unit.coordinator.simulation import BIAS, IMPORTED, Network

ROWS = np.array([[1.0, 2.0, 3.0], [-4.0, 0.25, 1000.0]])


@pytest.mark.parametrize("delivery", ["coordinator", "client"])
@pytest.mark.parametrize("suite", ["MLKEM768_X25519", "X25519"])
async def test_a_result_comes_back_with_evidence(net: Network, delivery: str, suite: str, tmp_path: Path) -> None:
    client = net.client(suite=suite)
    result = await client.infer("shift", {"x": ROWS}, delivery=delivery, anchored=True)
    np.testing.assert_array_equal(result.outputs["y"], ROWS + BIAS)
    assert result.outputs["y"].dtype == np.float64
    assert result.timings.online_ms == 3.0
    assert result.cost.bytes_per_party == (32, 32, 32)
    bundle = await client.bundle(result)
    bundle.save(tmp_path / "bundle.json")
    verified = await client.verify(Bundle.load(tmp_path / "bundle.json"))
    assert len(verified.steps) == 7
    assert verified.receipt.job_id == result.job_id
    assert verified.inclusion.block in range(2, net.chain.height + 1)


async def test_the_coordinator_cannot_open_what_is_sealed_to_the_client(net: Network) -> None:
    client = net.client()
    await client.infer("shift", {"x": ROWS}, delivery="client")
    job = (await client.core.door.call("GetJob", coordinator_pb2.GetJobRequest(job_id=_last_job(client)), 0)).job
    assert not job.openings
    assert not job.result
    assert len(job.sealed_outputs) == 3


async def test_without_openings_a_bundle_verifies_and_does_not_reveal_the_result(net: Network) -> None:
    client = net.client()
    result = await client.infer("shift", {"x": ROWS}, anchored=True)
    bundle = await client.bundle(result, openings=False)
    assert bundle.output_openings is None
    assert (await client.verify(bundle, offline=True)).members == result.members


async def test_submit_watch_get(net: Network) -> None:
    client = net.client()
    submission = await client.submit("shift", {"x": ROWS})
    states = [status.state async for status in client.watch(submission)]
    assert states[-1] == "ANCHORED"
    result = await client.get(submission)
    np.testing.assert_array_equal(result.outputs["y"], ROWS + BIAS)


async def test_warm_caches_cost_no_read_of_the_chain(net: Network) -> None:
    client = net.client()
    await client.infer("shift", {"x": ROWS})
    door = client.core.door
    door.sent.clear()
    await client.infer("shift", {"x": ROWS})
    assert [method for method, _ in door.sent] == ["SubmitJob"]


@pytest.mark.parametrize(
    ("inputs", "error", "name"),
    [
        ({"x": ROWS[:, :2]}, WrongShape, "'x'"),
        ({"x": ROWS[0]}, WrongShape, "'x'"),
        ({"x": ROWS[:0]}, WrongShape, "'x'"),
        ({}, WrongShape, "'x'"),
        ({"x": ROWS, "z": ROWS}, WrongShape, "'z'"),
        ({"x": [[1.0, 2.0, 3.0], [1.0]]}, WrongShape, "'x'"),
        ({"x": ROWS.astype(str)}, WrongDtype, "'x'"),
        ({"x": ROWS.astype(complex)}, WrongDtype, "'x'"),
        ({"x": [[np.nan, 0, 0]]}, NotFinite, "'x'"),
        ({"x": [[np.inf, 0, 0]]}, NotFinite, "'x'"),
        ({"x": [[2.0**15, 0, 0]]}, OutOfRange, "'x'"),
        ({"x": [[-(2.0**15), 0, 0]]}, OutOfRange, "'x'"),
    ],
)
async def test_bad_inputs_are_refused_by_name_before_anything_is_sent(
    net: Network, inputs: dict[str, object], error: type[Exception], name: str
) -> None:
    client = net.client()
    with pytest.raises(error, match=name):
        await client.infer("shift", inputs)
    assert "SubmitJob" not in [method for method, _ in client.core.door.sent]


async def test_an_unknown_model_a_wrong_delivery_and_a_wrong_deadline(net: Network) -> None:
    client = net.client()
    with pytest.raises(ModelNotFound):
        await client.infer("nothing", {"x": ROWS})
    with pytest.raises(InvalidRequest, match="delivery"):
        await client.infer("shift", {"x": ROWS}, delivery="pigeon")
    for deadline_s in (0.0, -1.0, 1e9, float("nan")):
        with pytest.raises(InvalidRequest, match="deadline_s"):
            await client.infer("shift", {"x": ROWS}, deadline_s=deadline_s)


async def test_an_expired_deadline_is_refused_by_the_coordinator(net: Network) -> None:
    client = net.client()
    submission = await client._jobs.prepare("shift", {"x": ROWS}, "coordinator", 5.0, detach=False)
    net.clock.advance(5_001)
    with pytest.raises(DeadlineExpired):
        await client._jobs.send(submission)


def _flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _other_result(job: coordinator_pb2.Job) -> None:
    job.result = _flip(job.result)


def _other_share(job: coordinator_pb2.Job) -> None:
    job.openings[1].share = _flip(job.openings[1].share)


def _other_salt(job: coordinator_pb2.Job) -> None:
    job.openings[1].salt = _flip(job.openings[1].salt)


def _other_commitment(job: coordinator_pb2.Job) -> None:
    job.output_commitments[0] = _flip(job.output_commitments[0])


def _other_session(job: coordinator_pb2.Job) -> None:
    job.session_id = _flip(job.session_id)


def _fewer_openings(job: coordinator_pb2.Job) -> None:
    del job.openings[2]


def _swapped_openings(job: coordinator_pb2.Job) -> None:
    first, second = (type(job.openings[0]).FromString(job.openings[i].SerializeToString()) for i in (0, 1))
    job.openings[0].CopyFrom(second)
    job.openings[1].CopyFrom(first)


@pytest.mark.parametrize(
    "change",
    [
        _other_result,
        _other_share,
        _other_salt,
        _other_commitment,
        _other_session,
        _fewer_openings,
        _swapped_openings,
    ],
)
async def test_a_coordinator_that_changes_the_result_is_caught(net: Network, change: object) -> None:
    with pytest.raises(OpeningMismatch):
        await _infer_tampered(net, change)


def _drop_signature(job: coordinator_pb2.Job) -> None:
    del job.receipt.signatures[0]


def _double_signature(job: coordinator_pb2.Job) -> None:
    job.receipt.signatures[1].CopyFrom(job.receipt.signatures[0])


def _other_signature(job: coordinator_pb2.Job) -> None:
    signature = job.receipt.signatures[2]
    signature.signature = _flip(signature.signature[:-1]) + signature.signature[-1:]


@pytest.mark.parametrize("change", [_drop_signature, _double_signature, _other_signature])
async def test_a_receipt_needs_every_partys_signature(net: Network, change: object) -> None:
    with pytest.raises(ReceiptSignatureInvalid):
        await _infer_tampered(net, change)


@pytest.mark.parametrize("word", range(14))
async def test_a_receipt_with_any_field_flipped_is_refused(net: Network, word: int) -> None:
    def change(job: coordinator_pb2.Job) -> None:
        words = bytearray(job.receipt.receipt)
        words[32 * word + 31] ^= 1
        job.receipt.receipt = bytes(words)

    with pytest.raises(ReceiptInvalid):
        await _infer_tampered(net, change)


async def test_the_receipt_of_another_job_is_refused(net: Network) -> None:
    client = net.client()
    await client.infer("shift", {"x": ROWS})
    earlier = (await client.core.door.call("GetJob", coordinator_pb2.GetJobRequest(job_id=_last_job(client)), 0)).job

    def change(job: coordinator_pb2.Job) -> None:
        job_id = job.job_id
        job.CopyFrom(earlier)
        job.job_id = job_id

    with pytest.raises(ReceiptInvalid, match="job_id"):
        await _infer_tampered(net, change)


async def test_a_model_can_be_retired_and_replaced(net: Network) -> None:
    client = net.client()
    old = (await client.models("shift"))[0]
    await client.deprecate(old.hash)
    with pytest.raises(ModelNotFound):
        await client.infer("shift", {"x": ROWS})
    published = await client.publish(IMPORTED, "shift", 2)
    assert published.manifest.version == 2
    assert (await client.infer("shift", {"x": ROWS})).model_hash == published.model_hash


def _last_job(client: object) -> bytes:
    sent = [request for method, request in client.core.door.sent if method == "SubmitJob"]  # type: ignore[attr-defined]
    return JobRequest.from_words(sent[-1].job_request).job_id


async def _infer_tampered(net: Network, change: object) -> None:
    client = net.client()

    def tamper(method: str, answer: object) -> object:
        if method == "SubmitJob":
            change(answer.job)  # type: ignore[attr-defined, operator]
        return answer

    client.core.door.tamper = tamper
    await client.infer("shift", {"x": ROWS})
