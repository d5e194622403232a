"""What a coordinator must be told. ::

[coordinator]
listen = "127.0.0.1:7000"
keystore = "keystore"
database = "coordinator.sqlite"
party_set = "0x…"                      # 32 bytes, the registry's id

[[parties]]                            # in the party set's order
index = 0
address = "0x…"
target = "127.0.0.1:7100"
lanes = 1                              # lanes of this party; a lane group needs the lane at every party

[chain]
rpc_url = "http://127.0.0.1:8545"
party_registry = "0x…"
model_registry = "0x…"
receipt_anchor = "0x…"

[limits]                               # all optional, see LimitsSection
queue = 256
anchor_max_delay_s = 1.0

[batching]                             # optional, see BatchingSection
max_rows = 64
max_delay_ms = 0

[material]                             # optional, see MaterialSection
low = 8
high = 16
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from mpc_infer.coordinator.batching import Batching
from mpc_infer.coordinator.material import Marks
from mpc_infer.ids import Address, PartySetId
from mpc_infer.rpc.channel import MAX_MESSAGE_BYTES, MOST_MESSAGE_BYTES
from mpc_infer.rpc.settings import (
    ChainSettings,
    HexAddress,
    HexDigest,
    HostPort,
    Section,
    checksummed,
    read_toml,
    settings_from,
)

MAX_BATCH = 1024
MAX_ROWS = 1 << 16
MAX_PARTIES = 16
Seconds = Annotated[float, Field(gt=0, le=3600)]


class CoordinatorSection(Section):
    """Who this coordinator is and where it listens."""

    listen: HostPort
    keystore: Path
    database: Path
    party_set: HexDigest


class PartySection(Section):
    """One party: its place in the set, its identity, where it listens and how many lanes it has."""

    index: Annotated[int, Field(ge=0, lt=MAX_PARTIES)]
    address: HexAddress
    target: HostPort
    lanes: Annotated[int, Field(ge=1, le=64)] = 1

    @property
    def identity(self) -> Address:
        """The address, checksummed."""
        return checksummed(self.address)


class ChainSection(ChainSettings):
    """The chain's node and the contracts.

    Attributes:
        poll_s: seconds between two looks at the head.
        confirmations: a root counts as anchored when so many blocks follow its own. 0 for a development chain that
            mines nothing by itself. In any case the coordinator looks again later whether the chain still has it.
        recheck_s: when it looks again.
        stale_s: a head that could not be read again for so long is not used for new jobs.
    """

    poll_s: Seconds = 1.0
    stale_s: Seconds = 30.0
    confirmations: Annotated[int, Field(ge=0, le=1000)] = 0
    recheck_s: Seconds = 60.0


class LimitsSection(Section):
    """What one coordinator takes on.

    Attributes:
        max_rows: rows of one job; the same as the parties' limit, who refuse more in any case.
        queue: jobs that may wait for a lane; more are refused as UNAVAILABLE.
        job_s: longest wait for a job, whatever deadline it allows.
        watch_s: longest life of one WatchJob stream; a client reconnects.
        max_message_bytes: largest message in either direction. A model is published in one, with all parties' shares.
        anchor_max_delay_s: longest time that a receipt waits for others before its batch is closed.
        anchor_max_size: receipts of one batch.
        keep_results_s: how long results are kept after their job ended; receipts are kept for ever.
        grace_s: seconds that running jobs have to finish on SIGTERM.
    """

    max_rows: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 4096
    queue: Annotated[int, Field(ge=1, le=100_000)] = 256
    job_s: Seconds = 600.0
    watch_s: Seconds = 600.0
    max_message_bytes: Annotated[int, Field(ge=1 << 16, le=MOST_MESSAGE_BYTES)] = MAX_MESSAGE_BYTES
    anchor_max_delay_s: Annotated[float, Field(ge=0, le=3600)] = 1.0
    anchor_max_size: Annotated[int, Field(ge=1, le=MAX_BATCH)] = MAX_BATCH
    keep_results_s: Annotated[float, Field(gt=0, le=10 * 365 * 86400)] = 7 * 86400.0
    grace_s: Annotated[float, Field(ge=0, le=300)] = 5.0


class BatchingSection(Section):
    """Which jobs run together in one session.

    Attributes:
        max_rows: rows of a session of several jobs; 1 runs every job alone.
        max_delay_ms: how long a job waits for company although a lane is free.
    """

    max_rows: Annotated[int, Field(ge=1, le=MAX_ROWS)] = 64
    max_delay_ms: Annotated[float, Field(ge=0, le=10_000)] = 0.0

    @property
    def rules(self) -> Batching:
        """The same in seconds."""
        return Batching(self.max_rows, self.max_delay_ms / 1000)


class MaterialSection(Section):
    """How much material is kept ready at the parties.

    Attributes:
        low: with fewer batches than this, per lane and shape, the stock is filled up.
        high: up to so many; 0 makes all material when a job runs.
        max_bytes: no more than this at one party per lane and shape, but at least one batch.
        shapes: how many recently used (model, rows) are kept ready.
        prepare_s: longest making of one batch, or opening of one model. As long as the parties allow a session, which
            may have to make the same; a job that waits ends what takes too long sooner.
    """

    low: Annotated[int, Field(ge=0, le=64)] = 8
    high: Annotated[int, Field(ge=0, le=64)] = 16
    max_bytes: Annotated[int, Field(gt=0)] = 64 << 20
    shapes: Annotated[int, Field(ge=1, le=64)] = 8
    prepare_s: Seconds = 120.0

    @property
    def marks(self) -> Marks:
        """What the stock is told."""
        return Marks(self.low, self.high, self.max_bytes, self.shapes)


class CoordinatorConfig(Section):
    """Everything a coordinator needs."""

    coordinator: CoordinatorSection
    parties: Annotated[tuple[PartySection, ...], Field(min_length=2, max_length=MAX_PARTIES)]
    chain: ChainSection
    limits: LimitsSection = LimitsSection()
    batching: BatchingSection = BatchingSection()
    material: MaterialSection = MaterialSection()

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if [party.index for party in self.parties] != list(range(len(self.parties))):
            raise ValueError("[[parties]] must be listed in the party set's order: index 0, 1, 2, …")
        return self

    @property
    def party_set(self) -> PartySetId:
        """The party set's 32 bytes."""
        return PartySetId(bytes.fromhex(self.coordinator.party_set.removeprefix("0x")))

    @property
    def members(self) -> tuple[Address, ...]:
        """The parties' addresses in order."""
        return tuple(party.identity for party in self.parties)

    @property
    def lanes(self) -> int:
        """Lane groups: lanes that every party has."""
        return min(party.lanes for party in self.parties)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file; relative paths in it are relative to it.

        Raises:
            ConfigError: it cannot be read or is wrong.
        """
        config = settings_from(cls, read_toml(path), path)
        own = config.coordinator
        paths = {"keystore": path.parent / own.keystore, "database": path.parent / own.database}
        return config.model_copy(update={"coordinator": own.model_copy(update=paths)})
