"""Jobs that the coordinator refuses before it asks anybody: nothing is written anywhere, and nothing is used up.

Each refusal is followed by the honest job of the same id and the same nonce, which is accepted.
"""

import dataclasses
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.client.request import Prepared
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.errors import (
    BadSignature,
    DeadlineExpired,
    InvalidRequest,
    MessageTooLarge,
    MpcInferError,
    NotPermitted,
    PartySetMismatch,
)
from mpc_infer.identity import Keystore
from mpc_infer.rpc.channel import MAX_MESSAGE_BYTES, open_sync_channel
from mpc_infer.rpc.status import error_from_rpc
from mpc_infer.v1 import coordinator_pb2, coordinator_pb2_grpc
from tests.integration.books import nothing_written
from tests.integration.crafting import Crafter, now_ms

Make = Callable[..., Crafter]
Spoil = Callable[[Crafter, Prepared], Prepared]
NAME = "breast-cancer"
ROWS = np.zeros((2, 30), dtype=np.float32)
SECONDS = 30


def with_message(prepared: Prepared, change: Callable[[coordinator_pb2.SubmitJobRequest], object]) -> Prepared:
    """The same request, in another message."""
    message = coordinator_pb2.SubmitJobRequest()
    message.CopyFrom(prepared.message)
    change(message)
    return dataclasses.replace(prepared, message=message)


def signed(**changes: object) -> Spoil:
    """Another request, signed by the same owner."""
    return lambda client, prepared: client.changed(
        prepared, **{name: value() if callable(value) else value for name, value in changes.items()}
    )


def sent(change: Callable[[coordinator_pb2.SubmitJobRequest], object]) -> Spoil:
    """Another message around what was signed."""
    return lambda _, prepared: with_message(prepared, change)


def swap(message: coordinator_pb2.SubmitJobRequest) -> None:
    first, second = message.input_commitments[:2]
    message.input_commitments[:2] = [second, first]


def with_result_key(message: coordinator_pb2.SubmitJobRequest) -> None:
    message.result_key.public_key = bytes(32)


def words(data: bytes) -> Spoil:
    def put(message: coordinator_pb2.SubmitJobRequest) -> None:
        message.job_request = data

    return sent(put)


def flipped_signature(message: coordinator_pb2.SubmitJobRequest) -> None:
    signature = message.owner_signature.signature
    message.owner_signature.signature = signature[:9] + bytes([signature[9] ^ 1]) + signature[10:]


REFUSALS: dict[str, tuple[Spoil, type[MpcInferError]]] = {
    "no rows": (signed(rows=0), InvalidRequest),
    "too many rows": (signed(rows=1 << 40), InvalidRequest),
    "deadline passed": (signed(deadline=lambda: now_ms() - 1), DeadlineExpired),
    "deadline too far ahead": (signed(deadline=lambda: now_ms() + 10**9), InvalidRequest),
    "another party set": (signed(party_set=bytes(32)), PartySetMismatch),
    "another owner": (signed(owner="0x" + "11" * 20), NotPermitted),
    "commitments not signed": (sent(swap), InvalidRequest),
    "a commitment missing": (sent(lambda message: message.input_commitments.pop()), InvalidRequest),
    "a share missing": (sent(lambda message: message.sealed_inputs.pop()), InvalidRequest),
    "an empty share": (sent(lambda message: message.sealed_inputs[0].ClearField("ciphertext")), InvalidRequest),
    "a result key that nobody needs": (sent(with_result_key), InvalidRequest),
    "another signature": (sent(flipped_signature), BadSignature),
    "no signature": (sent(lambda message: message.ClearField("owner_signature")), BadSignature),
    "no words": (words(b""), InvalidRequest),
    "words too short": (words(bytes(319)), InvalidRequest),
    "words with dirty padding": (words(b"\xff" * 320), InvalidRequest),
    "words of zeros": (words(bytes(320)), InvalidRequest),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_nothing_is_written_and_nothing_used_up(net: Devnet, crafter: Make, what: str) -> None:
    spoil, error = REFUSALS[what]
    client = crafter()
    honest = client.prepare(NAME, ROWS)
    with nothing_written(net), pytest.raises(MpcInferError) as caught:
        client.send(spoil(client, honest))
    assert type(caught.value) is error, caught.value
    assert client.check(honest, client.send(honest)).outputs["logits"].shape == (2, 1)


def test_a_job_signed_by_somebody_else(net: Devnet, crafter: Make) -> None:
    client, other = crafter(), crafter("eve")
    honest = client.prepare(NAME, ROWS)
    foreign = other.changed(honest).message.owner_signature
    with nothing_written(net), pytest.raises(BadSignature):
        client.send(with_message(honest, lambda message: message.owner_signature.CopyFrom(foreign)))
    client.send(honest)


def test_a_job_of_somebody_else_cannot_be_sent_on_by_a_stranger(net: Devnet, crafter: Make) -> None:
    client = crafter()
    honest = client.prepare(NAME, ROWS)
    with nothing_written(net), pytest.raises(NotPermitted):
        crafter("eve").send(honest)
    client.send(honest)


def test_a_deadline_that_is_too_near_for_anything(
    net: Devnet, alice: Client, published: dict[str, TrainedModel]
) -> None:
    with nothing_written(net), pytest.raises(DeadlineExpired):
        alice.infer(NAME, {"x": ROWS}, deadline_s=0.001)


def enlarged(prepared: Prepared) -> Prepared:
    """A message just above the limit."""

    def enlarge(message: coordinator_pb2.SubmitJobRequest) -> None:
        message.sealed_inputs[0].ciphertext = bytes(MAX_MESSAGE_BYTES)

    return with_message(prepared, enlarge)


def test_the_sdk_does_not_send_a_message_that_is_too_large(net: Devnet, crafter: Make) -> None:
    client = crafter()
    honest = client.prepare(NAME, ROWS)
    with nothing_written(net), pytest.raises(MessageTooLarge):
        client.send(enlarged(honest))
    client.send(honest)


def test_the_coordinator_does_not_read_a_message_that_is_too_large(net: Devnet, crafter: Make) -> None:
    """From a client without a limit of its own: the message does leave it."""
    client = crafter()
    honest = client.prepare(NAME, ROWS)
    credentials = Keystore(net.layout.client_keystore(DATA_OWNER)).tls
    target, address = net.network.topology.coordinator.target, net.network.members.coordinator
    limit = 2 * MAX_MESSAGE_BYTES
    with open_sync_channel(target, credentials, peer=address, role="coordinator", max_bytes=limit) as channel:
        stub = coordinator_pb2_grpc.CoordinatorServiceStub(channel)
        with nothing_written(net), pytest.raises(grpc.RpcError) as caught:
            stub.SubmitJob(enlarged(honest).message, timeout=SECONDS)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert type(error_from_rpc(caught.value, "the coordinator")) is MessageTooLarge
    client.send(honest)
