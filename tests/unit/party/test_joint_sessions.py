"""Sessions of several jobs, among parties with real lanes: each job is judged, run, signed and answered by itself."""

import asyncio
import dataclasses
import os

import numpy as np
import pytest

from mpc_infer import errors
from mpc_infer.clock import SystemClock
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import Receipt, check_signer
from mpc_infer.identity.did import to_address
from mpc_infer.identity.signer import Signer
from mpc_infer.party.calls import BadJob, PrepareCall, SessionCall
from mpc_infer.party.messages import session_answer
from mpc_infer.sharing.commitment import output_context, share_commitment

pytestmark = pytest.mark.asyncio(loop_scope="module")


def rows(count, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 4))


def other_owner(network):
    signer = Signer.generate()
    network.world.registry.users.add((network.world.model_hash, signer.address))
    return signer


def joint(network, *jobs, room=None, **fields):
    """The calls that the parties get for one session of some jobs."""
    total = room or sum(job[0].request.rows for job in jobs)
    place = {
        "session_id": os.urandom(16),
        "lane": 0,
        "material_id": b"",
        "registry_block": network.world.registry.number,
    }
    place |= fields
    return [
        SessionCall(rows=total, jobs=tuple(job[index].session.jobs[0] for job in jobs), **place)
        for index in range(len(network.parties))
    ]


async def run(network, calls):
    """What became of every job, by party."""
    outcomes = await asyncio.gather(*(party.run(call) for party, call in zip(network.parties, calls, strict=True)))
    return [list(one) for one in outcomes]


def assert_answered(network, calls, outcomes, index, x):
    """One job's result is right, and its receipt is its own, signed by all."""
    world, job = network.world, calls[0].jobs[index]
    answers = [one[index].answer for one in outcomes]
    np.testing.assert_allclose(world.revealed([each.opening.share for each in answers]), world.expected(x), atol=2e-3)
    assert answers[0].receipt == answers[1].receipt
    receipt = Receipt.from_words(answers[0].receipt)
    assert receipt.job_id == job.request.job_id
    assert receipt.request_digest == job.request.digest(world.registry.receipt_domain)
    assert receipt.output_commitment == merkle.root(list(answers[0].output_commitments))
    for rank, answer in enumerate(answers):
        assert to_address(answer.signature.signer) == world.addresses[rank]
        check_signer(receipt.digest(world.registry.receipt_domain), answer.signature.signature, world.addresses[rank])
        context = output_context(answer.session_id, job.request.job_id, world.addresses[rank])
        commitment = share_commitment(answer.opening.salt, context, answer.opening.share)
        assert commitment == answers[0].output_commitments[rank]
    return receipt


def problems(outcomes, index):
    return [type(one[index].problem) for one in outcomes]


async def test_jobs_of_two_owners_share_a_session_and_each_has_its_own_receipt(network):
    world, other, material_id = network.world, other_owner(network), os.urandom(16)
    deadline_ms = SystemClock().now_ms() + 60_000
    prepare = PrepareCall(material_id, 0, world.model_hash, 8, deadline_ms)
    prepared = await asyncio.gather(*(party.prepare(prepare) for party in network.parties))
    first, second = rows(2, 1), rows(3, 2)
    calls = joint(network, world.job(first), world.job(second, signer=other), room=8, material_id=material_id)
    outcomes = await run(network, calls)
    receipts = [assert_answered(network, calls, outcomes, index, x) for index, x in enumerate((first, second))]
    assert receipts[0].transcript == receipts[1].transcript
    assert receipts[0].output_commitment != receipts[1].output_commitment
    assert {receipt.plan_digest for receipt in receipts} == {prepared[0].plan_digest}
    assert {answer.engine for answer in receipts} == {b"masked".ljust(32, b"\0")}
    # Sent again, in whatever session, the answers are those that are stored.
    again = [dataclasses.replace(call, session_id=os.urandom(16)) for call in calls]
    repeated = await run(network, again)
    assert [[one.answer for one in each] for each in repeated] == [[one.answer for one in each] for each in outcomes]


async def test_a_job_that_one_party_refuses_does_not_touch_its_neighbour(network):
    world, x = network.world, rows(2)
    bad, good = world.job(), world.job(x)
    bad[1] = dataclasses.replace(bad[1], sealed_input=world.job()[1].sealed_input)
    calls = joint(network, bad, good)
    outcomes = await run(network, calls)
    assert problems(outcomes, 0) == [errors.Refused, errors.SealingFailed]
    assert outcomes[0][0].problem.party == 1
    assert_answered(network, calls, outcomes, 1, x)
    answer = session_answer(outcomes[1])
    assert [one.WhichOneof("outcome") for one in answer.answers] == ["problem", "done"]
    assert answer.answers[0].problem.code == "SEALING_FAILED"


async def test_what_comes_with_a_job_and_cannot_be_read_is_that_jobs_problem(network):
    world, x = network.world, rows(1)
    calls = joint(network, world.job(), world.job(x))
    unreadable = BadJob(calls[0].jobs[0].request, errors.InvalidRequest("sealing suite 9 is unknown"))
    calls[0] = dataclasses.replace(calls[0], jobs=(unreadable, calls[0].jobs[1]))
    outcomes = await run(network, calls)
    assert problems(outcomes, 0) == [errors.InvalidRequest, errors.Refused]
    assert_answered(network, calls, outcomes, 1, x)


async def test_parties_that_were_told_different_contents_of_a_job_run_the_others_only(network):
    world, x = network.world, rows(2)
    one, two = world.job(), world.job()
    two = world.job(job_id=one[0].request.job_id)
    calls = joint(network, [one[0], two[1]], world.job(x))
    outcomes = await run(network, calls)
    assert problems(outcomes, 0) == [errors.PlanMismatch] * 2
    assert_answered(network, calls, outcomes, 1, x)


async def test_parties_that_were_told_different_sessions_run_nothing(network):
    world = network.world
    world.registry.number += 1
    first, second = world.job(seconds=5), world.job(seconds=5)
    swapped, calls = joint(network, second, first), joint(network, first, second)
    outcomes = await run(network, [calls[0], dataclasses.replace(swapped[1], session_id=calls[0].session_id)])
    assert all(issubclass(kind, errors.SessionAborted) for index in (0, 1) for kind in problems(outcomes, index))
    with pytest.raises(errors.SessionAborted):
        session_answer(outcomes[0])
    calls = joint(network, world.job(seconds=5), world.job(seconds=5), room=8)
    outcomes = await run(network, [calls[0], dataclasses.replace(calls[1], rows=16)])
    assert any(one[0].of_session and isinstance(one[0].problem, errors.SessionAborted) for one in outcomes)
    # Another block is other terms for every job: none runs.
    calls = joint(network, world.job(), world.job())
    outcomes = await run(network, [calls[0], dataclasses.replace(calls[1], registry_block=calls[1].registry_block - 1)])
    assert problems(outcomes, 0) == problems(outcomes, 1) == [errors.PlanMismatch] * 2
    assert not outcomes[0][0].of_session


async def test_jobs_that_do_not_belong_in_one_session_are_refused_together(network):
    world, party = network.world, network.parties[0]
    job = world.job()
    foreign = world.job(model_hash=os.urandom(32))
    for jobs, room, match in (
        ((job, job), None, "twice"),
        ((job, foreign), None, "different models"),
        ((job, world.job()), 3, "more rows"),
        ((), 1, "1 to 256"),
    ):
        with pytest.raises(errors.InvalidRequest, match=match):
            await party.run(joint(network, *jobs, room=room)[0])
    many = dataclasses.replace(joint(network, job)[0], jobs=joint(network, job)[0].jobs * 257, rows=4096)
    with pytest.raises(errors.InvalidRequest, match="1 to 256"):
        await party.run(many)
    assert len(await network.run(job)) == 2  # nothing was spent


async def test_a_job_in_two_sessions_at_once_runs_in_one_of_them(network):
    world, x, y = network.world, rows(1, 3), rows(1, 4)
    shared, alone = world.job(x), world.job(y)
    one, two = joint(network, shared), joint(network, shared, alone)
    first, second = await asyncio.gather(run(network, one), run(network, two))
    assert_answered(network, one, first, 0, x)
    assert_answered(network, two, second, 1, y)
    assert [each[0].answer for each in second] == [each[0].answer for each in first]


async def test_where_all_jobs_are_refused_nothing_is_begun_and_nothing_consumed(network):
    world, material_id = network.world, os.urandom(16)
    deadline_ms = SystemClock().now_ms() + 60_000
    prepare = PrepareCall(material_id, 0, world.model_hash, 4, deadline_ms)
    await asyncio.gather(*(party.prepare(prepare) for party in network.parties))
    jobs = [world.job(seconds=-1), world.job(deadline=1)]
    calls = joint(network, *jobs, material_id=material_id)
    outcomes = await run(network, calls)
    assert problems(outcomes, 0) == problems(outcomes, 1) == [errors.DeadlineExpired] * 2
    assert not any(one.of_session for each in outcomes for one in each)
    x = rows(4)
    good = joint(network, world.job(x), material_id=material_id, session_id=calls[0].session_id)
    assert_answered(network, good, await run(network, good), 0, x)


async def test_what_keeps_a_whole_session_from_running_is_raised_and_spends_nothing(network):
    job = network.world.job()
    calls = joint(network, job, network.world.job(), material_id=os.urandom(16))
    outcomes = await network.parties[0].run(calls[0])
    with pytest.raises(errors.MaterialUnusable):
        session_answer(outcomes)
    assert len(await network.run(job)) == 2


async def test_a_model_that_is_not_open_is_named(network, monkeypatch):
    party, world = network.parties[0], network.world
    monkeypatch.setattr(party._openings, "_digests", {})
    assert (await network.open(b""))[0] is None
    with pytest.raises(errors.ModelNotOpen, match="OpenModel"):
        session_answer(await party.run(joint(network, world.job())[0]))
    deadline_ms = SystemClock().now_ms() + 60_000
    with pytest.raises(errors.ModelNotOpen):
        await party.prepare(PrepareCall(os.urandom(16), 0, world.model_hash, 2, deadline_ms))


async def test_an_opening_survives_the_party_and_a_session_id_opens_once(network):
    session_id = os.urandom(16)
    digests = await network.open(session_id)
    assert len(set(digests)) == 1
    assert await network.open(b"") == digests
    again = network.world.wired(0)
    assert again.party._openings.digest(network.world.model_hash) == digests[0]
    again.store.close()
    with pytest.raises(errors.InvalidRequest, match="begun before"):
        await network.open(session_id)


async def test_parties_with_different_openings_refuse_each_other(network):
    world, openings = network.world, network.parties[1]._openings
    old = openings.read(world.model_hash)
    assert await network.open() != [old[0]] * 2
    current = openings.read(world.model_hash)
    openings.put(world.model_hash, *old, 1)
    outcomes = await run(network, joint(network, world.job(seconds=10)))
    assert any(isinstance(one[0].problem, errors.PlanMismatch) for one in outcomes)
    assert all(isinstance(one[0].problem, errors.SessionAborted) for one in outcomes)
    openings.put(world.model_hash, *current, 1)
    assert len(await network.run(world.job())) == 2
