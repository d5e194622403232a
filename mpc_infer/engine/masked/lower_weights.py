"""Weights in a program: secret ones are opened under masks, public ones are in every party's hands.

A secret weight multiplies an opened value, under its own mask and the value's. A public one multiplies whatever each
party has of a tensor, its share, and nothing has to be opened for that: no round, no bytes, no material. Where the
tensor was opened already, for something else, the parties multiply their shares of its mask beforehand instead, and
party 0 the opened value online. Only a part of the share that the dealer alone knows stands in the way, since the
dealer has no public weights: it is given to the parties first.
"""

from typing import TYPE_CHECKING

from mpc_infer.engine.masked.builder import Shape, Tensor
from mpc_infer.engine.masked.program import Role, Slot

if TYPE_CHECKING:
    from mpc_infer.engine.masked.compiler import Lowering

INNER_AXIS = {"linear": 0, "apply": 2}
"""Axis of a weight that is summed over: its size is a parameter of the product."""


def factor(lowering: "Lowering", tensor: Tensor, weight: str) -> int:
    """A tensor with f fractional bits in the form in which a weight multiplies it."""
    return lowering.builder.own(tensor) if lowering.is_public(weight) else lowering.builder.masked(tensor)


def factor_of_share(lowering: "Lowering", share: int, weight: str) -> int:
    """The same of a share that is no tensor of the graph."""
    return lowering.builder.unfolded(share) if lowering.is_public(weight) else lowering.builder.open(share)


def times(
    lowering: "Lowering", op: str, number: int, weight: str, shape: Shape, weight_shape: Shape | None = None
) -> int:
    """The product with a weight, as a share with as many fractional bits as both have together.

    Args:
        op: `linear`, `apply` or `weigh`.
        number: what `factor` gave, or a linear map of it.
        shape: of the product.
        weight_shape: that the operation wants; by default the graph's.
    """
    public, wanted = lowering.is_public(weight), weight_shape or lowering.shapes[weight]
    slot = lowering.builder.slot(Slot(Role.CONSTANT if public else Role.WEIGHT, weight, wanted))
    inner = (wanted[INNER_AXIS[op]],) if op in INNER_AXIS else ()
    return lowering.builder.add(f"{op}-constant" if public else op, (number, slot), shape, inner)


def bias_share(lowering: "Lowering", name: str, shape: Shape, *, wide: bool) -> int:
    """A weight that is added: as a share with f or 2 f fractional bits."""
    return added(lowering, name, shape, lowering.builder.frac_bits if wide else 0)


def added(lowering: "Lowering", name: str, shape: Shape, shift: int = 0) -> int:
    """A weight that is added: as a share, times 2^shift."""
    role = Role.ADDEND if lowering.is_public(name) else Role.BIAS
    return lowering.builder.slot(Slot(role, name, shape, shift=shift))
