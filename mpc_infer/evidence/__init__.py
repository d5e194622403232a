"""Commitments, trees, signed structs, receipts, and the numbered verifier. Pure: no I/O but a bundle's own file."""

from mpc_infer.evidence import merkle
from mpc_infer.evidence.bundle import Bundle, Contracts
from mpc_infer.evidence.eip712 import (
    BatchRoot,
    Delivery,
    Domain,
    JobRequest,
    ModelHolding,
    ModelPublication,
    Receipt,
    check_signer,
    engine_name,
    engine_word,
    sign,
)
from mpc_infer.evidence.facts import AnchorFact, ModelFact, RecordedFacts, RegistryFacts
from mpc_infer.evidence.receipt import (
    Inclusion,
    OutputOpenings,
    PartySignature,
    ShareOpening,
    SignedReceipt,
    SignedRequest,
)
from mpc_infer.evidence.transcript import Transcript
from mpc_infer.evidence.verify import VerifiedReceipt, verify_receipt, verify_signatures

__all__ = [
    "AnchorFact",
    "BatchRoot",
    "Bundle",
    "Contracts",
    "Delivery",
    "Domain",
    "Inclusion",
    "JobRequest",
    "ModelFact",
    "ModelHolding",
    "ModelPublication",
    "OutputOpenings",
    "PartySignature",
    "Receipt",
    "RecordedFacts",
    "RegistryFacts",
    "ShareOpening",
    "SignedReceipt",
    "SignedRequest",
    "Transcript",
    "VerifiedReceipt",
    "check_signer",
    "engine_name",
    "engine_word",
    "merkle",
    "sign",
    "verify_receipt",
    "verify_signatures",
]
