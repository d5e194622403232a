"""A receipt as a file: everything that somebody else needs in order to verify it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mpc_infer.encoding import parse_json
from mpc_infer.errors import InvalidRequest, StoreError
from mpc_infer.evidence.eip712 import Domain, JobRequest, Receipt
from mpc_infer.evidence.fields import Fields, to_hex, write_json
from mpc_infer.evidence.merkle import MAX_PATH
from mpc_infer.evidence.receipt import (
    Inclusion,
    OutputOpenings,
    PartySignature,
    ShareOpening,
    SignedReceipt,
    SignedRequest,
)
from mpc_infer.identity.signer import SIGNATURE_BYTES
from mpc_infer.ids import Address, SessionId
from mpc_infer.sharing.commitment import SALT_BYTES

SCHEMA = "mpc-infer/bundle/v1"
MAX_PARTIES = 64
MAX_FILE_BYTES = 64 * 1024 * 1024
_SESSION_BYTES = 16
_TRANSACTION_BYTES = 32


@dataclass(frozen=True)
class Contracts:
    """The contracts that a receipt was made under."""

    party_registry: Address
    model_registry: Address
    receipt_anchor: Address


@dataclass(frozen=True)
class Bundle:
    """A signed receipt and its evidence. What is None was not given; nothing in it is verified yet.

    Args:
        chain_id: the chain of the contracts.
        contracts: where models, parties and roots are looked up.
        members: the party set's identities in order, as the bundle's maker saw them.
        signed: the receipt.
        request: the owner's request, if whoever verifies may see it.
        input_openings: every party's input share, if the owner reveals the input.
        output_openings: every party's output share, if its holder reveals the result.
        inclusion: the proof, once the receipt is in a batch.
    """

    chain_id: int
    contracts: Contracts
    members: tuple[Address, ...]
    signed: SignedReceipt
    request: SignedRequest | None = None
    input_openings: tuple[ShareOpening, ...] | None = None
    output_openings: OutputOpenings | None = None
    inclusion: Inclusion | None = None

    @property
    def receipt_domain(self) -> Domain:
        """The domain that the bundle claims for its receipt."""
        return Domain(self.chain_id, self.contracts.receipt_anchor)

    def to_json(self) -> bytes:
        """The file's contents: JSON, indented for people."""
        return write_json(_bundle_to_dict(self))

    @classmethod
    def from_json(cls, data: bytes) -> "Bundle":
        """Read ``to_json``, strictly.

        Raises:
            InvalidRequest: not JSON, a field missing, unknown or of the wrong form, or over a limit.
        """
        return _bundle_from(Fields(parse_json(data, max_bytes=MAX_FILE_BYTES), "the bundle"))

    def save(self, path: Path) -> None:
        """Write the file. It may hold openings: it is for the owner's eyes until the owner hands it on.

        Raises:
            StoreError: it cannot be written.
        """
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor, not a path)
                os.fchmod(descriptor, 0o600)
                file.write(self.to_json())
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: Path) -> "Bundle":
        """Read the file.

        Raises:
            InvalidRequest: it cannot be read, or is not a bundle.
        """
        try:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except OSError as error:
            raise InvalidRequest(f"{path} cannot be read: {error.strerror}") from error
        return cls.from_json(data)


def _bundle_to_dict(bundle: Bundle) -> dict[str, Any]:
    found = bundle.contracts
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "chain_id": bundle.chain_id,
        "contracts": {
            "party_registry": found.party_registry,
            "model_registry": found.model_registry,
            "receipt_anchor": found.receipt_anchor,
        },
        "members": list(bundle.members),
        "receipt": to_hex(bundle.signed.receipt.to_words()),
        "signatures": _signatures_to_list(bundle.signed.signatures),
    }
    if bundle.request is not None:
        words, signature = bundle.request.request.to_words(), bundle.request.signature
        content["request"] = {"words": to_hex(words), "signature": to_hex(signature)}
    if bundle.input_openings is not None:
        content["input_openings"] = _openings_to_list(bundle.input_openings)
    if bundle.output_openings is not None:
        session, shares = bundle.output_openings.session_id, bundle.output_openings.shares
        content["output_openings"] = {"session_id": to_hex(session), "shares": _openings_to_list(shares)}
    if bundle.inclusion is not None:
        content["inclusion"] = _inclusion_to_dict(bundle.inclusion)
    return content


def _inclusion_to_dict(inclusion: Inclusion) -> dict[str, Any]:
    return {
        "index": inclusion.index,
        "size": inclusion.size,
        "path": [to_hex(node) for node in inclusion.path],
        "root": to_hex(inclusion.root),
        "signatures": _signatures_to_list(inclusion.signatures),
        "transaction": to_hex(inclusion.transaction),
        "block": inclusion.block,
        "gas_used": inclusion.gas_used,
    }


def _signatures_to_list(signatures: Sequence[PartySignature]) -> list[dict[str, str]]:
    return [{"signer": signer, "signature": to_hex(signature)} for signer, signature in signatures]


def _openings_to_list(openings: Sequence[ShareOpening]) -> list[dict[str, str]]:
    return [{"salt": to_hex(opening.salt), "share": to_hex(opening.share)} for opening in openings]


def _bundle_from(fields: Fields) -> Bundle:
    if fields.text("schema") != SCHEMA:
        raise InvalidRequest(f"the bundle's schema is not {SCHEMA}")
    request, outputs, inclusion = (fields.optional(name) for name in ("request", "output_openings", "inclusion"))
    bundle = Bundle(
        chain_id=fields.number("chain_id"),
        contracts=_contracts_from(fields.nested("contracts")),
        members=tuple(fields.addresses("members", MAX_PARTIES)),
        signed=SignedReceipt(Receipt.from_words(fields.data("receipt")), _signatures_from(fields, "signatures")),
        request=None if request is None else _request_from(request),
        input_openings=_openings_from(fields, "input_openings") if fields.has("input_openings") else None,
        output_openings=None if outputs is None else _outputs_from(outputs),
        inclusion=None if inclusion is None else _inclusion_from(inclusion),
    )
    fields.end()
    return bundle


def _contracts_from(fields: Fields) -> Contracts:
    names = ("party_registry", "model_registry", "receipt_anchor")
    contracts = Contracts(*(fields.address(name) for name in names))
    fields.end()
    return contracts


def _signatures_from(fields: Fields, name: str) -> tuple[PartySignature, ...]:
    found = []
    for each in fields.items(name, MAX_PARTIES):
        found.append((each.address("signer"), each.data("signature", SIGNATURE_BYTES)))
        each.end()
    return tuple(found)


def _openings_from(fields: Fields, name: str) -> tuple[ShareOpening, ...]:
    found = []
    for each in fields.items(name, MAX_PARTIES):
        found.append(ShareOpening(each.data("salt", SALT_BYTES), each.data("share")))
        each.end()
    return tuple(found)


def _request_from(fields: Fields) -> SignedRequest:
    request = SignedRequest(JobRequest.from_words(fields.data("words")), fields.data("signature", SIGNATURE_BYTES))
    fields.end()
    return request


def _outputs_from(fields: Fields) -> OutputOpenings:
    session = SessionId(fields.data("session_id", _SESSION_BYTES))
    openings = OutputOpenings(session, _openings_from(fields, "shares"))
    fields.end()
    return openings


def _inclusion_from(fields: Fields) -> Inclusion:
    transaction = fields.data("transaction")
    if len(transaction) not in (0, _TRANSACTION_BYTES):
        raise InvalidRequest("the bundle's transaction is not a transaction hash")
    inclusion = Inclusion(
        index=fields.number("index"),
        size=fields.number("size"),
        path=tuple(fields.digests("path", MAX_PATH)),
        root=fields.data("root", 32),
        signatures=_signatures_from(fields, "signatures"),
        transaction=transaction,
        block=fields.number("block"),
        gas_used=fields.number("gas_used"),
    )
    fields.end()
    return inclusion
