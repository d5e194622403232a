"""Our operators as CrypTen programs. Rounds are for n parties; a comparison costs 7 (n = 2) or 14 (n = 3, 4) and one.

Values are MPCTensors with 16 fractional bits (or what the plan says); public weights are plain tensors of integers.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from mpc_infer.engine.crypten.library import ArithmeticSharedTensor, MPCTensor, crypten
from mpc_infer.engine.crypten.sigmoid import sigmoid
from mpc_infer.errors import UnsupportedOperator
from mpc_infer.graph import Node

Operator = Callable[[Mapping[str, Any], list[Any]], Any]


def linear(_: Mapping[str, Any], inputs: list[Any]) -> Any:
    """x W + b. 2 rounds: Beaver's product and one truncation, after the bias was added at double scale.

    By a public W 1 round: the product is each party's own.
    """
    x, weight, *bias = inputs
    return _product(x, weight, bias[0] if bias else None)


def matmul(_: Mapping[str, Any], inputs: list[Any]) -> Any:
    """As numpy.matmul. 2 rounds; 1 by a public weight."""
    return _product(inputs[0], inputs[1], None)


def add(_: Mapping[str, Any], inputs: list[Any]) -> Any:
    """With broadcasting. No round."""
    left, right = inputs
    return _wrap(_added(left) + _added(right), right if isinstance(left, torch.Tensor) else left)


def relu(_: Mapping[str, Any], inputs: list[Any]) -> Any:
    """CrypTen's: one comparison and one product with the bit, which needs no truncation."""
    return inputs[0].relu()


def step(_: Mapping[str, Any], inputs: list[Any]) -> Any:
    """[x >= 0]: one comparison, whose bit comes without a fraction."""
    return _wrap(inputs[0].ge(0).share << inputs[0].encoder._precision_bits, inputs[0])


def flatten(_: Mapping[str, Any], inputs: list[Any]) -> Any:
    """(batch, everything else). No round."""
    share = inputs[0].share
    return _wrap(share.reshape(share.shape[0], math.prod(share.shape[1:])), inputs[0])


def reshape(attributes: Mapping[str, Any], inputs: list[Any]) -> Any:
    """(-1, sizes...), where -1 stands for the batch. No round."""
    share = inputs[0].share
    return _wrap(share.reshape(share.shape[0], *attributes["shape"][1:]), inputs[0])


def apply(node: Node, values: Mapping[str, Any]) -> Any:
    """The value of a node's output.

    Raises:
        UnsupportedOperator: no protocol for it.
    """
    operator = _OPERATORS.get(str(node.op))
    if operator is None:
        raise UnsupportedOperator(f"node {node.name!r} is a {node.op!r}, which the crypten engine cannot evaluate")
    return operator(node.attributes, [values[name] for name in node.inputs])


def _product(x: Any, y: Any, bias: Any) -> Any:
    public = isinstance(x, torch.Tensor) or isinstance(y, torch.Tensor)
    secret = y if isinstance(x, torch.Tensor) else x
    product = torch.matmul(_integers(x), _integers(y)) if public else _beaver_matmul(x.share, y.share)
    bits = secret.encoder._precision_bits
    if bias is not None:
        product += _added(bias) << bits
    scaled = ArithmeticSharedTensor.from_shares(product, precision=bits)
    return _wrap(scaled.div_(1 << bits).share, secret)


def _integers(value: Any) -> torch.Tensor:
    """A party's share, or a public weight itself."""
    found: torch.Tensor = value if isinstance(value, torch.Tensor) else value.share
    return found


def _added(value: Any) -> torch.Tensor:
    """A term of a sum: a share, or a public weight, which party 0 alone adds."""
    if isinstance(value, torch.Tensor) and crypten.communicator.get().get_rank() != 0:
        return torch.zeros_like(value)
    return _integers(value)


def _beaver_matmul(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """CrypTen's Beaver product with one multiplication less: only party 0 needs (x - a)(y - b), and takes it along.

    1. Open e = x - a and d = y - b.
    2. [xy] = [c] + e [b] + [a] d + e d; party 0 computes e ([b] + d).
    """
    communicator = crypten.communicator.get()
    triple = crypten.mpc.get_default_provider().generate_additive_triple(x.size(), y.size(), "matmul")
    a, b, c = (part.share for part in triple)
    e, d = communicator.all_reduce([x - a, y - b], batched=True)
    right = b + d if communicator.get_rank() == 0 else b
    product: torch.Tensor = c.add_(torch.matmul(e, right)).add_(torch.matmul(a, d))
    return product


def _wrap(share: Any, like: Any) -> Any:
    return MPCTensor.from_shares(share, precision=like.encoder._precision_bits)


_OPERATORS: dict[str, Operator] = {
    "Linear": linear,
    "MatMul": matmul,
    "Add": add,
    "Relu": relu,
    "Step": step,
    "Sigmoid": lambda _, inputs: sigmoid(inputs[0]),
    "Flatten": flatten,
    "Reshape": reshape,
}
