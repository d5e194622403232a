"""Jobs at the coordinator: once each, whatever the caller, a party or the process does."""

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.errors import (
    ChainUnavailable,
    CommitmentMismatch,
    DeadlineExpired,
    JobConflict,
    JobNotFound,
    MpcInferError,
    NotPermitted,
    PeerFailed,
    PeerTimeout,
    ReceiptDisagreement,
    SessionAborted,
    Unavailable,
)
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import Receipt, sign
from mpc_infer.identity.signer import Signer
from mpc_infer.rpc.messages import signature_to
from mpc_infer.v1 import coordinator_pb2
from tests.unit.coordinator.simulation import BIAS, IMPORTED, Network, Party, fall, hang, until

ROWS = np.array([[1.0, 2.0, 3.0]])


async def _message(net: Network, deadline_s: float = 30.0, *, detach: bool = False) -> Any:
    submission = await net.client()._jobs.prepare("shift", {"x": ROWS}, "coordinator", deadline_s, detach=detach)
    return submission.prepared.message


def _runs(net: Network) -> int:
    return net.parties[0].calls.count("RunSession")


async def test_the_same_bytes_again_give_the_stored_answer(net: Network) -> None:
    message = await _message(net)
    first = await net.service.submit(message, net.owner.address)
    again = await net.service.submit(message, net.owner.address)
    again.state = first.state  # anchored meanwhile
    assert again == first
    assert _runs(net) == 1


async def test_callers_at_the_same_time_share_one_run(net: Network) -> None:
    message = await _message(net)
    answers = await asyncio.gather(*(net.service.submit(message, net.owner.address) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert _runs(net) == 1


async def test_who_leaves_a_job_that_another_call_waits_for_leaves_it_on_the_disk(
    net: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    net.parties[0].hooks["RunSession"] = hang
    message, synced = await _message(net), []
    ledger = net.service._jobs._floor.ledger
    monkeypatch.setattr(ledger._writer._late, "soon", lambda: None)
    monkeypatch.setattr(ledger.store, "sync", lambda: synced.append(ledger.store.has_job(message.job_request[:32])))
    waiting = asyncio.create_task(net.service.submit(message, net.owner.address))
    await until(lambda: net.parties[0].calls.count("RunSession"))
    message.detach = True
    assert (await net.service.submit(message, net.owner.address)).state == coordinator_pb2.JOB_STATE_RUNNING
    assert synced == [True]
    waiting.cancel()


async def test_the_same_id_with_other_contents_is_refused(net: Network) -> None:
    message = await _message(net)
    await net.service.submit(message, net.owner.address)
    message.sealed_inputs[0].ciphertext += b"x"
    with pytest.raises(JobConflict):
        await net.service.submit(message, net.owner.address)


async def test_a_caller_that_goes_away_does_not_end_the_job(net: Network) -> None:
    message = await _message(net)
    caller = asyncio.create_task(net.service.submit(message, net.owner.address))
    await until(lambda: _runs(net))
    caller.cancel()
    answer = await net.service.submit(message, net.owner.address)
    assert answer.state >= coordinator_pb2.JOB_STATE_DONE
    assert _runs(net) == 1


async def test_only_the_owner_sends_and_sees_a_job(net: Network) -> None:
    message, other = await _message(net), Signer.generate().address
    with pytest.raises(NotPermitted):
        await net.service.submit(message, other)
    answer = await net.service.submit(message, net.owner.address)
    for read in (net.service.job, net.service.receipt):
        with pytest.raises(JobNotFound):
            await read(answer.job_id, other)
    with pytest.raises(JobNotFound):
        await anext(net.service.watch(answer.job_id, other))


async def test_detached_jobs_are_accepted_and_watched_to_their_end(net: Network) -> None:
    message = await _message(net, detach=True)
    answer = await net.service.submit(message, net.owner.address)
    assert answer.state in (coordinator_pb2.JOB_STATE_ACCEPTED, coordinator_pb2.JOB_STATE_RUNNING)
    states = [job.state async for job in net.service.watch(answer.job_id, net.owner.address)]
    assert states == sorted(set(states))
    assert states[-1] == coordinator_pb2.JOB_STATE_ANCHORED


async def test_a_watch_ends_when_its_time_is_up(tmp_path: Path) -> None:
    net = Network(tmp_path, watch_s=0.05)
    net.parties[1].hooks["RunSession"] = hang
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        answer = await net.service.submit(await _message(net, 3.0, detach=True), net.owner.address)
        states = [job.state async for job in net.service.watch(answer.job_id, net.owner.address)]
    assert coordinator_pb2.JOB_STATE_FAILED not in states


async def _fails(net: Network, error: type[MpcInferError], party: int | None, deadline_s: float = 30.0) -> None:
    with pytest.raises(error) as caught:
        await net.client().infer("shift", {"x": ROWS}, deadline_s=deadline_s)
    assert caught.value.party == party


async def _works(net: Network) -> None:
    result = await net.client().infer("shift", {"x": ROWS})
    np.testing.assert_array_equal(result.outputs["y"], ROWS + BIAS)


async def test_a_silent_party_is_named_in_time_and_the_next_job_works(net: Network) -> None:
    net.parties[1].hooks = {"RunSession": hang, "AbortSession": hang}
    await _fails(net, PeerTimeout, 1, deadline_s=0.5)
    net.parties[1].hooks.clear()
    await _works(net)


async def test_an_unreachable_party_is_named_before_what_others_say(net: Network) -> None:
    async def unreachable(party: Party, request: Any) -> Any:
        raise Unavailable("connection refused")

    net.parties[2].hooks = {"RunSession": unreachable, "AbortSession": unreachable}
    await _fails(net, PeerFailed, 2)
    net.parties[2].hooks.clear()
    await _works(net)


async def test_a_party_whose_lane_dies_is_named(net: Network) -> None:
    net.parties[0].hooks["RunSession"] = fall
    await _fails(net, SessionAborted, 0)
    net.parties[0].hooks.clear()
    await _works(net)


async def test_a_refusal_by_one_party_is_the_reason(net: Network) -> None:
    async def refuse(party: Party, request: Any) -> Any:
        raise CommitmentMismatch("a share does not open its commitment")

    net.parties[1].hooks["RunSession"] = refuse
    await _fails(net, CommitmentMismatch, 1)
    assert net.hall.aborted


def _signs_another(change: dict[str, Any]) -> Any:
    async def hook(party: Party, request: Any) -> Any:
        response = await party.on_RunSession(request)
        answer = response.answers[0].done
        receipt = dataclasses.replace(Receipt.from_words(answer.receipt), **change)
        answer.receipt = receipt.to_words()
        answer.signature.CopyFrom(signature_to(party.address, sign(receipt, party.domain, party.signer)))
        return response

    return hook


@pytest.mark.parametrize("change", [{"transcript": bytes(32)}, {"finished": 1 << 60}, {"registry_block": 0}])
async def test_a_party_that_signs_another_receipt_is_named(net: Network, change: dict[str, Any]) -> None:
    net.parties[1].hooks["RunSession"] = _signs_another(change)
    await _fails(net, ReceiptDisagreement, 1)
    net.parties[1].hooks.clear()
    await _works(net)


async def test_a_party_that_returns_the_receipt_and_signs_another_is_named(net: Network) -> None:
    async def hook(party: Party, request: Any) -> Any:
        response = await party.on_RunSession(request)
        response.answers[0].done.signature.signature = party.signer.sign_digest(bytes(32))
        return response

    net.parties[2].hooks["RunSession"] = hook
    await _fails(net, ReceiptDisagreement, 2)


async def test_parties_that_all_sign_for_another_job_are_refused(net: Network) -> None:
    for party in net.parties:
        party.hooks["RunSession"] = _signs_another({"nonce": bytes(32)})
    await _fails(net, ReceiptDisagreement, None)


async def test_an_output_that_does_not_open_its_commitment_names_its_party(net: Network) -> None:
    async def hook(party: Party, request: Any) -> Any:
        response = await party.on_RunSession(request)
        opening = response.answers[0].done.opening
        opening.share = opening.share[:-1] + bytes([opening.share[-1] ^ 1])
        return response

    net.parties[1].hooks["RunSession"] = hook
    await _fails(net, CommitmentMismatch, 1)


async def test_commitments_that_do_not_lead_to_the_receipt_are_refused(net: Network) -> None:
    for party in net.parties:
        party.hooks["RunSession"] = _signs_another({"output_commitment": merkle.root([b"other"])})
    await _fails(net, ReceiptDisagreement, None)


async def test_a_failed_job_stays_failed_and_says_why(net: Network) -> None:
    net.parties[0].hooks["RunSession"] = fall
    message = await _message(net)
    first = await net.service.submit(message, net.owner.address)
    net.parties[0].hooks.clear()
    again = await net.service.submit(message, net.owner.address)
    assert first == again
    assert (again.problem.code, again.problem.party) == ("PEER_TIMEOUT", "0")  # as the others say it


async def test_a_full_queue_refuses_without_a_trace(tmp_path: Path) -> None:
    net = Network(tmp_path, queue=1)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        net.parties[0].hooks["RunSession"] = hang
        for _ in range(2):
            await net.service.submit(await _message(net, 20.0, detach=True), net.owner.address)
        refused = await _message(net, 20.0)
        with pytest.raises(Unavailable):
            await net.service.submit(refused, net.owner.address)
        with pytest.raises(JobNotFound):
            await net.service.job(refused.job_request[:32], net.owner.address)


async def test_a_deadline_that_passes_in_the_queue_fails_the_job(net: Network) -> None:
    net.parties[0].hooks["RunSession"] = hang
    first = asyncio.create_task(net.service.submit(await _message(net, 5.0), net.owner.address))
    await until(lambda: _runs(net))
    second = await net.service.submit(await _message(net, 0.2), net.owner.address)
    assert second.problem.code == DeadlineExpired.code
    assert _runs(net) == 1
    first.cancel()


async def test_without_the_chain_new_jobs_wait_outside_and_old_ones_are_answered(net: Network) -> None:
    message = await _message(net)
    await net.service.submit(message, net.owner.address)
    fresh = await _message(net)
    net.chain.down = True
    net.service._floor.head.failed(fresh.job_request[32:64], net.owner.address)
    with pytest.raises(ChainUnavailable):
        await net.service.submit(fresh, net.owner.address)
    answer = await net.service.submit(message, net.owner.address)
    assert answer.state >= coordinator_pb2.JOB_STATE_DONE
    net.chain.down = False
    assert (await net.service.submit(fresh, net.owner.address)).state == coordinator_pb2.JOB_STATE_DONE


async def test_a_model_that_was_activated_a_moment_ago_is_judged_at_a_block_that_knows_it(net: Network) -> None:
    before = net.chain.height
    await net.client().publish(IMPORTED, "other", 1)
    result = await net.client().infer("other", {"x": ROWS})
    assert result.receipt.receipt.registry_block > before
