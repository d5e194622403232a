"""Run by `make check` with the interpreter of an environment that holds `pip install .` and nothing else."""

import importlib.util
import sys

from mpc_infer import AsyncClient, Client
from mpc_infer.evidence.facts_file import load_facts
from mpc_infer.evidence.verify import verify_receipt

HEAVY = ("torch", "crypten", "sqlalchemy", "onnx", "sklearn", "web3", "grpc_tools", "pytest")
USED = (AsyncClient, Client, load_facts, verify_receipt)

there = [name for name in HEAVY if importlib.util.find_spec(name)]
if there:
    sys.exit(f"the base installation brings {', '.join(there)}")
print(f"the base installation has {len(USED)} doors and none of {', '.join(HEAVY)}")
