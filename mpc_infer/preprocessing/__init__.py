"""Correlated randomness made before the inputs are known: plans, the dealer's corrections, the parties' material."""

from mpc_infer.preprocessing.corrections import corrections
from mpc_infer.preprocessing.masked_dealer import ModelMasks
from mpc_infer.preprocessing.masked_requests import MaskedRequest
from mpc_infer.preprocessing.material import Material, expand, expand_batches, read_batches, read_corrections
from mpc_infer.preprocessing.plan import Plan, PlanLimits
from mpc_infer.preprocessing.requests import BinaryProduct, Product, RandomBit, Request, Square, Truncation

__all__ = [
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
    "corrections",
    "expand",
    "expand_batches",
    "read_batches",
    "read_corrections",
]
