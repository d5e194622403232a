"""What jobs run on, and what is kept of a job while it is under way."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from mpc_infer.clock import Clock
from mpc_infer.coordinator.head import Head
from mpc_infer.coordinator.keeper import Keeper
from mpc_infer.coordinator.lanes import LanePool
from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.coordinator.material import Stock
from mpc_infer.coordinator.openings import Openings
from mpc_infer.coordinator.parties import PartyDoor
from mpc_infer.ids import Address
from mpc_infer.store import JobState
from mpc_infer.v1 import coordinator_pb2


@dataclass
class Live:
    """A job that is not over yet; `durable`: its row is on the disk before it counts as stored."""

    submission: bytes
    durable: bool = False
    state: JobState = JobState.ACCEPTED
    stored: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[coordinator_pb2.Job] | None" = None


@dataclass(frozen=True)
class Floor:
    """What jobs run on."""

    parties: Sequence[PartyDoor]
    lanes: LanePool
    stock: Stock
    openings: Openings
    keeper: Keeper
    head: Head
    ledger: Ledger
    clock: Clock

    @property
    def members(self) -> tuple[Address, ...]:
        """The parties' addresses in order."""
        return tuple(party.address for party in self.parties)
