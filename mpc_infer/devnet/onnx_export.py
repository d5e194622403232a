"""A stack of dense layers as an ONNX file: Gemm, Relu, Gemm, ... with a free batch axis."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

OPSET = 20
IR_VERSION = 10

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]


def _nodes(helper: Any, count: int) -> list[Any]:
    nodes = []
    for index in range(count):
        source = "x" if index == 0 else f"relu{index - 1}"
        last = index == count - 1
        target = "logits" if last else f"gemm{index}"
        nodes.append(helper.make_node("Gemm", [source, f"w{index}", f"b{index}"], [target], name=f"dense{index}"))
        if not last:
            nodes.append(helper.make_node("Relu", [target], [f"relu{index}"], name=f"relu{index}"))
    return nodes


def dense_onnx(layers: Sequence[Layer], name: str) -> bytes:
    """Export dense layers with ReLU between them.

    Args:
        layers: (weights of shape [in, out], bias of shape [out]) per layer.
        name: name of the graph.

    Returns:
        A serialised ONNX model from ``x`` [batch, in] to ``logits`` [batch, out], float32.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    weights = [
        numpy_helper.from_array(array.astype(np.float32), f"{letter}{index}")
        for index, layer in enumerate(layers)
        for letter, array in zip("wb", layer, strict=True)
    ]
    sides = (("x", layers[0][0].shape[0]), ("logits", layers[-1][0].shape[1]))
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", width]) for end, width in sides]
    graph = helper.make_graph(_nodes(helper, len(layers)), name, ends[:1], ends[1:], weights)
    opset = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="mpc-infer")
    checker.check_model(model)
    return bytes(model.SerializeToString())
