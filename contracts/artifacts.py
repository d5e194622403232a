"""Write what Python needs of the compiled contracts into the package: ABI, bytecode, and how it was compiled.

Run after `forge build`. The same sources give the same bytes, so `git diff --exit-code` shows a stale artifact.
"""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TARGET = HERE.parent / "mpc_infer" / "chain" / "artifacts"
CONTRACTS = ("PartyRegistry", "ModelRegistry", "ReceiptAnchor")


def artifact(name: str) -> dict[str, Any]:
    """One contract's artifact, from forge's output."""
    built = json.loads((HERE / "out" / f"{name}.sol" / f"{name}.json").read_text())
    metadata = built["metadata"]
    settings = metadata["settings"]
    return {
        "contract": name,
        "compiler": {
            "version": metadata["compiler"]["version"],
            "evm_version": settings["evmVersion"],
            "optimizer": settings["optimizer"],
        },
        "abi": built["abi"],
        "bytecode": built["bytecode"]["object"],
    }


def main() -> int:
    """Write all artifacts; returns the exit status."""
    TARGET.mkdir(exist_ok=True)
    for name in CONTRACTS:
        text = json.dumps(artifact(name), indent=1, sort_keys=True) + "\n"
        (TARGET / f"{name}.json").write_text(text)
    print(f"{len(CONTRACTS)} artifacts in {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
