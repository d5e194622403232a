"""What a rule for errors reads, and bounds that many rules share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mpc_infer.graph.interval import Interval, Reals
from mpc_infer.graph.ir import Node


@dataclass(frozen=True)
class Step:
    """One node, with all that is known around it. Units are 2^-frac_bits.

    Attributes:
        node: which.
        values: intervals of what the engine reads: of weights their encodings.
        errors: bounds of how far these are from what the graph means.
        result: the interval of what it makes.
        frac_bits: f.
    """

    node: Node
    values: Sequence[Interval]
    errors: Sequence[Interval]
    result: Interval
    frac_bits: int

    @property
    def scale(self) -> float:
        """Units in 1."""
        return 2.0**self.frac_bits

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result, for one row."""
        return self.result.centre.shape


Rule = Callable[[Step], Interval]


def around_zero(radius: Reals, axis: int = -1, length: float = np.inf) -> Interval:
    """A bound on errors: of every element, and of vectors along an axis."""
    return Interval(np.zeros_like(radius), radius, axis=axis, length=length)


def moved(rule: Callable[[Node, Sequence[Interval], int], Interval]) -> Rule:
    """Of what only moves or picks elements: errors move alike."""
    return lambda step: rule(step.node, step.errors, step.frac_bits)


def stretched(step: Step, factor: float | Reals, more: float | Reals) -> Interval:
    """Element by element: the operand's error times a factor, and what the engine adds."""
    (error,) = step.errors
    radius = np.broadcast_to(factor * error.radius + more, step.shape)
    axis = error.axis % error.centre.ndim
    width = float(np.sqrt(error.centre.shape[axis]))
    length = float(np.max(factor)) * error.length + float(np.max(more)) * width
    return around_zero(radius, axis, length)


def undecided(step: Step, jump: float | Reals, margin: Reals) -> Interval:
    """Of what jumps at zero: nothing where the operand is surely on one side of it, else the whole jump.

    Args:
        jump: the largest difference that a wrong side makes, in units.
        margin: how far from zero the operand must stay to be sure, in units.
    """
    value = step.values[0]
    sure = (value.low > margin) | (value.high < -margin)
    return around_zero(np.where(sure, 0.0, jump))
