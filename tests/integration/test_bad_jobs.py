"""Jobs that must be refused: by the SDK before anything is sent, and by the parties if somebody sends them anyway.

Every test ends with a job that works (the fixture `works`).
"""

import time
from collections.abc import Callable

import numpy as np
import pytest

from mpc_infer import Client
from mpc_infer.devnet import Devnet
from mpc_infer.devnet.init import OWNER
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.errors import (
    BadSignature,
    CommitmentMismatch,
    DeadlineExpired,
    InvalidInput,
    InvalidRequest,
    JobConflict,
    MessageTooLarge,
    ModelInactive,
    ModelNotFound,
    MpcInferError,
    NonceReplayed,
    NotFinite,
    NotPermitted,
    OutOfRange,
    PartySetMismatch,
    SealingFailed,
    WrongDtype,
    WrongShape,
)
from tests.integration.crafting import Crafter, now_ms

Make = Callable[..., Crafter]
NAME = "breast-cancer"
ROWS = np.zeros((2, 30), dtype=np.float32)


def with_value(value: float) -> np.ndarray:
    rows = ROWS.astype(np.float64)
    rows[1, 7] = value
    return rows


@pytest.mark.parametrize(
    ("inputs", "error"),
    [
        ({"x": ROWS[:, :29]}, WrongShape),
        ({"x": ROWS[0]}, WrongShape),
        ({"x": ROWS[:0]}, WrongShape),
        ({"x": [[1.0], [1.0, 2.0]]}, WrongShape),
        ({"y": ROWS}, WrongShape),
        ({"x": ROWS, "y": ROWS}, WrongShape),
        ({"x": ROWS.astype(str)}, WrongDtype),
        ({"x": ROWS.astype(complex)}, WrongDtype),
        ({"x": ROWS.astype(object)}, WrongDtype),
        ({"x": with_value(np.nan)}, NotFinite),
        ({"x": with_value(np.inf)}, NotFinite),
        ({"x": with_value(2.0**15)}, OutOfRange),
        ({"x": with_value(-1e300)}, OutOfRange),
    ],
)
@pytest.mark.usefixtures("works")
def test_the_sdk_refuses_inputs_that_cannot_be_computed_on(
    alice: Client, inputs: dict[str, np.ndarray], error: type[InvalidInput]
) -> None:
    with pytest.raises(error) as caught:
        alice.infer(NAME, inputs)
    assert str(caught.value)


@pytest.mark.usefixtures("works")
@pytest.mark.parametrize(
    ("shape", "rows", "options"), [((2, 29), 2, {}), ((2, 30), 3, {}), ((2, 30, 1), 2, {}), ((2, 30), 2, {"name": "y"})]
)
def test_the_parties_refuse_shares_of_another_shape(
    crafter: Make, shape: tuple[int, ...], rows: int, options: dict[str, str]
) -> None:
    client = crafter()
    prepared = client.prepare(NAME, np.zeros(shape), rows=rows, **options)
    with pytest.raises(WrongShape, match="the model takes"):
        client.send(prepared)


@pytest.mark.usefixtures("works")
@pytest.mark.parametrize("rows", [0, 1 << 40])
def test_the_parties_refuse_a_number_of_rows_that_nobody_runs(crafter: Make, rows: int) -> None:
    client = crafter()
    with pytest.raises(InvalidRequest):
        client.send(client.prepare(NAME, np.zeros((1, 30)), rows=rows))


@pytest.mark.usefixtures("works")
def test_an_unknown_model_is_not_found(alice: Client, crafter: Make) -> None:
    with pytest.raises(ModelNotFound):
        alice.infer("no-such-model", {"x": ROWS})
    client = crafter()
    with pytest.raises(MpcInferError) as caught:
        client.send(client.prepare(NAME, ROWS, model_hash=bytes(32)))
    assert caught.value.code in ("MODEL_NOT_FOUND", "MODEL_INACTIVE")


@pytest.mark.usefixtures("works")
def test_a_retired_model_runs_no_more(
    owner: Client, alice: Client, crafter: Make, published: dict[str, TrainedModel]
) -> None:
    model = published[NAME]
    version = owner.publish(model.onnx, "retired", 1, users=[alice.address])
    client = crafter()
    before = client.prepare("retired", model.rows[:1])
    owner.deprecate(version.model_hash)
    with pytest.raises(ModelInactive):
        client.send(before)
    with pytest.raises((ModelNotFound, ModelInactive)):
        alice.infer("retired", {"x": model.rows[:1]})


@pytest.mark.usefixtures("works")
def test_a_stranger_is_not_permitted(net: Devnet, published: dict[str, TrainedModel]) -> None:
    with Client(net.client("mallory")) as mallory, pytest.raises(NotPermitted):
        mallory.infer(NAME, {"x": ROWS})


@pytest.mark.usefixtures("works")
def test_permission_can_be_given_and_taken(
    net: Devnet, owner: Client, alice: Client, published: dict[str, TrainedModel]
) -> None:
    version = owner.publish(published[NAME].onnx, "lent", 1, public=False)
    with pytest.raises(NotPermitted):
        alice.infer("lent", {"x": ROWS})
    owner.allow(version.model_hash, alice.address)
    assert eventually(lambda: alice.infer("lent", {"x": ROWS}).outputs["logits"].shape == (2, 1))
    owner.deny(version.model_hash, alice.address)
    assert eventually(lambda: refuses(lambda: alice.infer("lent", {"x": ROWS})))


def refuses(action: Callable[[], object]) -> bool:
    try:
        action()
    except NotPermitted:
        return True
    return False


def eventually(condition: Callable[[], bool], seconds: float = 20) -> bool:
    """The roles look at the chain about once a second; until then they may still refuse, or still permit."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except NotPermitted:
            pass
        time.sleep(0.2)
    return False


@pytest.mark.usefixtures("works")
def test_a_deadline_that_passed(crafter: Make, alice: Client) -> None:
    client = crafter()
    with pytest.raises(DeadlineExpired):
        client.send(client.prepare(NAME, ROWS, deadline=now_ms() - 1))
    with pytest.raises(DeadlineExpired):
        alice.infer(NAME, {"x": ROWS}, deadline_s=0.001)


@pytest.mark.usefixtures("works")
def test_a_deadline_too_far_ahead(crafter: Make) -> None:
    client = crafter()
    with pytest.raises(InvalidRequest):
        client.send(client.prepare(NAME, ROWS, deadline=now_ms() + 10**9))


@pytest.mark.usefixtures("works")
def test_the_same_job_again_gets_the_stored_answer(crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    first, second = client.send(prepared), client.send(prepared)
    assert first.receipt == second.receipt
    assert first.session_id == second.session_id
    assert np.array_equal(
        client.check(prepared, first).outputs["logits"], client.check(prepared, second).outputs["logits"]
    )


@pytest.mark.usefixtures("works")
def test_the_same_job_id_with_other_contents(crafter: Make) -> None:
    client = crafter()
    first = client.prepare(NAME, ROWS)
    client.send(first)
    with pytest.raises(JobConflict):
        client.send(client.prepare(NAME, ROWS, job_id=first.request.job_id))


@pytest.mark.usefixtures("works")
def test_a_nonce_is_used_once(crafter: Make) -> None:
    client = crafter()
    first = client.prepare(NAME, ROWS)
    client.send(first)
    with pytest.raises(NonceReplayed):
        client.send(client.prepare(NAME, ROWS, nonce=first.request.nonce))


@pytest.mark.usefixtures("works")
def test_a_share_that_does_not_open_its_commitment(crafter: Make) -> None:
    from mpc_infer.evidence import merkle

    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    commitments = list(prepared.message.input_commitments)
    commitments[1] = bytes([commitments[1][0] ^ 1]) + commitments[1][1:]
    changed = client.changed(prepared, input_root=merkle.root(commitments))
    changed.message.input_commitments[:] = commitments
    with pytest.raises(CommitmentMismatch) as caught:
        client.send(changed)
    assert caught.value.party == 1


@pytest.mark.usefixtures("works")
def test_commitments_that_were_not_signed(crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    first, second = prepared.message.input_commitments[:2]
    prepared.message.input_commitments[:2] = [second, first]
    with pytest.raises((CommitmentMismatch, InvalidRequest)):
        client.send(prepared)


@pytest.mark.usefixtures("works")
def test_a_share_sealed_for_another_party(crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    prepared.message.sealed_inputs[1].CopyFrom(prepared.message.sealed_inputs[0])
    with pytest.raises(SealingFailed) as caught:
        client.send(prepared)
    assert caught.value.party == 1


@pytest.mark.usefixtures("works")
def test_a_ciphertext_that_was_changed(crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    box = prepared.message.sealed_inputs[2]
    box.ciphertext = box.ciphertext[:-1] + bytes([box.ciphertext[-1] ^ 1])
    with pytest.raises(SealingFailed) as caught:
        client.send(prepared)
    assert caught.value.party == 2


@pytest.mark.usefixtures("works")
def test_a_job_signed_by_somebody_else(crafter: Make) -> None:
    client, other = crafter(), crafter("eve")
    prepared = client.prepare(NAME, ROWS)
    prepared.message.owner_signature.CopyFrom(other.changed(prepared).message.owner_signature)
    with pytest.raises(BadSignature):
        client.send(prepared)


@pytest.mark.usefixtures("works")
def test_a_job_of_somebody_else_cannot_be_sent_on_by_a_stranger(crafter: Make) -> None:
    with pytest.raises(NotPermitted):
        crafter("eve").send(crafter().prepare(NAME, ROWS))


@pytest.mark.usefixtures("works")
def test_a_job_for_another_party_set(crafter: Make) -> None:
    client = crafter()
    with pytest.raises(PartySetMismatch):
        client.send(client.prepare(NAME, ROWS, party_set=bytes(32)))


@pytest.mark.usefixtures("works")
@pytest.mark.parametrize("words", [b"", bytes(320), b"\xff" * 320, bytes(319)])
def test_words_that_are_no_request(crafter: Make, words: bytes) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    prepared.message.job_request = words
    with pytest.raises(MpcInferError) as caught:
        client.send(prepared)
    assert caught.value.code in ("INVALID_REQUEST", "BAD_SIGNATURE", "PARTY_SET_MISMATCH", "NOT_PERMITTED")


@pytest.mark.usefixtures("works")
def test_a_message_that_is_too_large(crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    prepared.message.sealed_inputs[0].ciphertext = bytes(65 << 20)
    with pytest.raises(MessageTooLarge):
        client.send(prepared)


@pytest.mark.usefixtures("works")
def test_the_owner_of_a_model_may_use_it(net: Devnet, published: dict[str, TrainedModel]) -> None:
    with Client(net.client(OWNER)) as owner:
        assert owner.infer(NAME, {"x": ROWS}).outputs["logits"].shape == (2, 1)
