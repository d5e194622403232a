"""What a party knows of each value of a program, before and while a session runs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
AddInto = Callable[[Words], None]
"""Adds, online, what a share has beside its base, into an array of the share's shape."""


def touched(shape: tuple[int, ...]) -> Words:
    """Zeros whose memory is there already: a page's first use costs more than what is computed on it."""
    array = np.empty(shape, dtype=np.uint64)
    array.fill(0)
    return array


def adding(array: Words) -> AddInto:
    """Adds an array."""

    def add(target: Words) -> None:
        target += array

    return add


@dataclass(repr=False)
class Masked:
    """An opened value. ``delta`` is filled in its round; ``mask`` is this party's share of the mask, if needed."""

    delta: Words
    mask: Words | None


@dataclass(repr=False)
class Shared:
    """A share: ``base`` (None for zero), known before the session, and what is added to it online."""

    base: Words | None
    adds: list[AddInto]

    def base_of(self, shape: tuple[int, ...]) -> Words:
        """The base as an array of its own."""
        found = np.zeros(shape, dtype=np.uint64)
        if self.base is not None:
            found += self.base
        return found

    def add_into(self, target: Words) -> None:
        """Everything but the base."""
        for add in self.adds:
            add(target)

    def whole(self, shape: tuple[int, ...]) -> Words:
        """The share itself."""
        found = self.base_of(shape)
        self.add_into(found)
        return found


@dataclass(repr=False)
class Bits:
    """An opened pattern or flip, and for patterns of the lean layout the shares of its mask bits."""

    opened: NDArray[Any]
    masks: NDArray[Any] | None = None


@dataclass(frozen=True, repr=False)
class Weighed:
    """A weight: this party's share, and the weight under its mask."""

    share: Words
    masked: Words


@dataclass(frozen=True, repr=False)
class Constant:
    """A public weight."""

    value: Words


State = Masked | Shared | Bits | Weighed | Constant


@dataclass(repr=False)
class Session:
    """One evaluation, prepared: everything is allocated, and what does not need the input is worked out.

    Attributes:
        frames: by round, holding what this party will send but for what depends on the input.
        tasks: by number of rounds that must have happened; the last entry comes after all rounds.
        inputs: arrays that take the shares of the inputs, by name.
        outputs: shares of the outputs, by name, with their shapes.
    """

    frames: list[Words]
    tasks: list[list[Callable[[], None]]]
    inputs: dict[str, Words] = field(default_factory=dict)
    outputs: list[tuple[str, Shared, tuple[int, ...]]] = field(default_factory=list)
