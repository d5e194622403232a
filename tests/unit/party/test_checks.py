"""Everything that a party refuses before it computes, and that nothing is spent by a refusal."""

import asyncio
import dataclasses
import os

import numpy as np
import pytest

from mpc_infer import errors
from mpc_infer.chain.records import ModelStatus
from mpc_infer.clock import SystemClock
from mpc_infer.evidence.eip712 import Domain, sign
from mpc_infer.identity.signer import Signer
from mpc_infer.party.calls import OwnerSignature, PrepareCall
from mpc_infer.party.state import PartyState
from mpc_infer.sharing.sealing import Sealed, SealingKey, Suite
from mpc_infer.sharing.tensors import encode_tensors
from mpc_infer.store import Admission
from tests.unit.party.conftest import check_job, run_job


async def refused(party, call, error, match=None):
    """Refused with this error, and the same nonce and job id are still free."""
    with pytest.raises(error, match=match) as caught:
        await run_job(party.party, call)
    assert type(caught.value) is error
    request = call.request
    admission = Admission(request.owner, request.job_id, request.nonce, b"d" * 32)
    assert party.store.admit(os.urandom(16), [admission]) == [None]


async def test_a_good_job_passes_every_check(party, world):
    call = world.job()[0]
    checked = await check_job(party.party, call)
    assert checked.digest == call.request.digest(world.registry.receipt_domain)


async def test_another_party_set(party, world):
    await refused(party, world.job(party_set=bytes(32))[0], errors.PartySetMismatch)


@pytest.mark.parametrize("block", [101, 1 << 63])
async def test_a_block_ahead_of_the_head(party, world, block):
    call = dataclasses.replace(world.job()[0], registry_block=block)
    await refused(party, call, errors.RegistryTooOld, "ahead")


async def test_a_block_too_far_behind(party, world):
    call = dataclasses.replace(world.job()[0], registry_block=100 - 65)
    await refused(party, call, errors.RegistryTooOld, "behind")


async def test_a_block_that_just_appeared_is_looked_up(party, world):
    world.registry.number = 101
    assert await check_job(party.party, world.job()[0])


async def test_a_signature_by_somebody_else(party, world):
    call = world.job()[0]
    stranger = Signer.generate()
    signature = sign(call.request, world.registry.receipt_domain, stranger)
    for signer in (stranger.address, world.owner.address):
        forged = dataclasses.replace(call, owner_signature=OwnerSignature(signer, signature))
        with pytest.raises(errors.BadSignature):
            await run_job(party.party, forged)


@pytest.mark.parametrize("field", ["job_id", "model_hash", "input_root", "nonce", "rows", "deadline"])
async def test_a_request_changed_after_it_was_signed(party, world, field):
    call = world.job()[0]
    old = getattr(call.request, field)
    new = old + 1 if isinstance(old, int) else bytes([old[0] ^ 1]) + old[1:]
    call = dataclasses.replace(call, request=dataclasses.replace(call.request, **{field: new}))
    await refused(party, call, errors.BadSignature)


async def test_a_signature_for_another_contract_or_chain(party, world):
    call = world.job()[0]
    domain = world.registry.receipt_domain
    for other in (world.registry.model_domain, Domain(1, domain.verifying_contract)):
        given = OwnerSignature(world.owner.address, sign(call.request, other, world.owner))
        with pytest.raises(errors.BadSignature):
            await run_job(party.party, dataclasses.replace(call, owner_signature=given))


async def test_a_deadline_that_has_passed(party, world):
    await refused(party, world.job(seconds=-1)[0], errors.DeadlineExpired, "ago")


async def test_a_deadline_too_far_ahead(party, world):
    await refused(party, world.job(seconds=3700)[0], errors.InvalidRequest, "3600 s ahead")


async def test_a_model_that_is_not_installed(party, world):
    await refused(party, world.job(model_hash=os.urandom(32))[0], errors.ModelNotFound, "holds no share")


@pytest.mark.parametrize(
    "status", [ModelStatus.PROPOSED, ModelStatus.STAGED, ModelStatus.DEPRECATED, ModelStatus.REVOKED]
)
async def test_a_model_that_is_not_active(party, world, status):
    world.register(status)
    await refused(party, world.job()[0], errors.ModelInactive, status.name.lower())


async def test_a_model_that_the_registry_does_not_know(party, world):
    world.registry.models.clear()
    await refused(party, world.job()[0], errors.ModelNotFound, "registry")


async def test_a_model_registered_for_another_party_set(party, world):
    world.register(ModelStatus.ACTIVE, party_set=bytes(32))
    await refused(party, world.job()[0], errors.PartySetMismatch)


async def test_an_owner_without_permission(party, world):
    world.registry.users.clear()
    await refused(party, world.job()[0], errors.NotPermitted, "may not use")


async def test_a_result_key_that_was_not_signed(party, world):
    keys = [SealingKey.generate(Suite.X25519).public for _ in range(2)]
    call = dataclasses.replace(world.job(result_key=keys[0])[0], result_key=keys[1])
    await refused(party, call, errors.InvalidRequest, "not the one")


async def test_a_result_key_that_is_missing(party, world):
    call = world.job(result_key=SealingKey.generate(Suite.X25519).public)[0]
    await refused(party, dataclasses.replace(call, result_key=None), errors.InvalidRequest, "delivery CLIENT")


async def test_a_result_key_that_does_not_belong(party, world):
    call = dataclasses.replace(world.job()[0], result_key=SealingKey.generate(Suite.X25519).public)
    await refused(party, call, errors.InvalidRequest, "delivery CLIENT")


async def test_too_many_rows(party, world):
    await refused(party, world.job(rows=4097)[0], errors.InvalidRequest, "1 to 4096")


async def test_commitments_that_were_not_signed(party, world):
    call = world.job()[0]
    swapped = dataclasses.replace(call, input_commitments=call.input_commitments[::-1])
    await refused(party, swapped, errors.CommitmentMismatch, "not those")
    await refused(party, world.job(input_root=os.urandom(32))[0], errors.CommitmentMismatch)


@pytest.mark.parametrize("count", [0, 1, 3])
async def test_a_wrong_number_of_commitments(party, world, count):
    call = dataclasses.replace(world.job()[0], input_commitments=(bytes(32),) * count)
    await refused(party, call, errors.InvalidRequest, "commitments")


async def test_another_partys_share(party, world):
    calls = world.job()
    call = dataclasses.replace(calls[0], sealed_input=calls[1].sealed_input)
    await refused(party, call, errors.SealingFailed)


async def test_a_share_sealed_for_another_job(party, world):
    call = dataclasses.replace(world.job()[0], sealed_input=world.job()[0].sealed_input)
    await refused(party, call, errors.SealingFailed)


async def test_a_sealed_share_with_a_flipped_bit(party, world):
    call = world.job()[0]
    data = bytearray(call.sealed_input.ciphertext)
    data[-20] ^= 1
    sealed = dataclasses.replace(call.sealed_input, ciphertext=bytes(data))
    await refused(party, dataclasses.replace(call, sealed_input=sealed), errors.SealingFailed)


async def test_a_truncated_sealed_share(party, world):
    sealed = world.job()[0].sealed_input
    cut = Sealed(sealed.suite, sealed.key_id, sealed.ciphertext[:10])
    await refused(party, dataclasses.replace(world.job()[0], sealed_input=cut), errors.SealingFailed)


async def test_a_share_that_does_not_open_its_commitment(party, world):
    call = world.job()[0]
    share = encode_tensors({"x": np.zeros((2, 4), np.uint64)})
    sealed = world.sealed(0, call.request.job_id, os.urandom(32), share)
    await refused(party, dataclasses.replace(call, sealed_input=sealed), errors.CommitmentMismatch, "does not open")


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 1), (1, 8)])
async def test_a_share_of_another_shape(party, world, shape):
    await refused(party, world.job(np.ones(shape), rows=2)[0], errors.WrongShape, "takes")


async def test_fewer_rows_than_were_signed(party, world):
    await refused(party, world.job(np.ones((2, 4)), rows=3)[0], errors.WrongShape)


async def test_a_lane_that_does_not_exist(party, world):
    await refused(party, world.job(lane=7)[0], errors.InvalidRequest, "no lane 7")


async def test_a_lane_that_does_not_run(party, world):
    await refused(party, world.job()[0], errors.Unavailable, "not running")


async def test_a_party_that_is_stopping_takes_nothing(party, world):
    await party.party.drain(0)
    assert party.party.state.now is PartyState.DRAINING
    with pytest.raises(errors.Unavailable, match="draining"):
        await run_job(party.party, world.job()[0])
    with pytest.raises(errors.Unavailable):
        await party.party.install(world.install_call(0))


async def test_a_root_over_receipts_of_somebody_else(party):
    with pytest.raises(errors.ReceiptNotFound):
        await party.party.sign_root((bytes(32),))


async def test_a_steady_request_reads_nothing_from_the_chain(party, world):
    await check_job(party.party, world.job()[0])
    before = world.registry.reads
    for _ in range(5):
        await check_job(party.party, world.job()[0])
    assert world.registry.reads == before


@pytest.mark.parametrize(
    ("rows", "seconds", "error"),
    [(0, 5, errors.InvalidRequest), (5000, 5, errors.InvalidRequest), (1, -5, errors.DeadlineExpired)],
)
async def test_material_that_makes_no_sense(party, world, rows, seconds, error):
    deadline = SystemClock().now_ms() + 1000 * seconds
    with pytest.raises(error):
        await party.party.prepare(PrepareCall(os.urandom(16), 0, world.model_hash, rows, deadline))


async def test_shares_that_another_owner_sealed(party, world):
    # Whoever relays A's shares could have them run in B's job, under A's job id, for B to receive the result.
    call, other = world.job()[0], Signer.generate()
    world.registry.users.add((world.model_hash, other.address))
    request = dataclasses.replace(call.request, owner=other.address)
    signature = OwnerSignature(other.address, sign(request, world.registry.receipt_domain, other))
    stolen = dataclasses.replace(call, request=request, owner_signature=signature)
    await refused(party, stolen, errors.SealingFailed)


async def test_a_model_that_somebody_else_has_registered(party, world):
    record = world.registry.models[world.model_hash]
    world.registry.models[world.model_hash] = dataclasses.replace(record, owner=Signer.generate().address)
    await refused(party, world.job()[0], errors.NotPermitted, "has registered it")


async def test_terms_are_the_request_and_the_block(party, world):
    world.registry.number = 101
    calls = [world.job()[0], world.job()[0]]
    calls.append(dataclasses.replace(calls[0], registry_block=100))
    assert len({(await check_job(party.party, call)).terms for call in calls}) == 3


async def test_a_session_that_is_cancelled_before_its_first_step_is_told_to_who_waits(party, world, monkeypatch):
    sessions = party.party._sessions
    own = sessions._own

    def cancelled(work, name):
        task = own(work, name)
        if name == "session":
            task.cancel()
        return task

    async def nothing(*_):
        return None

    monkeypatch.setattr(sessions, "_own", cancelled)
    monkeypatch.setattr(party.runner, "claim", nothing)
    async with asyncio.timeout(5):
        with pytest.raises(errors.SessionAborted, match="ended in mid-session"):
            await run_job(party.party, world.job()[0])
    assert not sessions._running


async def test_a_party_that_stops_waits_for_what_was_just_being_judged(party):
    """A session that begins when another ends."""
    sessions, done = party.party._sessions, []

    async def second():
        await asyncio.sleep(0)
        done.append(True)

    async def first():
        sessions._own(second(), "session")

    sessions._own(first(), "session")
    await party.party.drain(5)
    assert done
