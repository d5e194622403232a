"""The code, tests/vectors/protocol.json and docs/protocol.md say the same."""

import json
from pathlib import Path

import pytest

from mpc_infer.sharing import Sealed, SealingKey, SealingPublicKey
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
    shown = [VECTORS["tensors"]["bytes"], VECTORS["stream"]["bytes"], VECTORS["digest"]["digest"]]
    shown += [*VECTORS["contexts"].values(), *VECTORS["seed_commitments"]]
    shown += [VECTORS["commitment"], VECTORS["root"], VECTORS["transcript"]]
    shown += [each["ring"] for each in VECTORS["fixed"] if each["value"]]
    assert [each for each in shown if each not in PAGE] == []


def test_the_page_shows_the_signed_types():
    from mpc_infer.evidence import BatchRoot, JobRequest, ModelHolding, ModelPublication, Receipt

    types = [kind.TYPE for kind in (JobRequest, Receipt, BatchRoot, ModelPublication, ModelHolding)]
    assert [each for each in types if f"`{each}`" not in PAGE] == []
