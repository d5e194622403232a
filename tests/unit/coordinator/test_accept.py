"""What the coordinator refuses before it stores anything."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mpc_infer.coordinator.accept import MAX_AHEAD_MS, MAX_ROWS, submission_digest
from mpc_infer.errors import (
    BadSignature,
    DeadlineExpired,
    InvalidRequest,
    MpcInferError,
    NotPermitted,
    PartySetMismatch,
)
from mpc_infer.evidence.eip712 import JobRequest
from mpc_infer.identity.signer import Signer
from mpc_infer.v1 import coordinator_pb2
from tests.unit.coordinator.simulation import START_MS, Network

ROWS = np.array([[1.0, 2.0, 3.0]])


async def _message(net: Network, delivery: str = "coordinator") -> coordinator_pb2.SubmitJobRequest:
    submission = await net.client()._jobs.prepare("shift", {"x": ROWS}, delivery, 30.0, detach=False)
    message = coordinator_pb2.SubmitJobRequest()
    message.CopyFrom(submission.prepared.message)
    return message


def _resign(net: Network, message: coordinator_pb2.SubmitJobRequest, **fields: Any) -> None:
    request = replace(JobRequest.from_words(message.job_request), **fields)
    message.job_request = request.to_words()
    message.owner_signature.signature = net.owner.sign_digest(request.digest(net.chain.receipt_domain))


def _cut_words(message: Any) -> None:
    message.job_request = message.job_request[:-1]


def _drop_share(message: Any) -> None:
    del message.sealed_inputs[0]


def _drop_commitment(message: Any) -> None:
    del message.input_commitments[0]


def _long_commitment(message: Any) -> None:
    message.input_commitments[0] += b"x"


def _other_commitment(message: Any) -> None:
    message.input_commitments[0] = bytes(32)


def _empty_share(message: Any) -> None:
    message.sealed_inputs[2].ciphertext = b""


def _foreign_suite(message: Any) -> None:
    message.sealed_inputs[2].suite = 7


def _short_key_id(message: Any) -> None:
    message.sealed_inputs[2].key_id = b"short"


def _result_key(message: Any) -> None:
    message.result_key.suite = 2
    message.result_key.public_key = bytes(32)


@pytest.mark.parametrize(
    "change",
    [
        _cut_words,
        _drop_share,
        _drop_commitment,
        _long_commitment,
        _other_commitment,
        _empty_share,
        _foreign_suite,
        _short_key_id,
        _result_key,
    ],
)
async def test_malformed_jobs_are_refused(net: Network, change: Callable[[Any], None]) -> None:
    message = await _message(net)
    change(message)
    await _refused(net, message, InvalidRequest)


async def test_a_signature_by_somebody_else_is_refused(net: Network) -> None:
    other = Signer.generate()
    message = await _message(net)
    digest = JobRequest.from_words(message.job_request).digest(net.chain.receipt_domain)
    message.owner_signature.signature = other.sign_digest(digest)
    await _refused(net, message, BadSignature)
    message.owner_signature.signer = bytes.fromhex(other.address[2:])
    await _refused(net, message, BadSignature)


async def test_a_request_that_was_changed_after_signing_is_refused(net: Network) -> None:
    message = await _message(net)
    request = JobRequest.from_words(message.job_request)
    message.job_request = replace(request, nonce=bytes(32)).to_words()
    await _refused(net, message, BadSignature)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"party_set": bytes(32)}, PartySetMismatch),
        ({"rows": MAX_ROWS + 1}, InvalidRequest),
        ({"deadline": START_MS}, DeadlineExpired),
        ({"deadline": START_MS + MAX_AHEAD_MS + 1}, InvalidRequest),
        ({"owner": Signer.generate().address}, NotPermitted),
        ({"input_root": bytes(32)}, InvalidRequest),
    ],
)
async def test_signed_requests_with_wrong_values_are_refused(
    net: Network, fields: dict[str, Any], error: type[MpcInferError]
) -> None:
    message = await _message(net)
    _resign(net, message, **fields)
    await _refused(net, message, error)


async def test_the_result_key_is_the_one_that_was_signed(net: Network) -> None:
    message = await _message(net, "client")
    missing = coordinator_pb2.SubmitJobRequest()
    missing.CopyFrom(message)
    missing.ClearField("result_key")
    await _refused(net, missing, InvalidRequest)
    _result_key(message)
    await _refused(net, message, InvalidRequest)


async def test_every_part_of_a_submission_counts_but_detach(net: Network) -> None:
    message = await _message(net, "client")
    digest = submission_digest(message)
    message.detach = True
    assert submission_digest(message) == digest
    for change in (_other_commitment, _empty_share, _short_key_id, _result_key, _cut_words):
        other = coordinator_pb2.SubmitJobRequest()
        other.CopyFrom(message)
        change(other)
        assert submission_digest(other) != digest


async def _refused(net: Network, message: Any, error: type[MpcInferError]) -> None:
    with pytest.raises(error):
        await net.service.submit(message, net.owner.address)
    assert all("RunSession" not in party.calls for party in net.parties)
