"""Steps 6 and 7: the receipt's place in a batch, and the batch's on the chain."""

from dataclasses import replace

import pytest

from mpc_infer.errors import InclusionInvalid, RootNotAnchored
from mpc_infer.evidence import AnchorFact, BatchRoot, engine_word, sign, verify_receipt
from mpc_infer.evidence.verify import ANCHOR_TOLERANCE_S
from mpc_infer.identity import Signer

from .changes import Keys, flip, with_inclusion
from .conftest import batch_of


@pytest.mark.parametrize("changes", [{"index": 3}, {"size": 9}, {"root": b"x" * 32}, {"path": ()}], ids=str)
def test_any_changed_field_of_the_inclusion_is_found(case, changes):
    with pytest.raises(InclusionInvalid):
        verify_receipt(with_inclusion(case.bundle, **changes), case.facts)


@pytest.mark.parametrize("node", [0, 1, 2])
def test_any_changed_node_is_found(case, node):
    path = list(case.bundle.inclusion.path)
    path[node] = flip(path[node])
    with pytest.raises(InclusionInvalid):
        verify_receipt(with_inclusion(case.bundle, path=tuple(path)), case.facts)


def test_without_an_inclusion_there_is_no_proof(case):
    with pytest.raises(InclusionInvalid):
        verify_receipt(replace(case.bundle, inclusion=None), case.facts)


@pytest.mark.parametrize("party", [0, 1, 2])
def test_batch_signatures_are_checked_where_given(case, party):
    signatures = list(case.bundle.inclusion.signatures)
    signatures[party] = (signatures[party][0], flip(signatures[party][1]))
    with pytest.raises(InclusionInvalid):
        verify_receipt(with_inclusion(case.bundle, signatures=tuple(signatures)), case.facts)
    del signatures[party]
    with pytest.raises(InclusionInvalid):
        verify_receipt(with_inclusion(case.bundle, signatures=tuple(signatures)), case.facts)


def test_a_proof_for_another_root_is_refused(case):
    other = case.resigned(engine=engine_word("plain"))
    with pytest.raises(InclusionInvalid):
        verify_receipt(replace(case.bundle, inclusion=other.inclusion), case.facts)
    with pytest.raises(RootNotAnchored):
        verify_receipt(other, case.facts)


def test_the_anchored_batch_must_be_this_one(case):
    root, party_set = case.bundle.inclusion.root, case.bundle.signed.receipt.party_set
    good = case.facts.anchors[root, party_set]
    for anchors in ({(root, party_set): replace(good, size=6)}, {(root, b"q" * 32): good}):
        with pytest.raises(RootNotAnchored):
            verify_receipt(case.bundle, replace(case.facts, anchors=anchors))


def anchored_at(case, timestamp):
    key = (case.bundle.inclusion.root, case.bundle.signed.receipt.party_set)
    return replace(case.facts, anchors={key: AnchorFact(case.bundle.inclusion.size, timestamp)})


def test_an_anchor_is_not_older_than_its_receipt(case):
    second = case.bundle.signed.receipt.finished // 1000
    assert verify_receipt(case.bundle, anchored_at(case, second - ANCHOR_TOLERANCE_S))
    with pytest.raises(RootNotAnchored, match="before the time"):
        verify_receipt(case.bundle, anchored_at(case, second - ANCHOR_TOLERANCE_S - 1))


def test_a_key_revoked_before_the_anchor_voids_what_it_signed_with_an_earlier_date(case):
    member, second = case.bundle.members[2], case.bundle.signed.receipt.finished // 1000
    bare = with_inclusion(case.bundle, signatures=())
    facts = anchored_at(case, second + 100)
    for since in (second + 1, second + 100):
        with pytest.raises(RootNotAnchored, match="revoked") as caught:
            verify_receipt(bare, Keys(facts, {}, {member: since}))
        assert caught.value.party == 2
        with pytest.raises(InclusionInvalid):
            verify_receipt(case.bundle, Keys(facts, {}, {member: since}))
    assert verify_receipt(case.bundle, Keys(facts, {}, {member: second + 101}))


def test_a_key_whose_window_ended_before_the_anchor_still_counts(case):
    member, second = case.bundle.members[0], case.bundle.signed.receipt.finished // 1000
    ended = Keys(anchored_at(case, second + 100), {(member, member): (0, second + 1)})
    assert verify_receipt(with_inclusion(case.bundle, signatures=()), ended)


def test_a_batch_may_be_signed_by_keys_that_came_after_the_receipt(case):
    fresh, member, second = Signer.generate(), case.bundle.members[0], case.bundle.signed.receipt.finished // 1000
    inclusion, _ = batch_of(case.bundle.signed.receipt, [fresh, *case.parties[1:]])
    bundle, facts = replace(case.bundle, inclusion=inclusion), anchored_at(case, second + 100)
    windows = {(member, member): (0, second + 1), (member, fresh.address): (second + 50, second + 500)}
    assert verify_receipt(bundle, Keys(facts, windows))
    for wrong in ({}, {(member, fresh.address): (second + 101, second + 500)}):
        with pytest.raises(InclusionInvalid):
            verify_receipt(bundle, Keys(facts, wrong))


@pytest.mark.parametrize("offline", [False, True])
def test_batch_signatures_are_one_of_each_member(case, offline):
    first, second, third = case.bundle.inclusion.signatures
    stranger = Signer.generate()
    batch = BatchRoot(case.bundle.inclusion.root, case.bundle.inclusion.size, case.bundle.signed.receipt.party_set)
    foreign = (stranger.address, sign(batch, case.facts.receipt_domain, stranger))
    wrong = [(first,), (first, second), (first, second, second), (first, second, foreign), (foreign,)]
    wrong += [(second, first, third), (first, second, third, foreign), (first, second, third, third)]
    for signatures in wrong:
        with pytest.raises(InclusionInvalid):
            verify_receipt(with_inclusion(case.bundle, signatures=signatures), case.facts, offline=offline)


def test_offline_an_inclusion_without_signatures_proves_nothing(case):
    """Anybody can build a tree around a receipt: without the chain, only the parties' signatures vouch for its root."""
    bare = with_inclusion(case.bundle, signatures=())
    assert verify_receipt(bare, case.facts)
    with pytest.raises(InclusionInvalid):
        verify_receipt(bare, case.facts, offline=True)
