"""What an engine is: a way to evaluate a graph on shares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpc_infer.engine.link import Link
from mpc_infer.engine.pairs import PairSeeds
from mpc_infer.errors import ConfigError
from mpc_infer.graph import Graph
from mpc_infer.preprocessing import Material, Plan
from mpc_infer.sharing.fixed import FixedPoint

Shares = Mapping[str, NDArray[np.uint64]]
DEFAULT = FixedPoint()


@dataclass(frozen=True)
class Outcome:
    """What one evaluation gives one party.

    Attributes:
        outputs: its share of every output of the graph, before re-randomisation.
        transcript: 32 bytes, the running digest of everything that was opened: the same at every party.
        rounds: rounds used.
        bytes_sent: bytes of frames sent by this party.
    """

    outputs: dict[str, NDArray[np.uint64]] = field(repr=False)
    transcript: bytes
    rounds: int
    bytes_sent: int


class OpenedModel(Protocol):
    """A model as an engine keeps it between sessions, when shares of the weights are not enough for it."""

    @property
    def seed(self) -> bytes:
        """This party's secret of the model, which goes to the dealer, sealed, with every seed for material."""

    @property
    def digest(self) -> bytes:
        """What all parties must have opened alike."""

    def to_bytes(self) -> bytes:
        """What `Engine.restore` takes. Secret."""


Model = Shares | OpenedModel


def seed_of(model: Model) -> bytes:
    """What goes to the dealer of a model; nothing for engines that mask no models."""
    return b"" if isinstance(model, Mapping) else model.seed


def kept(model: Model) -> bytes:
    """What is kept of a model for `Engine.restore`; nothing for engines that mask no models."""
    return b"" if isinstance(model, Mapping) else model.to_bytes()


def digest_of(model: Model) -> bytes:
    """What the parties must agree on before they use a model together."""
    return b"" if isinstance(model, Mapping) else model.digest


class Engine(Protocol):
    """A back end. One process runs at most one evaluation at a time."""

    name: str

    def plan(self, graph: Graph, batch: int, parties: int, fixed: FixedPoint = DEFAULT) -> Plan:
        """The correlated randomness that an evaluation takes, and its declared rounds and bytes. Cached.

        Args:
            fixed: of the model: all parties and the dealer compile the same.

        Raises:
            WrongShape: no such batch, or one that takes too much memory.
            UnsupportedOperator: the graph has an operator without a protocol here.
        """

    def load(self, graph: Graph, weights: Shares, link: Link, fixed: FixedPoint = DEFAULT) -> Model:
        """Make a model ready, inside a session of the link. Once per model and lane.

        Args:
            weights: this party's shares of the secret weights, and the public ones as they are.
            fixed: of the model.

        Raises:
            SessionAborted: as the link, and PlanMismatch when the parties load different models.
        """

    def restore(self, graph: Graph, weights: Shares, parties: int, data: bytes, fixed: FixedPoint = DEFAULT) -> Model:
        """The model that `load` made in another process, without the other parties.

        Args:
            weights: as for `load`.
            parties: how many there are.
            data: what `kept` gave of the model.
            fixed: of the model.

        Raises:
            ModelShareMismatch, InvalidRequest: the bytes are of another model, or damaged.
        """

    def prepare(self, graph: Graph, model: Model, material: Material, rank: int) -> None:
        """Do with some material what does not need the input. May be left out: then `run` does it.

        Raises:
            PlanMismatch: the material was made for another plan or model.
        """

    def run(
        self, graph: Graph, weights: Model, inputs: Shares, material: Material, link: Link, pairs: PairSeeds
    ) -> Outcome:
        """Evaluate a graph on shares, inside a session of the link, with what `load` returned.

        Raises:
            SessionAborted: as the link, and MaterialUnusable.
            PlanMismatch: the material was made for another plan.
        """


def get_engine(name: str) -> Engine:
    """The engine of a name. Loading one imports torch, which takes a second or two.

    Raises:
        ConfigError: there is no such engine.
    """
    if name == "crypten":
        from mpc_infer.engine.crypten import CryptenEngine

        return CryptenEngine()
    if name == "masked":
        from mpc_infer.engine.masked import MaskedEngine

        return MaskedEngine()
    raise ConfigError(f"there is no engine named {name!r}", remedy="use 'masked' or 'crypten'")
