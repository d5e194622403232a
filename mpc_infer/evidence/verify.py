"""The numbered verification of a receipt.

What it proves: the parties of this set claim, with their signatures, to have run this model on the committed inputs
with the committed result. It does not prove that they did: they are trusted not to deviate (docs/security_model.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mpc_infer.encoding import same_digest
from mpc_infer.errors import (
    BadSignature,
    InclusionInvalid,
    InvalidRequest,
    OpeningMismatch,
    ReceiptModelInactive,
    ReceiptPartySetInvalid,
    ReceiptSignatureInvalid,
    RootNotAnchored,
    UnknownReceiptVersion,
)
from mpc_infer.evidence import merkle
from mpc_infer.evidence.bundle import Bundle
from mpc_infer.evidence.eip712 import RECEIPT_VERSION, BatchRoot, Domain, Receipt, check_signer, engine_name
from mpc_infer.evidence.facts import AnchorFact, RegistryFacts
from mpc_infer.evidence.receipt import Inclusion, PartySignature, ShareOpening, SignedReceipt
from mpc_infer.ids import Address
from mpc_infer.sharing.commitment import input_context, output_context, share_commitment

STEPS = (
    "version known",
    "model version active at the receipt's block",
    "party set and keys valid at that time",
    "signed by every party, and by nobody else",
    "openings match",
    "inclusion proof leads to the root",
    "root anchored after the receipt, and before any of its keys was revoked",
)

# By how many seconds the chain's clock may be behind the parties' (CLOCK_TOLERANCE in ReceiptAnchor.sol).
ANCHOR_TOLERANCE_S = 300


@dataclass(frozen=True)
class VerifiedReceipt:
    """A receipt that passed.

    Attributes:
        receipt: what the parties signed.
        digest: its EIP-712 digest, 32 bytes.
        members: the identities that signed, in order.
        inclusion: where it stands in its batch.
        steps: what was checked, in order; the last is missing from an offline verification.
    """

    receipt: Receipt
    digest: bytes
    members: tuple[Address, ...]
    inclusion: Inclusion
    steps: tuple[str, ...]


def verify_receipt(bundle: Bundle, facts: RegistryFacts, *, offline: bool = False) -> VerifiedReceipt:
    """Verify a receipt in seven steps; each fails with its own error.

    1. the receipt's version is known and its words make sense (UnknownReceiptVersion);
    2. the model version was active at the receipt's block (ReceiptModelInactive);
    3. the party set is the model's, its members are the bundle's, and their keys were valid when the receipt was made
       (ReceiptPartySetInvalid);
    4. every member signed, once, and nobody else (ReceiptSignatureInvalid);
    5. the request and the openings, where the bundle has them, match (OpeningMismatch);
    6. the inclusion proof leads to the root, and the signatures of the root, which only a verification with step 7
       can do without, are one of each member (InclusionInvalid);
    7. that root is anchored by this party set, not before the receipt was finished, and before any key that signed the
       receipt was revoked (RootNotAnchored). A stolen key can write any time into what it signs; the chain's time shows
       whether that signature existed before the revocation.

    Args:
        bundle: what is to be verified.
        facts: what the registry says. Their domain decides, not the bundle's.
        offline: leave out step 7, the only one that needs to ask the chain about this very receipt.
    """
    receipt, domain = bundle.signed.receipt, facts.receipt_domain
    _check_version(receipt)
    _check_model(receipt, facts)
    members = _check_party_set(bundle, facts)
    _check_delegates(bundle.signed.signatures, members, receipt, facts)
    digest = _check_signatures(bundle.signed, domain)
    _check_openings(bundle, domain, members)
    inclusion = _check_inclusion(bundle, digest)
    anchor = None if offline else facts.anchored(inclusion.root, receipt.party_set)
    if inclusion.signatures or offline:
        signed_at = receipt.finished // 1000 if anchor is None else anchor.timestamp
        _check_batch_signers(inclusion, members, signed_at, facts)
        _check_batch_signatures(inclusion, receipt, domain)
    if not offline:
        found = _check_anchor(inclusion, receipt, anchor)
        _check_not_revoked(bundle.signed, members, found, facts)
    return VerifiedReceipt(receipt, digest, members, inclusion, STEPS[: len(STEPS) - offline])


def verify_signatures(signed: SignedReceipt, domain: Domain, members: Sequence[Address]) -> Receipt:
    """Steps 1 and 4 alone, for a receipt that is fresh from the parties: every member signed with its identity key.

    Returns:
        The receipt.

    Raises:
        UnknownReceiptVersion: step 1 fails.
        ReceiptSignatureInvalid: a signature is missing, doubled, foreign or wrong.
    """
    _check_version(signed.receipt)
    signers = tuple(signer for signer, _ in signed.signatures)
    if signers != tuple(members):
        raise ReceiptSignatureInvalid(
            f"{len(signers)} signatures for {len(members)} parties, or not by each party in the set's order"
        )
    _check_signatures(signed, domain)
    return signed.receipt


def _check_version(receipt: Receipt) -> None:
    if receipt.version != RECEIPT_VERSION:
        raise UnknownReceiptVersion(
            f"the receipt has version {receipt.version}, known is {RECEIPT_VERSION}", remedy="update this software"
        )
    try:
        engine_name(receipt.engine)
    except InvalidRequest as error:
        raise UnknownReceiptVersion(error.message) from error
    if receipt.finished < receipt.started:
        raise UnknownReceiptVersion("the receipt's computation ended before it began")


def _check_model(receipt: Receipt, facts: RegistryFacts) -> None:
    model = facts.model(receipt.model_hash, receipt.registry_block)
    if model is None or not model.active:
        state = "unknown" if model is None else "not active"
        raise ReceiptModelInactive(
            f"model {receipt.model_hash.hex()[:16]} was {state} at block {receipt.registry_block}"
        )
    if model.party_set != receipt.party_set:
        raise ReceiptPartySetInvalid("the receipt's party set is not the model's")


def _check_party_set(bundle: Bundle, facts: RegistryFacts) -> tuple[Address, ...]:
    receipt = bundle.signed.receipt
    if bundle.receipt_domain != facts.receipt_domain:
        raise ReceiptPartySetInvalid(
            "the bundle is for another chain or anchor contract", remedy="verify against the network it is from"
        )
    members = facts.members(receipt.party_set)
    if not members or members != bundle.members:
        raise ReceiptPartySetInvalid("the party set is unknown, or has other members than the bundle says")
    for member, (signer, _) in zip(members, bundle.signed.signatures, strict=False):
        if signer == member and not facts.signer_valid(member, signer, receipt.finished // 1000):
            raise ReceiptPartySetInvalid(f"the key of {member} was not valid when the receipt was made")
    return members


def _check_delegates(
    signatures: Sequence[PartySignature], members: Sequence[Address], receipt: Receipt, facts: RegistryFacts
) -> None:
    """Step 4, who signed: one signer per member in order, either the member itself or a key that it named."""
    signers = [signer for signer, _ in signatures]
    if len(signers) != len(members) or len(set(signers)) != len(signers):
        raise ReceiptSignatureInvalid(f"{len(set(signers))} distinct signers for {len(members)} parties")
    for member, signer in zip(members, signers, strict=True):
        if signer != member and not facts.signer_valid(member, signer, receipt.finished // 1000):
            raise ReceiptSignatureInvalid(f"{signer} could not sign for {member}")


def _check_signatures(signed: SignedReceipt, domain: Domain) -> bytes:
    """Step 4, the signatures themselves. Returns the receipt's digest."""
    digest = signed.receipt.digest(domain)
    for index, (signer, signature) in enumerate(signed.signatures):
        try:
            check_signer(digest, signature, signer)
        except BadSignature as error:
            raise ReceiptSignatureInvalid(f"the signature of party {index} is wrong", party=index) from error
    return digest


def _check_openings(bundle: Bundle, domain: Domain, members: Sequence[Address]) -> None:
    receipt = bundle.signed.receipt
    if bundle.request is not None:
        _check_request(bundle, domain)
    if bundle.input_openings is not None:
        contexts = [input_context(receipt.job_id, receipt.model_hash, member) for member in members]
        _check_root(bundle.input_openings, contexts, receipt.input_root, "input")
    if bundle.output_openings is not None:
        session = bundle.output_openings.session_id
        contexts = [output_context(session, receipt.job_id, member) for member in members]
        _check_root(bundle.output_openings.shares, contexts, receipt.output_commitment, "output")


def _check_request(bundle: Bundle, domain: Domain) -> None:
    if bundle.request is None:
        return
    request, receipt = bundle.request.request, bundle.signed.receipt
    digest = request.digest(domain)
    same = ("job_id", "model_hash", "party_set", "input_root", "nonce")
    if digest != receipt.request_digest or any(getattr(request, name) != getattr(receipt, name) for name in same):
        raise OpeningMismatch("the request in the bundle is not the one that the receipt answers")
    try:
        check_signer(digest, bundle.request.signature, request.owner)
    except BadSignature as error:
        raise OpeningMismatch("the request in the bundle is not signed by its owner") from error


def _check_root(openings: Sequence[ShareOpening], contexts: Sequence[bytes], root: bytes, what: str) -> None:
    if len(openings) != len(contexts):
        raise OpeningMismatch(f"{len(openings)} {what} openings for {len(contexts)} parties")
    pairs = zip(openings, contexts, strict=True)
    commitments = [share_commitment(opening.salt, context, opening.share) for opening, context in pairs]
    if not same_digest(merkle.root(commitments), root):
        raise OpeningMismatch(f"the {what} openings do not open the receipt's {what} commitment")


def _check_inclusion(bundle: Bundle, digest: bytes) -> Inclusion:
    inclusion = bundle.inclusion
    if inclusion is None:
        raise InclusionInvalid(
            "the bundle holds no inclusion proof", remedy="fetch the receipt again once it is in one"
        )
    merkle.verify_inclusion(digest, inclusion.index, inclusion.size, inclusion.path, inclusion.root)
    return inclusion


def _check_batch_signers(
    inclusion: Inclusion, members: Sequence[Address], signed_at: int, facts: RegistryFacts
) -> None:
    """One signer per member in order: the member itself, or a key that could sign for it then (Unix seconds)."""
    signers = [signer for signer, _ in inclusion.signatures]
    if len(signers) != len(members) or len(set(signers)) != len(signers):
        raise InclusionInvalid(f"the batch has {len(set(signers))} distinct signers for {len(members)} parties")
    for index, (member, signer) in enumerate(zip(members, signers, strict=True)):
        if not facts.signer_valid(member, signer, signed_at):
            raise InclusionInvalid(f"{signer} could not sign the batch for {member}", party=index)


def _check_batch_signatures(inclusion: Inclusion, receipt: Receipt, domain: Domain) -> None:
    digest = BatchRoot(inclusion.root, inclusion.size, receipt.party_set).digest(domain)
    for index, (signer, signature) in enumerate(inclusion.signatures):
        try:
            check_signer(digest, signature, signer)
        except BadSignature as error:
            raise InclusionInvalid(f"party {index}'s signature of the batch is wrong", party=index) from error


def _check_anchor(inclusion: Inclusion, receipt: Receipt, anchor: AnchorFact | None) -> AnchorFact:
    if anchor is None:
        raise RootNotAnchored(
            "the batch's root is not on the chain for this party set", remedy="wait for its transaction, then verify"
        )
    if anchor.size != inclusion.size:
        raise RootNotAnchored("the root is on the chain with another size")
    if receipt.finished // 1000 > anchor.timestamp + ANCHOR_TOLERANCE_S:
        raise RootNotAnchored("the root was anchored before the time at which the receipt says it was finished")
    return anchor


def _check_not_revoked(
    signed: SignedReceipt, members: Sequence[Address], anchor: AnchorFact, facts: RegistryFacts
) -> None:
    for index, (member, (signer, _)) in enumerate(zip(members, signed.signatures, strict=True)):
        if facts.signer_revoked(member, signer, anchor.timestamp):
            raise RootNotAnchored(
                f"the root was anchored after the key of {member} was revoked",
                remedy="nothing shows that the receipt was signed before the revocation: do not rely on it",
                party=index,
            )
