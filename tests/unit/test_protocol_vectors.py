"""The code, tests/vectors/protocol.json and docs/protocol.md say the same."""

import json
import re
from pathlib import Path

import pytest

from mpc_infer.sharing import Sealed, SealingKey, SealingPublicKey
from tests.integration import second_crypto
from tests.vectors import make_protocol

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests" / "vectors" / "protocol.json").read_text())
PAGE = (ROOT / "docs" / "protocol.md").read_text()


def test_the_code_makes_the_vectors():
    assert {key: value for key, value in VECTORS.items() if key != "sealed"} == json.loads(
        json.dumps(make_protocol.deterministic())
    )


@pytest.mark.parametrize("vector", VECTORS["sealed"], ids=lambda vector: f"suite {vector['suite']}")
def test_the_sealed_vectors_open(vector):
    key = SealingKey.from_private_bytes(vector["suite"], bytes.fromhex(vector["private"]))
    assert key.public == SealingPublicKey(vector["suite"], bytes.fromhex(vector["public"]))
    assert key.public.key_id.hex() == vector["key_id"]
    sealed = Sealed(vector["suite"], key.public.key_id, bytes.fromhex(vector["ciphertext"]))
    context = bytes.fromhex(VECTORS["contexts"][vector["context"]])
    assert key.unseal(sealed, context).hex() == vector["plaintext"]


def test_the_page_shows_the_vectors():
    shown = [VECTORS["tensors"]["bytes"], VECTORS["stream"]["bytes"], VECTORS["batch_seed"]["bytes"]]
    shown += [VECTORS["digest"]["digest"], *VECTORS["contexts"].values(), *VECTORS["seed_commitments"]]
    shown += [VECTORS["commitment"], VECTORS["root"], VECTORS["transcript"]]
    shown += [each["ring"] for each in VECTORS["fixed"] if each["value"]]
    assert [each for each in shown if each not in PAGE] == []


def test_the_page_shows_the_signed_types():
    from mpc_infer.evidence import BatchRoot, JobRequest, ModelHolding, ModelPublication, Receipt

    types = [kind.TYPE for kind in (JobRequest, Receipt, BatchRoot, ModelPublication, ModelHolding)]
    assert [each for each in types if f"`{each}`" not in PAGE] == []


def test_a_second_implementation_makes_the_same_job():
    """The vectors of a whole job, remade with code that shares nothing with ours."""
    job = VECTORS["job"]
    address = {name: bytes.fromhex(job["chain"][name][2:]) for name in ("receipt_anchor", "party_registry")}
    owner, *parties = (bytes.fromhex(each["address"][2:]) for each in (job["owner"], *job["parties"]))
    assert second_crypto.address_of(bytes.fromhex(job["owner"]["private"])) == owner
    manifest, graph = (job[name]["json"].encode() for name in ("manifest", "graph"))
    model_hash, graph_digest = second_crypto.digest("model-hash", manifest), second_crypto.digest("graph", graph)
    assert (model_hash.hex(), graph_digest.hex()) == (job["manifest"]["model_hash"], job["graph"]["digest"])
    assert second_crypto.digest("plan", job["plan"]["json"].encode()).hex() == job["plan"]["digest"]
    job_id, session = bytes.fromhex(job["request"]["words"])[:32], bytes.fromhex(job["outputs"]["session_id"])
    named = owner, b"line", (1).to_bytes(8, "big")
    contexts = {
        "weights": [second_crypto.digest("model-context", graph_digest, *named, party) for party in parties],
        "inputs": [second_crypto.digest("input-context", job_id, model_hash, party) for party in parties],
        "outputs": [second_crypto.digest("output-context", session, job_id, party) for party in parties],
    }
    for kind, found in contexts.items():
        check_openings(job[kind], found)
    signers = {"request": [owner], "receipt": parties, "batch": parties}
    types = {"request": "JobRequest", "receipt": "Receipt", "batch": "BatchRoot"}
    for kind, expected in signers.items():
        (kind_type,) = re.findall(rf"`({types[kind]}\(.+?\))`", PAGE)
        words, chain_id = bytes.fromhex(job[kind]["words"]), job["chain"]["chain_id"]
        hashed = second_crypto.typed_digest(kind_type, words, chain_id, address["receipt_anchor"])
        assert hashed.hex() == job[kind]["digest"]
        assert [second_crypto.recover(hashed, bytes.fromhex(each)) for each in job[kind]["signatures"]] == expected


def check_openings(vector, contexts):
    commitments, total = [], None
    for plaintext, context in zip(vector["plaintexts"], contexts, strict=True):
        salt, share = bytes.fromhex(plaintext)[:32], bytes.fromhex(plaintext)[32:]
        commitments.append(second_crypto.digest("share-commitment", salt, context, share))
        ((shape, words),) = second_crypto.read_tensors(share).values()
        total = words if total is None else [(one + other) % 2**64 for one, other in zip(total, words, strict=True)]
    assert [each.hex() for each in commitments] == vector["commitments"]
    assert second_crypto.root(commitments).hex() == vector["root"]
    flat = [value for row in vector["values"] for value in row]
    assert [second_crypto.decode(word, 16) for word in total] == flat
    assert shape == (len(vector["values"]), len(vector["values"][0]))
