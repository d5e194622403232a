from dataclasses import dataclass, replace

import pytest

from mpc_infer.evidence import (
    AnchorFact,
    BatchRoot,
    Bundle,
    Contracts,
    Delivery,
    Domain,
    Inclusion,
    JobRequest,
    ModelFact,
    OutputOpenings,
    Receipt,
    RecordedFacts,
    ShareOpening,
    SignedReceipt,
    SignedRequest,
    engine_word,
    merkle,
    sign,
)
from mpc_infer.identity import Signer
from mpc_infer.ids import Address, JobId, ModelHash, PartySetId, SessionId
from mpc_infer.sharing import input_context, output_context, share_commitment

CONTRACTS = Contracts(*(Address("0x" + digit * 40) for digit in "123"))
DOMAIN = Domain(31337, CONTRACTS.receipt_anchor)
JOB, MODEL, SET, SESSION = JobId(b"j" * 32), ModelHash(b"m" * 32), PartySetId(b"p" * 32), SessionId(b"s" * 16)
FINISHED_MS = 1_700_000_001_500


@dataclass
class Case:
    """A receipt of three parties with everything that belongs to it, and the keys to sign something else instead."""

    owner: Signer
    parties: list[Signer]
    bundle: Bundle
    facts: RecordedFacts

    def resigned(self, **changes) -> Bundle:
        """The bundle around another receipt that all parties signed, in a batch of its own."""
        receipt = replace(self.bundle.signed.receipt, **changes)
        signed = signed_by(receipt, self.parties)
        inclusion, _ = batch_of(receipt, self.parties)
        return replace(self.bundle, signed=signed, inclusion=inclusion)


def signed_by(receipt: Receipt, parties: list[Signer]) -> SignedReceipt:
    return SignedReceipt(receipt, tuple((party.address, sign(receipt, DOMAIN, party)) for party in parties))


def batch_of(receipt: Receipt, parties: list[Signer], others: int = 4) -> tuple[Inclusion, AnchorFact]:
    leaves = [bytes([index]) * 32 for index in range(others)]
    leaves.insert(2, receipt.digest(DOMAIN))
    batch = BatchRoot(merkle.root(leaves), len(leaves), receipt.party_set)
    signatures = tuple((party.address, sign(batch, DOMAIN, party)) for party in parties)
    path = tuple(merkle.inclusion_path(leaves, 2))
    inclusion = Inclusion(2, len(leaves), path, batch.root, signatures, b"t" * 32, 7, 79_742)
    return inclusion, AnchorFact(len(leaves), receipt.finished // 1000 + 2)


def openings_of(contexts: list[bytes], what: str) -> tuple[tuple[ShareOpening, ...], bytes]:
    shares = tuple(ShareOpening(bytes([i]) * 32, f"{what} share {i}".encode()) for i in range(len(contexts)))
    pairs = zip(shares, contexts, strict=True)
    return shares, merkle.root([share_commitment(each.salt, context, each.share) for each, context in pairs])


@pytest.fixture(scope="session")
def case() -> Case:
    owner, parties = Signer.generate(), [Signer.generate() for _ in range(3)]
    members = tuple(party.address for party in parties)
    inputs, input_root = openings_of([input_context(JOB, MODEL, member) for member in members], "input")
    outputs, output_root = openings_of([output_context(SESSION, JOB, member) for member in members], "output")
    request = JobRequest(
        JOB, MODEL, SET, input_root, owner.address, Delivery.CLIENT, b"k" * 32, 3, b"n" * 32, FINISHED_MS + 1
    )
    receipt = Receipt(
        version=1,
        job_id=JOB,
        request_digest=request.digest(DOMAIN),
        model_hash=MODEL,
        party_set=SET,
        plan_digest=b"l" * 32,
        engine=engine_word("crypten"),
        input_root=input_root,
        output_commitment=output_root,
        transcript=b"r" * 32,
        nonce=b"n" * 32,
        started=FINISHED_MS - 1000,
        finished=FINISHED_MS,
        registry_block=12,
    )
    inclusion, anchor = batch_of(receipt, parties)
    bundle = Bundle(
        chain_id=31337,
        contracts=CONTRACTS,
        members=members,
        signed=signed_by(receipt, parties),
        request=SignedRequest(request, sign(request, DOMAIN, owner)),
        input_openings=inputs,
        output_openings=OutputOpenings(SESSION, outputs),
        inclusion=inclusion,
    )
    facts = RecordedFacts(DOMAIN, {SET: members}, {MODEL: ModelFact(True, SET)}, {(inclusion.root, SET): anchor})
    return Case(owner, parties, bundle, facts)
