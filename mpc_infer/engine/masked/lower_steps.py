"""Lowering of functions of one variable."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Form, Tensor
from mpc_infer.graph.ir import Node

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering


def relu(lowering: "Lowering", node: Node) -> Tensor:
    """max(x, 0). What waits to be truncated is truncated on the way."""
    builder, data = lowering.builder, lowering.tensor(node.inputs[0])
    number, bits = builder.opened(data)
    share = builder.select(builder.compare(number, bits), number, bits)
    return Tensor(data.shape, {Form.SHARE: share})


STEPS: Mapping[str, Callable[["Lowering", Node], Tensor]] = {"Relu": relu}
"""Operator: how it is lowered."""
