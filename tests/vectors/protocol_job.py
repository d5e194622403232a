"""A whole job as vectors: model, request, shares, answer, receipt and batch. See make_protocol.py."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_infer.encoding import address_bytes, keccak
from mpc_infer.evidence import BatchRoot, Domain, JobRequest, Receipt, Transcript, merkle
from mpc_infer.evidence.eip712 import ZERO_WORD, engine_word
from mpc_infer.graph.input_ranges import Calibration, UnitRange
from mpc_infer.graph.ir import Graph, Node, TensorSpec
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address, JobId, SessionId
from mpc_infer.model.manifest import Manifest
from mpc_infer.preprocessing.plan import Plan
from mpc_infer.preprocessing.requests import Product, Truncation
from mpc_infer.sharing import (
    decode,
    encode,
    encode_tensors,
    input_context,
    join_opening,
    model_context,
    output_context,
    sealed_input_context,
    share_commitment,
)

Words = NDArray[np.uint64]
CHAIN_ID, ANCHOR, REGISTRY = 31337, Address("0x" + "3c" * 20), Address("0x" + "4d" * 20)
JOB, SESSION, NONCE = JobId(b"\x11" * 32), SessionId(b"\x12" * 16), b"\x13" * 32
OWNER, PARTIES = Signer.from_key_bytes(b"\x21" * 32), [Signer.from_key_bytes(bytes([0x31 + i]) * 32) for i in range(2)]
STARTED_MS = 1_700_000_000_000
WEIGHTS, ROWS = np.array([[0.5], [-2.0]]), np.array([[1.5, -0.25], [3.0, 1.0]])


def graph() -> Graph:
    """y = x w."""
    node = Node("layer", "Linear", ("x", "w"), ("y",))
    inputs, outputs = (TensorSpec("x", (None, 2)),), (TensorSpec("y", (None, 1)),)
    return Graph(inputs, outputs, (TensorSpec("w", (2, 1)),), (node,))


def plan() -> Plan:
    """The plan of two rows of it."""
    requests = (Product("matmul", (2, 2), (2, 1)), Truncation((2, 1), 16))
    return Plan("crypten", graph().digest, 2, 2, 16, 3, 1000, requests)


def party_set() -> bytes:
    """The id of the two parties' set, of whom both are needed."""
    members = [address_bytes(each.address).rjust(32, b"\0") for each in PARTIES]
    head = [_word(CHAIN_ID), address_bytes(REGISTRY).rjust(32, b"\0"), _word(4 * 32), _word(2), _word(len(members))]
    return keccak(b"".join([*head, *members]))


def shared(value: Words, first: int) -> list[Words]:
    """Two shares, of which the first holds one number everywhere: nobody shares like this."""
    share = np.full(value.shape, first, np.uint64)
    return [share, value - share]


def salts(first: int) -> list[bytes]:
    """One byte repeated, another one for each party. Nobody salts like this."""
    return [bytes([first + index]) * 32 for index in range(2)]


def openings(shares: Sequence[dict[str, Words]], salted: Sequence[bytes], contexts: Sequence[bytes]) -> dict[str, Any]:
    """Shares as they are sealed or opened, and the commitments to them."""
    data = [encode_tensors(share) for share in shares]
    commitments = [share_commitment(*each) for each in zip(salted, contexts, data, strict=True)]
    return {
        "plaintexts": [join_opening(*each).hex() for each in zip(salted, data, strict=True)],
        "commitments": [each.hex() for each in commitments],
        "root": merkle.root(commitments).hex(),
    }


def manifest() -> tuple[Manifest, dict[str, Any]]:
    """The model's manifest, and what each party holds of it."""
    found = graph()
    contexts = [model_context(found.digest, OWNER.address, "line", 1, each.address) for each in PARTIES]
    shares = openings([{"w": share} for share in shared(encode(WEIGHTS), 2**63 + 5)], salts(0x51), contexts)
    commitments = tuple(bytes.fromhex(each) for each in shares["commitments"])
    made = Manifest(
        name="line",
        version=1,
        owner=OWNER.address,
        party_set=party_set().hex(),
        graph_digest=found.digest,
        share_commitments=commitments,
        public_digest=None,
        frac_bits=16,
        input_ranges=(UnitRange((-(2**20), -(2**15)), (2**20, 2**17)),),
        calibration=Calibration(100, 50),
        analysis=1,
        error_bounds=(3,),
        value_bits=(21, 23),
        inputs=found.inputs,
        outputs=found.outputs,
    )
    return made, shares


def job() -> dict[str, Any]:
    """Everything, in the order in which it comes into being."""
    model, weights = manifest()
    domain = Domain(CHAIN_ID, ANCHOR)
    contexts = [input_context(JOB, model.hash, each.address) for each in PARTIES]
    inputs = openings([{"x": share} for share in shared(encode(ROWS), 2**40 + 7)], salts(0x61), contexts)
    inputs["sealed_contexts"] = [
        sealed_input_context(JOB, model.hash, OWNER.address, each.address).hex() for each in PARTIES
    ]
    request = JobRequest(
        job_id=JOB,
        model_hash=model.hash,
        party_set=model.party_set_id,
        input_root=bytes.fromhex(inputs["root"]),
        owner=OWNER.address,
        delivery=1,
        result_key=ZERO_WORD,
        rows=2,
        nonce=NONCE,
        deadline=STARTED_MS + 60_000,
    )
    result = encode(ROWS @ WEIGHTS)
    contexts = [output_context(SESSION, JOB, each.address) for each in PARTIES]
    outputs = openings([{"y": share} for share in shared(result, 2**50 + 9)], salts(0x71), contexts)
    receipt = _receipt(request, request.digest(domain), bytes.fromhex(outputs["root"]))
    batch = BatchRoot(merkle.root([receipt.digest(domain), b"\x14" * 32]), 2, model.party_set_id)
    return {
        "chain": {"chain_id": CHAIN_ID, "receipt_anchor": ANCHOR, "party_registry": REGISTRY},
        "owner": {"private": OWNER.key_bytes().hex(), "address": OWNER.address},
        "parties": [{"private": each.key_bytes().hex(), "address": each.address} for each in PARTIES],
        "party_set": {"threshold": 2, "id": party_set().hex()},
        "graph": {"json": graph().to_bytes().decode(), "digest": graph().digest.hex()},
        "weights": {"values": WEIGHTS.tolist()} | weights,
        "manifest": {"json": model.to_bytes().decode(), "model_hash": model.hash.hex()},
        "plan": {"json": plan().to_bytes().decode(), "digest": plan().digest.hex()},
        "inputs": {"values": ROWS.tolist()} | inputs,
        "request": _signed(request, domain, [OWNER]),
        "outputs": {"session_id": SESSION.hex(), "values": decode(result).tolist()} | outputs,
        "receipt": _signed(receipt, domain, PARTIES),
        "batch": {"other_receipt": "14" * 32, "index": 0} | _signed(batch, domain, PARTIES),
    }


def _receipt(request: JobRequest, request_digest: bytes, output_commitment: bytes) -> Receipt:
    return Receipt(
        version=1,
        job_id=request.job_id,
        request_digest=request_digest,
        model_hash=request.model_hash,
        party_set=request.party_set,
        plan_digest=plan().digest,
        engine=engine_word("crypten"),
        input_root=request.input_root,
        output_commitment=output_commitment,
        transcript=Transcript().digest(),
        nonce=request.nonce,
        started=STARTED_MS,
        finished=STARTED_MS + 20,
        registry_block=17,
    )


def _signed(struct: JobRequest | Receipt | BatchRoot, domain: Domain, signers: Sequence[Signer]) -> dict[str, Any]:
    digest = struct.digest(domain)
    signatures = [each.sign_digest(digest).hex() for each in signers]
    return {"words": struct.to_words().hex(), "digest": digest.hex(), "signatures": signatures}


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")
