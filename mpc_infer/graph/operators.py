"""ONNX operators that can be read, and how each is lowered."""

from collections.abc import Callable, Mapping

from mpc_infer.graph.lower_activations import ACTIVATIONS
from mpc_infer.graph.lower_attention import ATTENTION
from mpc_infer.graph.lower_compare import COMPARISONS
from mpc_infer.graph.lower_functions import FUNCTIONS
from mpc_infer.graph.lower_linear import LINEAR
from mpc_infer.graph.lower_matrices import MATRICES
from mpc_infer.graph.lower_ml import LEARNED
from mpc_infer.graph.lower_norm import NORMS
from mpc_infer.graph.lower_pads import PADS
from mpc_infer.graph.lower_reduce import REDUCTIONS
from mpc_infer.graph.lower_spatial import SPATIAL
from mpc_infer.graph.lower_trees import TREES
from mpc_infer.graph.lower_upsample import UPSAMPLES
from mpc_infer.graph.lower_views import VIEWS
from mpc_infer.graph.lowering import Lowering, Value
from mpc_infer.graph.raw import RawNode

OPERATORS: Mapping[str, Callable[[Lowering, RawNode], Value | None]] = {
    **LINEAR,
    **MATRICES,
    **SPATIAL,
    **REDUCTIONS,
    **NORMS,
    **ATTENTION,
    **FUNCTIONS,
    **ACTIVATIONS,
    **COMPARISONS,
    **VIEWS,
    **PADS,
    **UPSAMPLES,
    **LEARNED,
    **TREES,
}
"""By name; those of another domain than ai.onnx with their domain before it."""
