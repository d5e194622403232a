"""ONNX models made in the tests, and what onnxruntime says about them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Arrays = Mapping[str, NDArray[Any]]
Ends = Mapping[str, Sequence[int | str] | None]


def make_model(
    nodes: Sequence[Any],
    weights: Arrays,
    *,
    inputs: Ends | None = None,
    outputs: Mapping[str, Any] | None = None,
    opset: int = 20,
    element: int = TensorProto.FLOAT,
) -> Any:
    """A model proto; by default one input x [N, 8] and one output y."""
    ends_in = inputs if inputs is not None else {"x": ["N", 8]}
    ends_out = outputs if outputs is not None else {"y": None}
    graph = helper.make_graph(
        list(nodes),
        "tested",
        [helper.make_tensor_value_info(name, element, shape) for name, shape in ends_in.items()],
        [helper.make_tensor_value_info(name, element, shape) for name, shape in ends_out.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    # ONNX wants shapes of outputs to be written down; its own inference finds them, where the model is sound.
    return onnx.shape_inference.infer_shapes(model)


def node(op: str, inputs: Sequence[str], output: str, **attributes: Any) -> Any:
    """A node named like its output."""
    return helper.make_node(op, list(inputs), [output], name=f"{op.lower()}_{output}", **attributes)


def run_onnx(data: bytes, inputs: Arrays) -> dict[str, NDArray[Any]]:
    """What onnxruntime computes."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def values(shape: Sequence[int], seed: int, scale: float = 1.0) -> NDArray[np.float32]:
    """Reproducible float32 values of unit size."""
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def dense_model() -> Any:
    """x [N, 8] → Gemm → Relu → Gemm → y [N, 4]."""
    return make_model(
        [
            node("Gemm", ["x", "w1", "b1"], "h", transB=1),
            node("Relu", ["h"], "r"),
            node("Gemm", ["r", "w2", "b2"], "y"),
        ],
        {
            "w1": values((16, 8), 1, 0.3),
            "b1": values((16,), 2),
            "w2": values((16, 4), 3, 0.3),
            "b2": values((4,), 4),
        },
    )


def checked(model: Any) -> bytes:
    """The bytes of a model that ONNX itself accepts."""
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())
