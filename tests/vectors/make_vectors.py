"""Write the vectors that Python, Solidity and clients in other languages are checked against.

``python tests/vectors/make_vectors.py`` rewrites eip712.json and rfc9162.json; a test checks that they are what it
writes. Everything is fixed: the same code gives the same bytes.
"""

import json
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import (
    BatchRoot,
    Domain,
    JobRequest,
    ModelHolding,
    ModelPublication,
    Receipt,
    TypedStruct,
    engine_word,
)
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address

HERE = Path(__file__).resolve().parent
TREE_SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 31, 32, 33)
CHAIN_ID = 31337
CONTRACT = Address("0x5FbDB2315678afecb367f032d93F642f64180aa3")


def word(name: str) -> bytes:
    """32 bytes that stand for something."""
    return sha256(f"mpc-infer vector: {name}".encode()).digest()


def structs(owner: Address) -> dict[str, TypedStruct]:
    """One of each struct, every field different."""
    return {
        "jobRequest": JobRequest(
            word("job"), word("model"), word("set"), word("inputs"), owner, 2, word("key"), 64, word("nonce"), 2**63 + 5
        ),
        "receipt": Receipt(
            1,
            word("job"),
            word("request"),
            word("model"),
            word("set"),
            word("plan"),
            engine_word("crypten"),
            word("inputs"),
            word("outputs"),
            word("transcript"),
            word("nonce"),
            1_795_000_000_123,
            1_795_000_000_456,
            2**40 + 7,
        ),
        "batchRoot": BatchRoot(word("root"), 1024, word("set")),
        "modelPublication": ModelPublication(word("model")),
        "modelHolding": ModelHolding(word("model"), word("set"), owner),
    }


def eip712() -> dict[str, Any]:
    """The domain, and each struct's words, hash, digest and signature."""
    signer = Signer.from_key_bytes(word("signing key"))
    domain = Domain(CHAIN_ID, CONTRACT)
    vectors: dict[str, Any] = {
        "chainId": CHAIN_ID,
        "verifyingContract": CONTRACT,
        "separator": _hex(domain.separator),
        "signer": signer.address,
        "signingKey": _hex(word("signing key")),
    }
    for name, value in structs(signer.address).items():
        digest = value.digest(domain)
        vectors[name] = {
            "type": value.TYPE,
            "words": _hex(value.to_words()),
            "structHash": _hex(value.struct_hash()),
            "digest": _hex(digest),
            "signature": _hex(signer.sign_digest(digest)),
        }
    return vectors


def rfc9162() -> dict[str, Any]:
    """Trees of several sizes over 32-byte leaves, with every leaf's path."""
    trees = []
    for size in TREE_SIZES:
        leaves = [word(f"leaf {index}") for index in range(size)]
        trees.append(
            {
                "size": size,
                "leaves": [_hex(leaf) for leaf in leaves],
                "root": _hex(merkle.root(leaves)),
                "paths": [[_hex(node) for node in merkle.inclusion_path(leaves, index)] for index in range(size)],
            }
        )
    return {"trees": trees}


def files() -> dict[str, str]:
    """The files' names and contents."""
    made = {"eip712.json": eip712(), "rfc9162.json": rfc9162()}
    return {name: json.dumps(value, indent=1) + "\n" for name, value in made.items()}


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def main() -> int:
    """Write the files."""
    for name, text in files().items():
        (HERE / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
