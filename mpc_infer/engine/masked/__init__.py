"""The masked engine: almost all of the work is done before the input exists."""

from mpc_infer.engine.masked.engine import MaskedEngine
from mpc_infer.engine.masked.model import MaskedModel, open_model

__all__ = ["MaskedEngine", "MaskedModel", "open_model"]
