"""Correlated randomness made before the inputs are known: plans, the dealer's corrections, the parties' material."""

from mpc_infer.preprocessing.corrections import corrections
from mpc_infer.preprocessing.draws import batch_seed
from mpc_infer.preprocessing.masked_dealer import ModelMasks
from mpc_infer.preprocessing.masked_requests import MaskedRequest
from mpc_infer.preprocessing.material import Batch, Material, corrections_length, expand, read_batches, read_corrections
from mpc_infer.preprocessing.plan import Plan, PlanLimits
from mpc_infer.preprocessing.requests import BinaryProduct, Product, RandomBit, Request, Square, Truncation

__all__ = [
    "Batch",
    "BinaryProduct",
    "MaskedRequest",
    "Material",
    "ModelMasks",
    "Plan",
    "PlanLimits",
    "Product",
    "RandomBit",
    "Request",
    "Square",
    "Truncation",
    "batch_seed",
    "corrections",
    "corrections_length",
    "expand",
    "read_batches",
    "read_corrections",
]
