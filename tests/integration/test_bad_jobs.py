"""Jobs that must be refused: by the SDK before anything is sent, and by the parties if somebody sends them anyway.

Whoever refuses writes nothing down. Every test ends with a job that works (the fixture `works`).
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
    CommitmentMismatch,
    InvalidInput,
    JobConflict,
    ModelInactive,
    ModelNotFound,
    NonceReplayed,
    NotFinite,
    NotPermitted,
    OutOfRange,
    SealingFailed,
    WrongDtype,
    WrongShape,
)
from tests.integration.books import nothing_written
from tests.integration.crafting import Crafter

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
    net: Devnet, alice: Client, inputs: dict[str, np.ndarray], error: type[InvalidInput]
) -> None:
    with nothing_written(net), pytest.raises(error) as caught:
        alice.infer(NAME, inputs)
    assert str(caught.value)


@pytest.mark.usefixtures("works")
@pytest.mark.parametrize(
    ("shape", "rows", "options"), [((2, 29), 2, {}), ((2, 30), 3, {}), ((2, 30, 1), 2, {}), ((2, 30), 2, {"name": "y"})]
)
def test_the_parties_refuse_shares_of_another_shape(
    net: Devnet, crafter: Make, shape: tuple[int, ...], rows: int, options: dict[str, str]
) -> None:
    client = crafter()
    prepared = client.prepare(NAME, np.zeros(shape), rows=rows, **options)
    with nothing_written(net, *net.party_names), pytest.raises(WrongShape, match="the model takes"):
        client.send(prepared)
    # No party used up the nonce.
    client.send(client.prepare(NAME, ROWS, nonce=prepared.request.nonce))


@pytest.mark.usefixtures("works")
def test_an_unknown_model_is_not_found(net: Devnet, alice: Client, crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS, model_hash=bytes(32))
    with nothing_written(net, *net.party_names):
        with pytest.raises(ModelNotFound):
            alice.infer("no-such-model", {"x": ROWS})
        with pytest.raises(ModelNotFound):
            client.send(prepared)
    client.send(client.prepare(NAME, ROWS, nonce=prepared.request.nonce))


@pytest.mark.usefixtures("works")
def test_a_retired_model_runs_no_more(
    net: Devnet, owner: Client, alice: Client, crafter: Make, published: dict[str, TrainedModel]
) -> None:
    model = published[NAME]
    version = owner.publish(model.onnx, "retired", 1, users=[alice.address])
    client = crafter()
    before = client.prepare("retired", model.rows[:1])
    owner.deprecate(version.model_hash)
    with nothing_written(net, *net.party_names):
        with pytest.raises(ModelInactive):
            client.send(before)
        with pytest.raises(ModelNotFound):
            alice.infer("retired", {"x": model.rows[:1]})
    client.send(client.prepare(NAME, ROWS, nonce=before.request.nonce))


@pytest.mark.usefixtures("works")
def test_a_stranger_is_not_permitted(net: Devnet, published: dict[str, TrainedModel]) -> None:
    parties = net.party_names
    with Client(net.client("mallory")) as mallory, nothing_written(net, *parties), pytest.raises(NotPermitted):
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
def test_the_same_job_again_gets_the_stored_answer(net: Devnet, crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    first = client.send(prepared)
    with nothing_written(net):
        second = client.send(prepared)
    assert first.receipt == second.receipt
    assert first.session_id == second.session_id
    assert np.array_equal(
        client.check(prepared, first).outputs["logits"], client.check(prepared, second).outputs["logits"]
    )


@pytest.mark.usefixtures("works")
def test_the_same_job_id_with_other_contents(net: Devnet, crafter: Make) -> None:
    client = crafter()
    first = client.prepare(NAME, ROWS)
    answer = client.send(first)
    second = client.prepare(NAME, ROWS, job_id=first.request.job_id)
    with nothing_written(net), pytest.raises(JobConflict):
        client.send(second)
    # The first one's answer is still there, and the second one's nonce was not used up.
    assert client.send(first).receipt == answer.receipt
    client.send(client.prepare(NAME, ROWS, nonce=second.request.nonce))


@pytest.mark.usefixtures("works")
def test_a_nonce_is_used_once(net: Devnet, crafter: Make) -> None:
    client = crafter()
    first = client.prepare(NAME, ROWS)
    client.send(first)
    with nothing_written(net, *net.party_names), pytest.raises(NonceReplayed):
        client.send(client.prepare(NAME, ROWS, nonce=first.request.nonce))


@pytest.mark.usefixtures("works")
def test_a_share_that_does_not_open_its_commitment(net: Devnet, crafter: Make) -> None:
    from mpc_infer.evidence import merkle

    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    commitments = list(prepared.message.input_commitments)
    commitments[1] = bytes([commitments[1][0] ^ 1]) + commitments[1][1:]
    changed = client.changed(prepared, input_root=merkle.root(commitments))
    changed.message.input_commitments[:] = commitments
    with nothing_written(net, "party1"), pytest.raises(CommitmentMismatch) as caught:
        client.send(changed)
    assert caught.value.party == 1


@pytest.mark.usefixtures("works")
def test_a_share_sealed_for_another_party(net: Devnet, crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    prepared.message.sealed_inputs[1].CopyFrom(prepared.message.sealed_inputs[0])
    with nothing_written(net, "party1"), pytest.raises(SealingFailed) as caught:
        client.send(prepared)
    assert caught.value.party == 1


@pytest.mark.usefixtures("works")
def test_a_ciphertext_that_was_changed(net: Devnet, crafter: Make) -> None:
    client = crafter()
    prepared = client.prepare(NAME, ROWS)
    box = prepared.message.sealed_inputs[2]
    box.ciphertext = box.ciphertext[:-1] + bytes([box.ciphertext[-1] ^ 1])
    with nothing_written(net, "party2"), pytest.raises(SealingFailed) as caught:
        client.send(prepared)
    assert caught.value.party == 2


@pytest.mark.usefixtures("works")
def test_the_owner_of_a_model_may_use_it(net: Devnet, published: dict[str, TrainedModel]) -> None:
    with Client(net.client(OWNER)) as owner:
        assert owner.infer(NAME, {"x": ROWS}).outputs["logits"].shape == (2, 1)
