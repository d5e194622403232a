"""Receipts reach the chain once, in batches, whatever fails on the way."""

import asyncio
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpc_infer.coordinator import signing
from mpc_infer.coordinator.config import MAX_BATCH, LimitsSection
from mpc_infer.errors import ReceiptNotFound, TransactionFailed, Unavailable
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import Receipt
from mpc_infer.party.config import PartyLimits
from mpc_infer.rpc.messages import SIGNATURE_BYTES
from mpc_infer.store import BatchState, CoordinatorStore
from mpc_infer.v1 import party_pb2
from tests.unit.coordinator.simulation import IMPORTED, Network, Party, until

ROWS = np.array([[1.0, 2.0, 3.0]])


async def _jobs(net: Network, count: int) -> list[Any]:
    return [await net.client().infer("shift", {"x": ROWS}) for _ in range(count)]


async def _anchor_all(net: Network, results: list[Any]) -> list[Any]:
    return [await net.client().wait_anchored(result, timeout_s=20.0) for result in results]


def _open_batches(net: Network) -> int:
    store = CoordinatorStore(net.config.coordinator.database, bytes(32))
    try:
        return len(store.outbox.open_batches())
    finally:
        store.close()


async def test_receipts_share_a_batch_and_each_has_its_proof(tmp_path: Path) -> None:
    net = Network(tmp_path, anchor_max_delay_s=0.3)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        results = await _jobs(net, 3)
        inclusions = await _anchor_all(net, results)
    assert len(net.chain.anchors) == 1
    assert sorted(inclusion.index for inclusion in inclusions) == [0, 1, 2]
    for result, inclusion in zip(results, inclusions, strict=True):
        digest = result.receipt.receipt.digest(net.chain.receipt_domain)
        merkle.verify_inclusion(digest, inclusion.index, inclusion.size, inclusion.path, inclusion.root)
        assert [signer for signer, _ in inclusion.signatures] == [party.address for party in net.parties]
        assert inclusion.block > 0
        assert inclusion.gas_used == 21_000


async def test_a_full_batch_does_not_wait(tmp_path: Path) -> None:
    net = Network(tmp_path, anchor_max_delay_s=600.0, anchor_max_size=2)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await _anchor_all(net, await _jobs(net, 2))
    assert [record.size for record in net.chain.anchors.values()] == [2]


async def test_the_chain_may_be_down_for_a_while(net: Network) -> None:
    results = await _jobs(net, 1)
    net.chain.down = True
    await asyncio.sleep(0.3)
    net.chain.down = False
    await _anchor_all(net, results)
    assert len(net.chain.anchors) == 1


async def test_a_batch_whose_transaction_got_no_answer_is_found_on_the_chain(net: Network) -> None:
    net.chain.lose_next_answer = True
    (inclusion,) = await _anchor_all(net, await _jobs(net, 1))
    assert len(net.chain.anchors) == 1
    assert inclusion.block == net.chain.anchors[inclusion.root].block
    assert inclusion.transaction == b""


async def test_batches_survive_a_restart(tmp_path: Path) -> None:
    net = Network(tmp_path)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        net.chain.lose_next_answer = True
        results = await _jobs(net, 1)
        await until(lambda: net.chain.anchors)
    assert _open_batches(net) == 1
    async with net.run():
        await _anchor_all(net, results)
    assert _open_batches(net) == 0
    assert len(net.chain.anchors) == 1


async def test_a_party_that_signs_another_root_holds_only_the_anchor_up(net: Network) -> None:
    async def other(party: Party, request: Any) -> Any:
        answer = await party.on_SignRoot(request)
        answer.root = bytes(32)
        return answer

    net.parties[1].hooks["SignRoot"] = other
    results = await _jobs(net, 1)
    await asyncio.sleep(0.2)
    assert not net.chain.anchors
    assert (await net.client().bundle(results[0])).inclusion is None
    net.parties[1].hooks.clear()
    await _anchor_all(net, results)
    store = CoordinatorStore(net.config.coordinator.database, bytes(32))
    root = next(iter(net.chain.anchors))
    assert store.outbox.batch(root).state is BatchState.ANCHORED
    store.close()


def _disowns(digests: set[bytes]) -> Any:
    async def hook(party: Party, request: Any) -> Any:
        if digests & set(request.receipt_digests):
            raise ReceiptNotFound("some of these receipts are not ours", party=party.index)
        return await party.on_SignRoot(request)

    return hook


async def test_what_a_party_disowns_is_set_aside_and_the_others_are_anchored(tmp_path: Path) -> None:
    net = Network(tmp_path, anchor_max_delay_s=600.0, anchor_max_size=5)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        results = await _jobs(net, 4)
        digests = [result.receipt.receipt.digest(net.chain.receipt_domain) for result in results]
        net.parties[2].hooks["SignRoot"] = _disowns({digests[1]})
        net.parties[0].hooks["SignRoot"] = _disowns({digests[3]})
        results += await _jobs(net, 1)
        await _anchor_all(net, [results[0], results[2], results[4]])
        for lost in (results[1], results[3]):
            assert (await net.client().bundle(lost)).inclusion is None
    assert [record.size for record in net.chain.anchors.values()] == [3]
    assert _open_batches(net) == 0


async def test_a_party_that_lost_power_is_reminded_of_what_it_signed(tmp_path: Path) -> None:
    net = Network(tmp_path, anchor_max_delay_s=600.0, anchor_max_size=3)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        results = await _jobs(net, 2)
        net.parties[1].signed.clear()
        results += await _jobs(net, 1)
        await _anchor_all(net, results)
    assert [record.size for record in net.chain.anchors.values()] == [3]


@pytest.mark.parametrize("disowned", [False, True])
async def test_reminders_come_in_pieces_that_fit_into_any_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disowned: bool
) -> None:
    monkeypatch.setattr(signing, "REMINDED_AT_ONCE", 2)
    net, reminders = Network(tmp_path, anchor_max_delay_s=600.0, anchor_max_size=5), list[int]()
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        results = await _jobs(net, 4)
        disowns = _disowns({results[0].receipt.receipt.digest(net.chain.receipt_domain)} if disowned else set())

        async def counting(party: Party, request: Any) -> Any:
            reminders.append(len(request.reminders))
            return await disowns(party, request)

        net.parties[1].hooks["SignRoot"] = counting
        net.parties[1].signed.clear()
        results += await _jobs(net, 1)
        await _anchor_all(net, results[disowned:])
    assert max(reminders) == 2


def test_pieces_and_the_largest_batch_fit_into_the_smallest_message() -> None:
    smallest = min(
        next(each.ge for each in section.model_fields["max_message_bytes"].metadata if hasattr(each, "ge"))
        for section in (LimitsSection, PartyLimits)
    )
    reminder = party_pb2.Reminder(receipt=bytes(32 * len(fields(Receipt))), signature=bytes(SIGNATURE_BYTES))
    at_once = signing.REMINDED_AT_ONCE
    piece = party_pb2.SignRootRequest(receipt_digests=[bytes(32)] * at_once, reminders=[reminder] * at_once)
    assert piece.ByteSize() < smallest
    assert party_pb2.SignRootRequest(receipt_digests=[bytes(32)] * MAX_BATCH).ByteSize() < smallest


async def test_who_lost_power_is_reminded_also_while_another_party_disowns_a_receipt(tmp_path: Path) -> None:
    async def slow(party: Party, request: Any) -> Any:
        await asyncio.sleep(0.05)  # the other's refusal comes first, and this call is cancelled
        return await party.on_SignRoot(request)

    net = Network(tmp_path, anchor_max_delay_s=600.0, anchor_max_size=3)
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        results = await _jobs(net, 2)
        net.parties[1].signed.clear()
        net.parties[1].hooks["SignRoot"] = slow
        net.parties[0].hooks["SignRoot"] = _disowns({results[0].receipt.receipt.digest(net.chain.receipt_domain)})
        results += await _jobs(net, 1)
        await _anchor_all(net, results[1:])
    assert [record.size for record in net.chain.anchors.values()] == [2]


async def test_signatures_that_the_chain_refuses_are_asked_for_again(tmp_path: Path) -> None:
    net, anchor = Network(tmp_path), None
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        anchor = net.chain.anchor
        net.chain.anchor = _refusing
        results = await _jobs(net, 1)
        await until(lambda: net.parties[0].calls.count("SignRoot") >= 1)
        await until(lambda: _refused_again(net))
        net.chain.anchor = anchor
        await _anchor_all(net, results)


def _refusing(*_: Any) -> Any:
    raise TransactionFailed("SignerNotValid")


def _refused_again(net: Network) -> bool:
    return net.parties[0].calls.count("SignRoot") >= 2


async def test_a_batch_that_cannot_go_on_does_not_hold_up_the_next(net: Network) -> None:
    stuck: set[bytes] = set()

    async def not_the_first(party: Party, request: Any) -> Any:
        stuck.update(() if stuck else request.receipt_digests)
        if stuck & set(request.receipt_digests):
            raise Unavailable("later")
        return await party.on_SignRoot(request)

    net.parties[1].hooks["SignRoot"] = not_the_first
    (first,) = await _jobs(net, 1)
    await until(lambda: stuck)
    for _ in range(4):  # the pause of the stuck one grows; nobody else's does
        await _anchor_all(net, await _jobs(net, 1))
    assert _open_batches(net) == 1
    assert (await net.client().bundle(first)).inclusion is None


async def test_a_root_counts_as_anchored_when_enough_blocks_follow_it(tmp_path: Path) -> None:
    net = Network(tmp_path, chain={"confirmations": 3})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        results = await _jobs(net, 1)
        await until(lambda: net.chain.anchors)
        assert _open_batches(net) == 1
        net.chain.height += 3
        (inclusion,) = await _anchor_all(net, results)
        assert inclusion.gas_used == 21_000
    assert _open_batches(net) == 0


async def test_a_root_that_is_dropped_before_it_is_confirmed_is_sent_again(tmp_path: Path) -> None:
    net = Network(tmp_path, chain={"confirmations": 3})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        results = await _jobs(net, 1)
        await until(lambda: net.chain.anchors)
        net.chain.anchors.clear()
        await until(lambda: net.chain.anchors)
        net.chain.height += 3
        await _anchor_all(net, results)


async def test_a_root_that_the_chain_loses_later_is_sent_again(tmp_path: Path) -> None:
    net = Network(tmp_path, chain={"recheck_s": 0.05})
    async with net.run():
        await net.client().publish(IMPORTED, "shift", 1)
        await _anchor_all(net, await _jobs(net, 1))
        net.chain.anchors.clear()
        await until(lambda: net.chain.anchors)
        await until(lambda: _open_batches(net) == 0)
