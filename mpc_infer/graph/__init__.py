"""The model as data: a small checked graph, and the reader of ONNX files that makes one."""

from mpc_infer.graph.ir import Graph, Node, Op, TensorSpec, infer_shapes
from mpc_infer.graph.onnx_import import ImportedModel, import_onnx

__all__ = ["Graph", "ImportedModel", "Node", "Op", "TensorSpec", "import_onnx", "infer_shapes"]
