"""Facts as a file: what the registry said about some receipts, so that they can be verified without a chain.

The file is as good as whoever wrote it down: take it from somebody whom you trust, or write it yourself.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mpc_infer.encoding import parse_json
from mpc_infer.errors import InvalidRequest
from mpc_infer.evidence.bundle import Bundle
from mpc_infer.evidence.eip712 import Domain
from mpc_infer.evidence.facts import AnchorFact, ModelFact, RecordedFacts, RegistryFacts
from mpc_infer.evidence.fields import Fields, to_hex, write_json
from mpc_infer.ids import ModelHash, PartySetId

SCHEMA = "mpc-infer/facts/v1"
MAX_FILE_BYTES = 16 * 1024 * 1024
MAX_ENTRIES = 100_000
MAX_PARTIES = 64
_WORD = 32


def record(bundles: Iterable[Bundle], facts: RegistryFacts) -> RecordedFacts:
    """Ask for everything that verifying these receipts needs; what the registry does not know is left out.

    Args:
        bundles: receipts, whose models were active and whose keys were valid when they were made.
        facts: the chain.
    """
    models: dict[ModelHash, ModelFact] = {}
    party_sets: dict[PartySetId, tuple[Any, ...]] = {}
    anchors: dict[tuple[bytes, PartySetId], AnchorFact] = {}
    for bundle in bundles:
        receipt, inclusion = bundle.signed.receipt, bundle.inclusion
        if receipt.model_hash not in models and (model := facts.model(receipt.model_hash, receipt.registry_block)):
            models[receipt.model_hash] = model
        if receipt.party_set not in party_sets and (members := facts.members(receipt.party_set)):
            party_sets[receipt.party_set] = members
        key = None if inclusion is None else (inclusion.root, receipt.party_set)
        if key is not None and key not in anchors and (anchor := facts.anchored(*key)):
            anchors[key] = anchor
    return RecordedFacts(facts.receipt_domain, party_sets, models, anchors)


def facts_to_json(facts: RecordedFacts) -> bytes:
    """The file's contents: JSON, indented for people."""
    return write_json(
        {
            "schema": SCHEMA,
            "chain_id": facts.receipt_domain.chain_id,
            "receipt_anchor": facts.receipt_domain.verifying_contract,
            "party_sets": [
                {"party_set": to_hex(party_set), "members": list(members)}
                for party_set, members in facts.party_sets.items()
            ],
            "models": [
                {"model_hash": to_hex(model_hash), "active": int(model.active), "party_set": to_hex(model.party_set)}
                for model_hash, model in facts.models.items()
            ],
            "anchors": [
                {"root": to_hex(root), "party_set": to_hex(party_set), "size": each.size, "timestamp": each.timestamp}
                for (root, party_set), each in facts.anchors.items()
            ],
        }
    )


def facts_from_json(data: bytes) -> RecordedFacts:
    """Read ``facts_to_json``, strictly.

    Raises:
        InvalidRequest: not JSON, a field missing, unknown or of the wrong form, or over a limit.
    """
    fields = Fields(parse_json(data, max_bytes=MAX_FILE_BYTES), "the file of facts")
    if fields.text("schema") != SCHEMA:
        raise InvalidRequest(f"the file's schema is not {SCHEMA}")
    domain = Domain(fields.number("chain_id"), fields.address("receipt_anchor"))
    sets = dict(_party_set(entry) for entry in fields.items("party_sets", MAX_ENTRIES))
    models = dict(_model(entry) for entry in fields.items("models", MAX_ENTRIES))
    anchors = dict(_anchor(entry) for entry in fields.items("anchors", MAX_ENTRIES))
    fields.end()
    return RecordedFacts(domain, sets, models, anchors)


def load_facts(path: Path) -> RecordedFacts:
    """Read a file of facts.

    Raises:
        InvalidRequest: it cannot be read, or holds none.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
    return facts_from_json(data)


def _party_set(entry: Fields) -> tuple[PartySetId, tuple[Any, ...]]:
    found = PartySetId(entry.data("party_set", _WORD)), tuple(entry.addresses("members", MAX_PARTIES))
    entry.end()
    return found


def _model(entry: Fields) -> tuple[ModelHash, ModelFact]:
    model_hash, active = ModelHash(entry.data("model_hash", _WORD)), entry.number("active")
    found = model_hash, ModelFact(active == 1, PartySetId(entry.data("party_set", _WORD)))
    entry.end()
    return found


def _anchor(entry: Fields) -> tuple[tuple[bytes, PartySetId], AnchorFact]:
    key = entry.data("root", _WORD), PartySetId(entry.data("party_set", _WORD))
    found = key, AnchorFact(entry.number("size"), entry.number("timestamp"))
    entry.end()
    return found
