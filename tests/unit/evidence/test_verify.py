"""Steps 1 to 5: the receipt's words, its model, its parties, their signatures, and what was opened."""

from dataclasses import fields, replace

import pytest

from mpc_infer.errors import (
    InclusionInvalid,
    OpeningMismatch,
    ReceiptInvalid,
    ReceiptModelInactive,
    ReceiptPartySetInvalid,
    ReceiptSignatureInvalid,
    RootNotAnchored,
    UnknownReceiptVersion,
)
from mpc_infer.evidence import (
    Bundle,
    Domain,
    ModelFact,
    Receipt,
    SignedReceipt,
    sign,
    verify_receipt,
    verify_signatures,
)
from mpc_infer.identity import Signer
from mpc_infer.ids import Address

from .changes import Keys, flip, with_inclusion, with_signatures

RECEIPT_FIELDS = [field.name for field in fields(Receipt)]


def test_a_good_receipt_passes_all_steps(case):
    verified = verify_receipt(case.bundle, case.facts)
    assert verified.receipt == case.bundle.signed.receipt
    assert verified.digest == verified.receipt.digest(case.facts.receipt_domain)
    assert verified.members == case.bundle.members
    assert verified.inclusion == case.bundle.inclusion
    assert len(verified.steps) == 7


def test_it_passes_again_after_a_file(case):
    assert verify_receipt(Bundle.from_json(case.bundle.to_json()), case.facts)


def test_what_is_optional_may_be_absent(case):
    bare = replace(case.bundle, request=None, input_openings=None, output_openings=None)
    assert verify_receipt(with_inclusion(bare, signatures=()), case.facts)


def test_offline_it_is_all_but_the_last_step(case):
    facts = replace(case.facts, anchors={})
    assert len(verify_receipt(case.bundle, facts, offline=True).steps) == 6
    with pytest.raises(RootNotAnchored):
        verify_receipt(case.bundle, facts)
    with pytest.raises(InclusionInvalid):
        verify_receipt(with_inclusion(case.bundle, signatures=()), facts, offline=True)


@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("name", RECEIPT_FIELDS)
def test_any_flipped_field_is_found(case, name, bare, offline):
    receipt = case.bundle.signed.receipt
    changed = replace(receipt, **{name: flip(getattr(receipt, name))})
    bundle = replace(case.bundle, signed=SignedReceipt(changed, case.bundle.signed.signatures))
    if bare:
        bundle = replace(bundle, request=None, input_openings=None, output_openings=None)
    with pytest.raises(ReceiptInvalid):
        verify_receipt(bundle, case.facts, offline=offline)
    with pytest.raises((ReceiptSignatureInvalid, UnknownReceiptVersion)):
        verify_signatures(bundle.signed, case.facts.receipt_domain, case.bundle.members)


@pytest.mark.parametrize("position", [0, 31, 32, 63, 64])
@pytest.mark.parametrize("party", [0, 1, 2])
def test_any_flipped_byte_of_a_signature_is_found(case, party, position):
    signatures = list(case.bundle.signed.signatures)
    signer, signature = signatures[party]
    changed = bytearray(signature)
    changed[position] ^= 1
    signatures[party] = (signer, bytes(changed))
    with pytest.raises(ReceiptSignatureInvalid) as caught:
        verify_receipt(with_signatures(case.bundle, signatures), case.facts)
    assert caught.value.party == party


# Step 1


def test_another_version_is_unknown(case):
    with pytest.raises(UnknownReceiptVersion):
        verify_receipt(case.resigned(version=2), case.facts)


@pytest.mark.parametrize("changes", [{"engine": b"\xff" * 32}, {"engine": bytes(32)}, {"finished": 1}])
def test_words_that_make_no_sense_are_refused(case, changes):
    with pytest.raises(UnknownReceiptVersion):
        verify_receipt(case.resigned(**changes), case.facts)


# Step 2


def test_an_inactive_model_is_refused(case):
    party_set = case.bundle.signed.receipt.party_set
    for models in ({}, {case.bundle.signed.receipt.model_hash: ModelFact(False, party_set)}):
        with pytest.raises(ReceiptModelInactive):
            verify_receipt(case.bundle, replace(case.facts, models=models))


def test_the_model_is_judged_at_the_receipts_block(case):
    class Later:
        """A registry in which the model was activated at block 13."""

        receipt_domain = case.facts.receipt_domain
        members, signer_valid, anchored = case.facts.members, case.facts.signer_valid, case.facts.anchored
        signer_revoked = case.facts.signer_revoked

        def model(self, model_hash, block):
            return ModelFact(block >= 13, case.facts.models[model_hash].party_set)

    with pytest.raises(ReceiptModelInactive):
        verify_receipt(case.bundle, Later())


# Step 3


def test_a_party_set_that_is_not_the_models_is_refused(case):
    other = {case.bundle.signed.receipt.model_hash: ModelFact(True, b"q" * 32)}
    with pytest.raises(ReceiptPartySetInvalid):
        verify_receipt(case.bundle, replace(case.facts, models=other))


def test_other_members_are_refused(case):
    party_set, members = case.bundle.signed.receipt.party_set, case.bundle.members
    for found in ({}, {party_set: ()}, {party_set: members[::-1]}, {party_set: members[:2]}):
        with pytest.raises(ReceiptPartySetInvalid):
            verify_receipt(case.bundle, replace(case.facts, party_sets=found))
    with pytest.raises(ReceiptPartySetInvalid):
        verify_receipt(replace(case.bundle, members=members[::-1]), case.facts)


def test_another_network_is_refused(case):
    for domain in (Domain(1, case.facts.receipt_domain.verifying_contract), Domain(31337, Address("0x" + "9" * 40))):
        with pytest.raises(ReceiptPartySetInvalid):
            verify_receipt(case.bundle, replace(case.facts, receipt_domain=domain))


def test_a_key_that_was_revoked_before_is_refused_and_one_revoked_later_is_not(case):
    member, second = case.bundle.members[1], case.bundle.signed.receipt.finished // 1000
    with pytest.raises(ReceiptPartySetInvalid, match=member):
        verify_receipt(case.bundle, Keys(case.facts, {(member, member): (0, second)}))
    bare = with_inclusion(case.bundle, signatures=())
    assert verify_receipt(bare, Keys(case.facts, {(member, member): (0, second + 1)}))


# Step 4


def test_a_missing_doubled_or_foreign_signature_is_refused(case):
    first, second, third = case.bundle.signed.signatures
    receipt, domain, stranger = case.bundle.signed.receipt, case.facts.receipt_domain, Signer.generate()
    foreign = (stranger.address, sign(receipt, domain, stranger))
    forged = (first[0], foreign[1])
    wrong = [(), (first,), (first, second), (first, second, second), (first, second, third, foreign)]
    wrong += [(first, second, foreign), (first, third, second), (forged, second, third), (first, second, third, third)]
    for signatures in wrong:
        bundle = with_signatures(case.bundle, signatures)
        with pytest.raises(ReceiptSignatureInvalid):
            verify_receipt(bundle, case.facts)
        with pytest.raises(ReceiptSignatureInvalid):
            verify_signatures(bundle.signed, domain, case.bundle.members)


def test_a_party_that_signed_another_receipt_is_named(case):
    signatures = list(case.bundle.signed.signatures)
    other = replace(case.bundle.signed.receipt, transcript=b"x" * 32)
    signatures[2] = (case.parties[2].address, sign(other, case.facts.receipt_domain, case.parties[2]))
    with pytest.raises(ReceiptSignatureInvalid) as caught:
        verify_signatures(
            with_signatures(case.bundle, signatures).signed, case.facts.receipt_domain, case.bundle.members
        )
    assert caught.value.party == 2


def test_signatures_alone_are_enough_right_after_a_job(case):
    signed = case.bundle.signed
    assert verify_signatures(signed, case.facts.receipt_domain, list(case.bundle.members)) == signed.receipt


def test_a_key_that_the_identity_named_may_sign_while_it_is_valid(case):
    delegate, member = Signer.generate(), case.bundle.members[0]
    parties = [delegate, *case.parties[1:]]
    receipt, domain = case.bundle.signed.receipt, case.facts.receipt_domain
    signatures = tuple((party.address, sign(receipt, domain, party)) for party in parties)
    bundle = with_inclusion(with_signatures(case.bundle, signatures), signatures=())
    second = receipt.finished // 1000
    assert verify_receipt(bundle, Keys(case.facts, {(member, delegate.address): (second, second + 1)}))
    with pytest.raises(ReceiptSignatureInvalid):
        verify_receipt(bundle, Keys(case.facts, {(member, delegate.address): (second + 1, second + 9)}))
    with pytest.raises(ReceiptSignatureInvalid):
        verify_receipt(bundle, case.facts)


# Step 5


@pytest.mark.parametrize("part", ["salt", "share"])
@pytest.mark.parametrize("party", [0, 1, 2])
@pytest.mark.parametrize("what", ["input", "output"])
def test_any_changed_opening_is_found(case, what, party, part):
    given = case.bundle.input_openings if what == "input" else case.bundle.output_openings.shares
    shares = list(given)
    shares[party] = replace(shares[party], **{part: flip(getattr(shares[party], part))})
    changed = tuple(shares)
    wrong = changed if what == "input" else replace(case.bundle.output_openings, shares=changed)
    with pytest.raises(OpeningMismatch):
        verify_receipt(replace(case.bundle, **{f"{what}_openings": wrong}), case.facts)


def test_openings_must_be_complete_in_order_and_of_the_session(case):
    inputs, outputs = case.bundle.input_openings, case.bundle.output_openings
    for wrong in ((), inputs[:2], inputs[::-1], (*inputs, inputs[0])):
        with pytest.raises(OpeningMismatch):
            verify_receipt(replace(case.bundle, input_openings=wrong), case.facts)
    with pytest.raises(OpeningMismatch):
        verify_receipt(replace(case.bundle, output_openings=replace(outputs, session_id=b"x" * 16)), case.facts)


@pytest.mark.parametrize(
    "changes",
    [
        {"job_id": b"x" * 32},
        {"model_hash": b"x" * 32},
        {"party_set": b"x" * 32},
        {"input_root": b"x" * 32},
        {"owner": Address("0x" + "9" * 40)},
        {"delivery": 1},
        {"result_key": b"x" * 32},
        {"rows": 4},
        {"nonce": b"x" * 32},
        {"deadline": 1},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_request_is_found_even_if_its_owner_signed_it(case, changes):
    request = replace(case.bundle.request.request, **changes)
    signature = sign(request, case.facts.receipt_domain, case.owner)
    for each in (signature, case.bundle.request.signature):
        with pytest.raises(OpeningMismatch):
            verify_receipt(
                replace(case.bundle, request=replace(case.bundle.request, request=request, signature=each)), case.facts
            )


def test_a_request_that_the_parties_bent_is_found(case):
    """All parties sign a receipt that names the request, and differs from it."""
    for name in ("job_id", "input_root", "nonce"):
        with pytest.raises(OpeningMismatch):
            verify_receipt(case.resigned(**{name: b"x" * 32}), case.facts)


def test_a_request_must_be_signed_by_its_owner(case):
    for signature in (bytes(65), b"", sign(case.bundle.request.request, case.facts.receipt_domain, case.parties[0])):
        with pytest.raises(OpeningMismatch):
            verify_receipt(replace(case.bundle, request=replace(case.bundle.request, signature=signature)), case.facts)
