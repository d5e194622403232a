"""Writes protocol.json, the vectors of docs/protocol.md. Sealed boxes that still open are kept.

Run as: python -m tests.vectors.make_protocol
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mpc_infer.encoding import digest
from mpc_infer.errors import SealingFailed
from mpc_infer.evidence import Transcript, merkle
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId
from mpc_infer.model.manifest import weights_digest
from mpc_infer.preprocessing import batch_seed
from mpc_infer.sharing import (
    Sealed,
    SealingKey,
    Stream,
    Suite,
    encode,
    encode_tensors,
    input_context,
    model_context,
    output_context,
    seal,
    sealed_input_context,
    sealed_model_context,
    sealed_result_context,
    sealed_seed_context,
    seed_commitment,
    share_commitment,
)
from tests.vectors.protocol_job import job

FILE = Path(__file__).parent / "protocol.json"
MESSAGE = b"a sealed message"
JOB, MODEL = JobId(b"\x01" * 32), ModelHash(b"\x02" * 32)
SESSION, MATERIAL = SessionId(b"\x03" * 16), MaterialId(b"\x04" * 16)
SALT, SEED, PLAN, GRAPH = (bytes([value]) * 32 for value in (5, 6, 7, 8))
PARTY, OWNER = Address("0x" + "1a" * 20), Address("0x" + "2b" * 20)
REALS = [0.0, 1.0, -1.0, 1.5, -(2.0**-16), 3.14159, -32767.5]
TENSORS = {"x": [[1.5, -2.0]], "bias": 0.25}


def deterministic() -> dict[str, Any]:
    """Every vector that is a function of its inputs."""
    share = encode_tensors({name: encode(value) for name, value in TENSORS.items()})
    context = input_context(JOB, MODEL, PARTY)
    seeds = [seed_commitment(MATERIAL, index, bytes([9 + index]) * 32) for index in range(2)]
    transcript = Transcript()
    transcript.add(0, np.array([1, 2], "<u8").data)
    transcript.add(1, b"\xff")
    return {
        "fixed": [{"value": value, "ring": f"{int(encode(value)):016x}"} for value in REALS],
        "tensors": {"values": TENSORS, "bytes": share.hex()},
        "stream": {"seed": SEED.hex(), "label": "material", "bytes": Stream(SEED, "material").bytes(48).hex()},
        "batch_seed": {"seed": SEED.hex(), "index": 1, "bytes": batch_seed(SEED, 1).hex()},
        "digest": {"domain": "example", "parts": ["", "00", "0102"], "digest": _example().hex()},
        "contexts": {
            "input": context.hex(),
            "model": model_context(GRAPH, OWNER, "digits", 1, PARTY).hex(),
            "output": output_context(SESSION, JOB, PARTY).hex(),
            "sealed-input": sealed_input_context(JOB, MODEL, OWNER, PARTY).hex(),
            "sealed-model": sealed_model_context(MODEL, PARTY).hex(),
            "sealed-result": sealed_result_context(JOB, PARTY).hex(),
            "sealed-seed": sealed_seed_context(MATERIAL, PLAN, seeds, 1, PARTY).hex(),
        },
        "commitment": share_commitment(SALT, context, share).hex(),
        "public_weights": weights_digest(share).hex(),
        "seed_commitments": [each.hex() for each in seeds],
        "root": merkle.root([share_commitment(SALT, context, share), *seeds]).hex(),
        "transcript": transcript.digest().hex(),
        "job": job(),
    }


def sealed(suite: Suite, known: bytes) -> dict[str, Any]:
    """A message to a fixed key; `known` is its ciphertext from before."""
    key = SealingKey.from_private_bytes(suite, bytes(range(96 if suite is Suite.MLKEM768_X25519 else 32)))
    context = sealed_input_context(JOB, MODEL, OWNER, PARTY)
    return {
        "suite": int(suite),
        "private": key.private_bytes().hex(),
        "public": key.public.data.hex(),
        "key_id": key.public.key_id.hex(),
        "plaintext": MESSAGE.hex(),
        "context": "sealed-input",
        "ciphertext": (known if _opens(key, known, context) else seal(MESSAGE, key.public, context).ciphertext).hex(),
    }


def _opens(key: SealingKey, ciphertext: bytes, context: bytes) -> bool:
    try:
        return key.unseal(Sealed(key.public.suite, key.public.key_id, ciphertext), context) == MESSAGE
    except SealingFailed:
        return False


def _example() -> bytes:
    return digest("example", b"", b"\0", b"\1\2")


if __name__ == "__main__":
    before = {each["suite"]: bytes.fromhex(each["ciphertext"]) for each in json.loads(FILE.read_text())["sealed"]}
    content = deterministic() | {"sealed": [sealed(suite, before.get(int(suite), b"")) for suite in Suite]}
    FILE.write_text(json.dumps(content, indent=2) + "\n")
