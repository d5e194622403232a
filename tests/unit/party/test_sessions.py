"""Jobs among two parties with real lanes, a real dealer and mutual TLS everywhere."""

import asyncio
import dataclasses
import os
import signal

import numpy as np
import pytest

from mpc_infer import errors
from mpc_infer.clock import SystemClock
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import Receipt, check_signer, sign
from mpc_infer.identity.did import to_address
from mpc_infer.identity.signer import Signer
from mpc_infer.party.calls import Reminder
from mpc_infer.rpc.messages import sealed_from
from mpc_infer.sharing.commitment import output_context, share_commitment
from mpc_infer.sharing.contexts import sealed_result_context
from mpc_infer.sharing.sealing import SealingKey, Suite
from mpc_infer.v1 import common_pb2
from tests.unit.party.conftest import run_job

pytestmark = pytest.mark.asyncio(loop_scope="module")


def receipt_of(answer) -> Receipt:
    return Receipt.from_words(answer.receipt)


def assert_right(network, x, shares):
    world = network.world
    np.testing.assert_allclose(world.revealed(shares), world.expected(x), atol=2e-3)


async def prepare(network, material_id, rows=2, further=()):
    return await network.prepare(material_id, *further, rows=rows)


async def drop_all(network):
    """What is ready in memory then is what is made next."""
    for party in network.parties:
        await party.drop_material([each.material_id for each in party.material()])


async def test_a_job_gives_the_right_result_and_one_receipt_signed_by_all(network):
    x = np.random.default_rng(1).normal(size=(2, 4))
    calls = network.world.job(x)
    answers = await network.run(calls)
    assert_right(network, x, [answer.opening.share for answer in answers])
    assert answers[0].receipt == answers[1].receipt
    receipt = receipt_of(answers[0])
    request = calls[0].request
    domain = network.world.registry.receipt_domain
    assert receipt.request_digest == request.digest(domain)
    assert (receipt.job_id, receipt.nonce, receipt.registry_block) == (request.job_id, request.nonce, 100)
    assert receipt.output_commitment == merkle.root(list(answers[0].output_commitments))
    assert receipt.started <= receipt.finished
    for index, answer in enumerate(answers):
        assert to_address(answer.signature.signer) == network.world.addresses[index]
        check_signer(receipt.digest(domain), answer.signature.signature, network.world.addresses[index])
        context = output_context(calls[0].session_id, request.job_id, network.world.addresses[index])
        commitment = share_commitment(answer.opening.salt, context, answer.opening.share)
        assert commitment == answers[0].output_commitments[index]


async def test_delivery_to_the_client_seals_every_share_to_its_key(network):
    key = SealingKey.generate(Suite.MLKEM768_X25519)
    x = np.random.default_rng(2).normal(size=(3, 4))
    calls = network.world.job(x, result_key=key.public)
    answers = await network.run(calls)
    shares = []
    for index, answer in enumerate(answers):
        assert answer.WhichOneof("output") == "sealed_output"
        context = sealed_result_context(calls[0].request.job_id, network.world.addresses[index])
        opened = key.unseal(sealed_from(answer.sealed_output), context)
        shares.append(common_pb2.Opening.FromString(opened).share)
    assert_right(network, x, shares)


async def test_the_same_request_again_gives_the_stored_answer(network):
    calls = network.world.job()
    first = await network.run(calls)
    again = [dataclasses.replace(call, session_id=os.urandom(16)) for call in calls]
    assert [answer.SerializeToString() for answer in await network.run(again)] == [
        answer.SerializeToString() for answer in first
    ]


async def test_the_stored_answer_is_given_whatever_has_changed_since(network, monkeypatch):
    """The deadline passed, the material spent, the block too old, the model revoked: it is the same request."""
    world, material_id = network.world, os.urandom(16)
    await prepare(network, material_id)
    calls = [dataclasses.replace(call, material_id=material_id) for call in world.job()]
    first = await network.run(calls)
    assert [a.receipt for a in await network.run(calls)] == [a.receipt for a in first]
    late = SystemClock().now_ms() + 60_000
    for party in network.parties:
        monkeypatch.setattr(party._clock, "now_ms", lambda: late)
    again = [dataclasses.replace(call, session_id=os.urandom(16), registry_block=1) for call in calls]
    answers = await network.run(again)
    assert [a.SerializeToString() for a in answers] == [b.SerializeToString() for b in first]
    # Who did not sign it is not told it, and other contents are judged as what they are.
    forged = dataclasses.replace(calls[0].owner_signature, signature=bytes(65))
    with pytest.raises(errors.BadSignature):
        await run_job(network.parties[0], dataclasses.replace(calls[0], owner_signature=forged))
    other = dataclasses.replace(calls[0].request, nonce=os.urandom(32))
    with pytest.raises(errors.DeadlineExpired):
        await run_job(
            network.parties[0], dataclasses.replace(calls[0], request=other, owner_signature=world.signed(other))
        )


async def test_a_late_call_joins_the_same_job_that_still_runs(network, monkeypatch):
    calls = network.world.job()
    running = asyncio.create_task(network.run(calls))
    async with asyncio.timeout(20):
        while not all(party._sessions._running for party in network.parties):  # noqa: ASYNC110 - there is no event
            await asyncio.sleep(0.001)
    again = [dataclasses.replace(call, registry_block=1) for call in calls]
    assert [a.receipt for a in await network.run(again)] == [b.receipt for b in await running]


async def test_a_session_id_is_used_once(network):
    calls = network.world.job()
    await network.run(calls)
    other = network.world.job(session_id=calls[0].session_id)
    outcomes = await network.run(other, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.InvalidRequest] * 2
    # Nothing was spent by that.
    fresh = os.urandom(16)
    assert len(await network.run([dataclasses.replace(call, session_id=fresh) for call in other])) == 2


async def test_a_material_id_is_used_once(network):
    material_id = os.urandom(16)
    await prepare(network, material_id)
    with pytest.raises(errors.InvalidRequest, match="before"):
        await prepare(network, material_id)
    with pytest.raises(errors.InvalidRequest, match="before"):
        await prepare(network, os.urandom(16), further=[material_id])


async def test_the_same_request_at_the_same_time_runs_once(network):
    calls = network.world.job()
    first, second = await asyncio.gather(network.run(calls), network.run(calls))
    assert [a.receipt for a in first] == [b.receipt for b in second]


async def test_other_contents_under_a_used_job_id_are_refused(network):
    calls = network.world.job()
    await network.run(calls)
    other = network.world.job(job_id=calls[0].request.job_id)
    outcomes = await network.run(other, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.JobConflict] * 2


async def test_a_used_nonce_is_refused(network):
    calls = network.world.job()
    await network.run(calls)
    other = network.world.job(nonce=calls[0].request.nonce)
    outcomes = await network.run(other, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.NonceReplayed] * 2


async def test_material_made_ahead_is_used_once(network):
    material_id = os.urandom(16)
    prepared = await prepare(network, material_id)
    assert prepared[0].plan_digest == prepared[1].plan_digest
    assert prepared[0].material_bytes > 0
    x = np.random.default_rng(3).normal(size=(2, 4))
    calls = [dataclasses.replace(call, material_id=material_id) for call in network.world.job(x)]
    answers = await network.run(calls)
    assert_right(network, x, [answer.opening.share for answer in answers])
    assert receipt_of(answers[0]).plan_digest == prepared[0].plan_digest
    calls = [dataclasses.replace(call, material_id=material_id) for call in network.world.job()]
    outcomes = await network.run(calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.MaterialUnusable] * 2


async def test_batches_made_at_once_serve_one_job_each(network):
    ids = [os.urandom(16) for _ in range(2)]
    await prepare(network, ids[0], further=ids[1:])
    x = np.random.default_rng(4).normal(size=(2, 4))
    for material_id in reversed(ids):
        calls = [dataclasses.replace(call, material_id=material_id) for call in network.world.job(x)]
        answers = await network.run(calls)
        assert_right(network, x, [answer.opening.share for answer in answers])
    with pytest.raises(errors.InvalidRequest):
        await prepare(network, ids[0], further=[ids[0]])


async def test_a_job_whose_material_is_missing_is_not_spent(network):
    calls = network.world.job()
    missing = [dataclasses.replace(call, material_id=os.urandom(16)) for call in calls]
    outcomes = await network.run(missing, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.MaterialUnusable] * 2
    assert len(await network.run(calls)) == 2


async def test_material_for_other_rows_is_refused(network):
    material_id = os.urandom(16)
    await prepare(network, material_id, rows=5)
    calls = [dataclasses.replace(call, material_id=material_id) for call in network.world.job()]
    outcomes = await network.run(calls, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [errors.MaterialUnusable] * 2


async def test_a_session_whose_other_party_does_not_come_ends_with_its_name(network):
    calls = network.world.job(seconds=2)
    with pytest.raises(errors.PeerTimeout) as caught:
        await run_job(network.parties[0], calls[0])
    assert caught.value.party == 1
    assert len(await network.run(network.world.job())) == 2


async def test_an_aborted_session_ends_at_once_with_the_reason(network):
    calls = network.world.job()
    running = asyncio.create_task(run_job(network.parties[0], calls[0]))
    await asyncio.sleep(0.3)
    network.parties[0].abort(calls[0].session_id, "party 1 refused")
    with pytest.raises(errors.SessionAborted, match="party 1 refused"):
        await asyncio.wait_for(running, 10)
    assert len(await network.run(network.world.job())) == 2


async def test_a_session_aborted_before_it_came_does_not_run(network):
    calls = network.world.job()
    network.parties[0].abort(calls[0].session_id, "too late")
    with pytest.raises(errors.SessionAborted, match="too late"):
        await run_job(network.parties[0], calls[0])


async def test_a_spent_job_is_refused_when_it_comes_again(network):
    calls = network.world.job()
    running = asyncio.create_task(run_job(network.parties[0], calls[0]))
    await network.until_admitted(0, calls[0])
    network.parties[0].abort(calls[0].session_id, "gone")
    with pytest.raises(errors.SessionAborted):
        await running
    again = dataclasses.replace(calls[0], session_id=os.urandom(16))
    with pytest.raises(errors.NonceReplayed, match="there is no answer"):
        await run_job(network.parties[0], again)


@pytest.mark.parametrize("called_off", [True, False], ids=["called-off", "not-admitted"])
async def test_lanes_that_have_met_in_vain_part_at_once_and_go_on(network, monkeypatch, called_off):
    """A party calls the session off between its admission and its lane, or does not admit it after all."""
    first, later = os.urandom(16), os.urandom(16)
    await drop_all(network)
    await prepare(network, first)
    calls = [dataclasses.replace(call, material_id=first) for call in network.world.job()]
    sessions, admit = network.parties[0]._sessions, network.parties[0]._sessions._admit

    async def late(call, jobs):
        await asyncio.sleep(0.3)  # the lanes meet, and the other party begins
        if not called_off:
            raise errors.StoreError("the disk failed")
        admitted = await admit(call, jobs)
        network.parties[0].abort(call.session_id, "gone")
        return admitted

    with monkeypatch.context() as patch:
        patch.setattr(sessions, "_admit", late)
        async with asyncio.timeout(3):
            outcomes = await network.run(calls, return_exceptions=True)
    assert type(outcomes[0]) is (errors.SessionAborted if called_off else errors.StoreError)
    assert isinstance(outcomes[1], errors.SessionAborted)
    await network.prepare(later)
    async with asyncio.timeout(10):
        while not all(later in one.lanes[0].ready_material for one in network.wired):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    again = [dataclasses.replace(call, material_id=later) for call in network.world.job()]
    assert len(await network.run(again)) == 2


async def test_a_session_that_is_called_off_while_it_is_judged_spends_nothing(network, monkeypatch):
    material_id, party = os.urandom(16), network.parties[0]
    await prepare(network, material_id)
    call = dataclasses.replace(network.world.job()[0], material_id=material_id)
    judged = party._sessions._judged

    async def late(*given):
        found = await judged(*given)
        party.abort(call.session_id, "gone")
        return found

    monkeypatch.setattr(party._sessions, "_judged", late)
    with pytest.raises(errors.SessionAborted, match="gone"):
        await run_job(party, call)
    assert not network.is_admitted(0, call)
    assert material_id in [each.material_id for each in party.material()]


async def test_a_caller_who_hangs_up_while_a_session_is_judged_leaves_no_lane_held(network, monkeypatch):
    material_id, party, lane = os.urandom(16), network.parties[0], network.wired[0].lanes[0]
    await drop_all(network)
    await prepare(network, material_id)
    async with asyncio.timeout(10):
        while not all(material_id in one.lanes[0].ready_material for one in network.wired):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    calls = [dataclasses.replace(call, material_id=material_id) for call in network.world.job()]
    with monkeypatch.context() as patch:
        patch.setattr(party._sessions, "_judged", lambda *_: asyncio.Event().wait())
        judging = asyncio.create_task(run_job(party, calls[0]))
        await asyncio.sleep(0.1)
        assert lane._turn.locked()  # the lane meets meanwhile
        judging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await judging
    session_id = os.urandom(16)
    again = [dataclasses.replace(call, session_id=session_id) for call in calls]
    async with asyncio.timeout(3):
        assert len(await network.run(again)) == 2


async def test_a_session_that_was_called_off_before_it_came_spends_nothing(network):
    calls = network.world.job()
    network.parties[0].abort(calls[0].session_id, "gone")
    with pytest.raises(errors.SessionAborted):
        await run_job(network.parties[0], calls[0])
    session_id = os.urandom(16)
    again = [dataclasses.replace(call, session_id=session_id) for call in calls]
    assert len(await network.run(again)) == 2


async def test_parties_that_were_told_different_sessions_refuse_each_other(network):
    first, second = network.world.job(seconds=3), network.world.job(seconds=3)
    mixed = [first[0], dataclasses.replace(second[1], session_id=first[0].session_id)]
    outcomes = await network.run(mixed, return_exceptions=True)
    assert all(isinstance(outcome, errors.SessionAborted) for outcome in outcomes)
    assert len(await network.run(network.world.job())) == 2


async def test_a_killed_lane_fails_its_session_and_the_next_job_works(network):
    lane = network.wired[1].lanes[0]
    calls = network.world.job(seconds=10)
    running = asyncio.create_task(run_job(network.parties[1], calls[1]))
    await asyncio.sleep(0.3)
    os.kill(lane._process.pid, signal.SIGKILL)
    with pytest.raises(errors.SessionAborted, match="lane 0"):
        await asyncio.wait_for(running, 10)
    spared = network.world.job()
    with pytest.raises(errors.Unavailable, match="not running"):
        await run_job(network.parties[1], spared[1])
    await lane.wait_until_ready(90)
    assert len(await network.run(spared)) == 2


async def test_a_stopped_lane_is_replaced_after_its_deadline(network):
    lane = network.wired[1].lanes[0]
    os.kill(lane._process.pid, signal.SIGSTOP)
    outcomes = await network.run(network.world.job(seconds=2), return_exceptions=True)
    assert isinstance(outcomes[0], errors.PeerTimeout)
    assert outcomes[0].party == 1
    assert isinstance(outcomes[1], errors.DeadlineExpired)
    await lane.wait_until_ready(90)
    assert len(await network.run(network.world.job())) == 2


async def test_a_batch_of_own_receipts_is_signed(network):
    domain = network.world.registry.receipt_domain
    digests = []
    for _ in range(3):
        answers = await network.run(network.world.job())
        digests.append(receipt_of(answers[0]).digest(domain))
    signed = await asyncio.gather(*(party.sign_root(tuple(digests)) for party in network.parties))
    assert {root for root, _ in signed} == {merkle.root(digests)}
    with pytest.raises(errors.ReceiptNotFound, match="1 of 4"):
        await network.parties[0].sign_root((*digests, os.urandom(32)))


async def test_own_signatures_remind_a_party_of_what_it_signed(network):
    party, domain = network.parties[0], network.world.registry.receipt_domain
    answers = await network.run(network.world.job())
    receipt, other = receipt_of(answers[0]), Signer.generate()
    unknown = dataclasses.replace(receipt, transcript=os.urandom(32))
    digest, words = unknown.digest(domain), unknown.to_words()
    for signature in (sign(unknown, domain, other), bytes(65), b""):
        with pytest.raises(errors.ReceiptNotFound):
            await party.sign_root((digest,), [Reminder(words, signature)])
    with pytest.raises(errors.ReceiptNotFound):
        await party.sign_root((digest,), [Reminder(words[:-1], sign(unknown, domain, party.identity.signer))])
    own = Reminder(words, sign(unknown, domain, party.identity.signer))
    assert await party.sign_root((digest,), [own]) == await party.sign_root((digest,))
