"""Receipts against the real chain: what verifies, what does not, and which step says so."""

import dataclasses
import json
from pathlib import Path

import pytest

from mpc_infer import Client
from mpc_infer.devnet.training import TrainedModel
from mpc_infer.errors import (
    InclusionInvalid,
    MpcInferError,
    OpeningMismatch,
    ReceiptModelInactive,
    ReceiptPartySetInvalid,
    ReceiptSignatureInvalid,
    RootNotAnchored,
    UnknownReceiptVersion,
)
from mpc_infer.evidence import merkle
from mpc_infer.evidence.bundle import Bundle
from mpc_infer.evidence.eip712 import Receipt

WORD = 32


@pytest.fixture(scope="module", params=["coordinator", "client"])
def bundle(alice: Client, published: dict[str, TrainedModel], request: pytest.FixtureRequest) -> Bundle:
    """A receipt that is anchored."""
    rows = published["breast-cancer"].rows[:2]
    result = alice.infer("breast-cancer", {"x": rows}, delivery=request.param, anchored=True)
    return alice.bundle(result)


def test_a_receipt_verifies_in_seven_steps(alice: Client, bundle: Bundle) -> None:
    assert len(alice.verify(bundle).steps) == 7
    assert len(alice.verify(bundle, offline=True).steps) == 6


def test_it_verifies_from_its_file_and_without_what_reveals_the_result(
    alice: Client, bundle: Bundle, tmp_path: Path
) -> None:
    bundle.save(tmp_path / "receipt.json")
    assert (tmp_path / "receipt.json").stat().st_mode & 0o077 == 0
    assert Bundle.load(tmp_path / "receipt.json") == bundle
    alice.verify(dataclasses.replace(bundle, output_openings=None, request=None))


def test_anyone_may_verify(owner: Client, bundle: Bundle) -> None:
    owner.verify(bundle)


def with_words(bundle: Bundle, words: bytes) -> Bundle:
    return dataclasses.replace(bundle, signed=dataclasses.replace(bundle.signed, receipt=Receipt.from_words(words)))


FIELDS = [field.name for field in dataclasses.fields(Receipt)]
# Which step notices: what the registry is asked about comes before the signatures, which cover all the rest.
NOTICED = dict.fromkeys(FIELDS, ReceiptSignatureInvalid) | {
    "version": UnknownReceiptVersion,
    "engine": UnknownReceiptVersion,
    "model_hash": ReceiptModelInactive,
    "party_set": ReceiptPartySetInvalid,
}


@pytest.mark.parametrize("field", FIELDS)
def test_a_flipped_bit_in_any_field_is_noticed(alice: Client, bundle: Bundle, field: str) -> None:
    words = bytearray(bundle.signed.receipt.to_words())
    assert len(words) == len(FIELDS) * WORD
    words[(FIELDS.index(field) + 1) * WORD - 1] ^= 1
    with pytest.raises(MpcInferError) as caught:
        alice.verify(with_words(bundle, bytes(words)))
    assert type(caught.value) is NOTICED[field], caught.value


@pytest.mark.parametrize("party", range(3))
def test_a_changed_signature_is_noticed(alice: Client, bundle: Bundle, party: int) -> None:
    signatures = list(bundle.signed.signatures)
    signer, signature = signatures[party]
    signatures[party] = (signer, signature[:10] + bytes([signature[10] ^ 1]) + signature[11:])
    with pytest.raises(ReceiptSignatureInvalid) as caught:
        alice.verify(
            dataclasses.replace(bundle, signed=dataclasses.replace(bundle.signed, signatures=tuple(signatures)))
        )
    assert caught.value.party == party


def test_a_missing_doubled_or_swapped_signature_is_noticed(alice: Client, bundle: Bundle) -> None:
    first, second, third = bundle.signed.signatures
    for signatures in ((first, second), (first, second, second), (second, first, third), ()):
        with pytest.raises((ReceiptSignatureInvalid, ReceiptPartySetInvalid)):
            alice.verify(dataclasses.replace(bundle, signed=dataclasses.replace(bundle.signed, signatures=signatures)))


def test_a_proof_for_another_root_is_noticed(alice: Client, bundle: Bundle) -> None:
    inclusion = bundle.inclusion
    assert inclusion is not None
    with pytest.raises(InclusionInvalid):
        alice.verify(dataclasses.replace(bundle, inclusion=dataclasses.replace(inclusion, root=bytes(32))))
    with pytest.raises(InclusionInvalid):
        alice.verify(dataclasses.replace(bundle, inclusion=None))


def test_a_root_that_nobody_anchored_is_noticed(alice: Client, bundle: Bundle) -> None:
    inclusion = bundle.inclusion
    assert inclusion is not None
    domain = bundle.receipt_domain
    alone = merkle.root([bundle.signed.receipt.digest(domain), bytes(32)])
    path = tuple(merkle.inclusion_path([bundle.signed.receipt.digest(domain), bytes(32)], 0))
    made_up = dataclasses.replace(inclusion, index=0, size=2, path=path, root=alone, signatures=())
    with pytest.raises(RootNotAnchored):
        alice.verify(dataclasses.replace(bundle, inclusion=made_up))


def test_another_result_is_noticed(alice: Client, bundle: Bundle) -> None:
    openings = bundle.output_openings
    assert openings is not None
    share = openings.shares[0]
    changed = dataclasses.replace(share, share=share.share[:-1] + bytes([share.share[-1] ^ 1]))
    outputs = dataclasses.replace(openings, shares=(changed, *openings.shares[1:]))
    with pytest.raises(OpeningMismatch):
        alice.verify(dataclasses.replace(bundle, output_openings=outputs))


def test_another_chain_is_noticed(alice: Client, bundle: Bundle) -> None:
    with pytest.raises(ReceiptPartySetInvalid):
        alice.verify(dataclasses.replace(bundle, chain_id=1))


@pytest.mark.parametrize("damage", ["{}", "[]", "null", "[" * 10_000, '{"schema": "mpc-infer/bundle/v2"}'])
def test_a_file_that_is_no_bundle(damage: str) -> None:
    with pytest.raises(MpcInferError):
        Bundle.from_json(damage.encode())


def test_unknown_fields_in_a_bundle_are_refused(bundle: Bundle) -> None:
    content = json.loads(bundle.to_json())
    content["verified"] = True
    with pytest.raises(MpcInferError):
        Bundle.from_json(json.dumps(content).encode())
