"""What a party must be told. ::

    [party]
    index = 0
    listen = "127.0.0.1:7200"
    keystore = "keys/party0"
    database = "party0.sqlite"
    party_set = "0x…"                       # 32 bytes, the registry's id
    lanes = ["127.0.0.1:7300"]              # where each lane listens for its peers
    torch_threads = 1                       # per lane; optional
    material = "party0.material"            # where material lies; by default beside the database
    engine = "masked"                       # or "crypten": the same at all parties of the set; optional

    [[peers]]                               # one for every other party
    index = 1
    address = "0x…"
    lanes = ["127.0.0.1:7301"]              # the same number of lanes, in the same order

    [dealer]
    target = "127.0.0.1:7100"
    address = "0x…"
    sealing_key_id = "0x…"                  # pins the key that GetDealerInfo returns

    [coordinator]
    address = "0x…"                         # the only certificate that may act as coordinator

    [chain]
    rpc_url = "http://127.0.0.1:8545"
    party_registry = "0x…"
    model_registry = "0x…"
    receipt_anchor = "0x…"
    max_lag_blocks = 64                     # optional

    [limits]                                # all optional, see PartyLimits
    max_rows = 4096

    [metrics]                               # optional; without it there are none
    listen = "127.0.0.1:9464"               # plain HTTP, for Prometheus: see party/metrics.py

Relative paths are relative to the file.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from mpc_infer.chain.records import ContractAddresses
from mpc_infer.ids import Address, PartySetId
from mpc_infer.rpc.channel import MAX_MESSAGE_BYTES, MOST_MESSAGE_BYTES
from mpc_infer.rpc.settings import HexAddress, HexDigest, HostPort, Section, checksummed, read_toml, settings_from

MAX_PARTIES = 8


class PartySection(Section):
    """Who this party is and where it listens."""

    index: Annotated[int, Field(ge=0, lt=MAX_PARTIES)]
    listen: HostPort
    keystore: Path
    database: Path
    party_set: HexDigest
    lanes: Annotated[tuple[HostPort, ...], Field(min_length=1, max_length=64)]
    torch_threads: Annotated[int, Field(ge=1, le=256)] = 1
    material: Path | None = None
    engine: Literal["masked", "crypten"] = "masked"

    @property
    def party_set_id(self) -> PartySetId:
        """The party set as 32 bytes."""
        return PartySetId(bytes.fromhex(self.party_set.removeprefix("0x")))

    @property
    def material_directory(self) -> Path:
        """Where material lies."""
        return self.material or self.database.with_suffix(".material")

    @property
    def opens_models(self) -> bool:
        """Whether the engine wants a model's weights opened under masks before it can use them."""
        return self.engine == "masked"


class PeerSection(Section):
    """Another party of the set."""

    index: Annotated[int, Field(ge=0, lt=MAX_PARTIES)]
    address: HexAddress
    lanes: tuple[HostPort, ...]

    @property
    def identity(self) -> Address:
        """The address, checksummed."""
        return checksummed(self.address)


class DealerSection(Section):
    """Whom this party asks for corrections. Seeds are sealed to the one key of that id, whatever the dealer shows."""

    target: HostPort
    address: HexAddress
    sealing_key_id: HexDigest

    @property
    def identity(self) -> Address:
        """The address, checksummed."""
        return checksummed(self.address)


class CoordinatorSection(Section):
    """Whose calls this party obeys."""

    address: HexAddress

    @property
    def identity(self) -> Address:
        """The address, checksummed."""
        return checksummed(self.address)


class ChainSection(Section):
    """The chain that this party believes.

    Attributes:
        max_lag_blocks: how far behind this party's own head a job's registry block may be.
        poll_s: seconds between two looks at the head.
        stale_s: seconds without a look that worked until jobs are refused.
    """

    rpc_url: str
    party_registry: HexAddress
    model_registry: HexAddress
    receipt_anchor: HexAddress
    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0
    max_lag_blocks: Annotated[int, Field(ge=0)] = 64
    poll_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    stale_s: Annotated[float, Field(gt=0, le=3600)] = 60.0

    @property
    def contracts(self) -> ContractAddresses:
        """The contracts' addresses, checksummed."""
        return ContractAddresses(
            checksummed(self.party_registry), checksummed(self.model_registry), checksummed(self.receipt_anchor)
        )


class PartyLimits(Section):
    """What callers may ask of this party.

    Attributes:
        max_rows: rows of one job.
        max_message_bytes: largest message in either direction. A share of a model comes in one.
        max_deadline_s: how far in the future a job's deadline may lie.
        session_s: longest that one session or one preparation may take, whatever the deadline says.
        step_s: longest wait for one round among the parties.
        kill_grace_s: after its deadline a lane has this long to answer, or to say that it is at work, before it is
            killed; at work it has `session_s` in all.
        max_material: batches of material that a lane has on the disk; more are refused.
        max_material_bytes: of all lanes together, on the disk; more are refused.
        ready_batches, ready_bytes: of these, what a lane keeps in memory with the work done that needs no input.
        max_models_per_lane: models that a lane keeps loaded.
        max_waiting: jobs that may wait for one lane.
        keep_answers_s: how long answers are kept for callers that ask again; receipts are remembered for ever.
        grace_s: seconds that running sessions have to finish on SIGTERM.
    """

    max_rows: Annotated[int, Field(gt=0, le=1 << 16)] = 4096
    max_message_bytes: Annotated[int, Field(ge=1 << 16, le=MOST_MESSAGE_BYTES)] = MAX_MESSAGE_BYTES
    max_deadline_s: Annotated[float, Field(gt=0)] = 3600.0
    session_s: Annotated[float, Field(gt=0)] = 120.0
    step_s: Annotated[float, Field(gt=0)] = 30.0
    kill_grace_s: Annotated[float, Field(gt=0, le=60)] = 2.0
    max_material: Annotated[int, Field(gt=0, le=4096)] = 1024
    max_material_bytes: Annotated[int, Field(gt=0)] = 8 << 30
    ready_batches: Annotated[int, Field(gt=0, le=4096)] = 64
    ready_bytes: Annotated[int, Field(gt=0)] = 512 << 20
    max_models_per_lane: Annotated[int, Field(gt=0, le=256)] = 16
    max_waiting: Annotated[int, Field(gt=0, le=1024)] = 16
    keep_answers_s: Annotated[float, Field(gt=0, le=10 * 365 * 86400)] = 7 * 86400.0
    grace_s: Annotated[float, Field(ge=0, le=300)] = 10.0


class MetricsSection(Section):
    """Where metrics can be read. By anybody who gets there: keep it to this machine or a network of your own."""

    listen: HostPort


class PartyConfig(Section):
    """Everything a party needs."""

    party: PartySection
    peers: Annotated[tuple[PeerSection, ...], Field(min_length=1, max_length=MAX_PARTIES - 1)]
    dealer: DealerSection
    coordinator: CoordinatorSection
    chain: ChainSection
    limits: PartyLimits = PartyLimits()
    metrics: MetricsSection | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        indices = sorted([self.party.index, *(peer.index for peer in self.peers)])
        if indices != list(range(len(indices))):
            raise ValueError(f"the indices of this party and its peers are {indices}, not 0 to {len(indices) - 1}")
        if any(len(peer.lanes) != len(self.party.lanes) for peer in self.peers):
            raise ValueError("every peer must have as many lanes as this party")
        return self

    @property
    def size(self) -> int:
        """Number of parties in the set."""
        return len(self.peers) + 1

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a TOML file; relative paths in it are relative to it.

        Raises:
            ConfigError: it cannot be read or is wrong.
        """
        config = settings_from(cls, read_toml(path), path)
        names = {name: getattr(config.party, name) for name in ("keystore", "database", "material")}
        paths = {name: path.parent / value for name, value in names.items() if value is not None}
        return config.model_copy(update={"party": config.party.model_copy(update=paths)})
