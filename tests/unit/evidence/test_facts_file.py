"""Facts written down: enough to verify, and read strictly."""

import json

import pytest

from mpc_infer.errors import InvalidRequest, ReceiptModelInactive, ReceiptPartySetInvalid, RootNotAnchored
from mpc_infer.evidence.facts_file import facts_from_json, facts_to_json, record
from mpc_infer.evidence.verify import verify_receipt
from tests.unit.evidence.conftest import Case


def test_what_was_recorded_verifies_the_receipt(case: Case) -> None:
    facts = facts_from_json(facts_to_json(record([case.bundle], case.facts)))
    assert facts == case.facts
    assert len(verify_receipt(case.bundle, facts).steps) == 7


@pytest.mark.parametrize(
    ("field", "error"),
    [("models", ReceiptModelInactive), ("party_sets", ReceiptPartySetInvalid), ("anchors", RootNotAnchored)],
)
def test_what_was_not_recorded_is_not_believed(case: Case, field: str, error: type[Exception]) -> None:
    content = json.loads(facts_to_json(record([case.bundle], case.facts)))
    content[field] = []
    with pytest.raises(error):
        verify_receipt(case.bundle, facts_from_json(json.dumps(content).encode()))


def test_a_model_that_was_not_active_stays_so(case: Case) -> None:
    content = json.loads(facts_to_json(case.facts))
    content["models"][0]["active"] = 0
    with pytest.raises(ReceiptModelInactive):
        verify_receipt(case.bundle, facts_from_json(json.dumps(content).encode()))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "mpc-infer/facts/v2"},
        {"more": 1},
        {"chain_id": -1},
        {"models": {}},
        {"models": [{"model_hash": "0x00", "active": 1, "party_set": "0x" + "00" * 32}]},
        {"anchors": [{"root": "0x" + "00" * 32}]},
        {"party_sets": [{"party_set": "0x" + "00" * 32, "members": ["0x12"]}]},
    ],
)
def test_a_file_that_holds_no_facts_is_refused(case: Case, change: dict[str, object]) -> None:
    content = json.loads(facts_to_json(case.facts)) | change
    with pytest.raises(InvalidRequest):
        facts_from_json(json.dumps(content).encode())
