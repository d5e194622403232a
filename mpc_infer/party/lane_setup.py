"""What a lane's worker has to know. It travels over the inherited socket, never in arguments or environment."""

from dataclasses import dataclass, field
from pathlib import Path

from mpc_infer import telemetry
from mpc_infer.errors import InternalError
from mpc_infer.identity.tls import TlsCredentials
from mpc_infer.ids import Address
from mpc_infer.party.config import PartyConfig
from mpc_infer.party.frames import Message
from mpc_infer.rpc.settings import split_host_port

KIND = "setup"


@dataclass(frozen=True)
class LaneSetup:
    """What a worker is told when it starts.

    Attributes:
        number: the lane's position.
        rank: this party's index.
        addresses: all parties' identities, by index.
        targets: ``host:port`` of this lane at every party, by index; the own entry is where it listens.
        credentials: TLS for peers and dealer.
        dealer_target, dealer_address: the dealer.
        dealer_key_id: 32 bytes that pin the dealer's sealing key.
        engine: its name.
        opens_models: whether it wants models opened.
        threads: of torch.
        material: directory of the party's material.
        material_key: 32 bytes, for the files there.
        ready_batches, ready_bytes: most material that is kept in memory.
        step_s: longest wait for one round.
        log_level, log_json: as the main process has them.
    """

    number: int
    rank: int
    addresses: tuple[Address, ...]
    targets: tuple[str, ...]
    credentials: TlsCredentials
    dealer_target: str
    dealer_address: Address
    dealer_key_id: bytes
    engine: str
    opens_models: bool
    threads: int
    material: Path
    material_key: bytes = field(repr=False)
    ready_batches: int
    ready_bytes: int
    step_s: float
    log_level: str
    log_json: bool

    @property
    def listen(self) -> tuple[str, int]:
        """Where the lane listens for its peers."""
        return split_host_port(self.targets[self.rank])

    def to_message(self) -> Message:
        """As the first message to the worker."""
        credentials = self.credentials
        return Message(
            KIND,
            fields={
                "number": self.number,
                "rank": self.rank,
                "addresses": " ".join(self.addresses),
                "targets": " ".join(self.targets),
                "dealer_target": self.dealer_target,
                "dealer_address": self.dealer_address,
                "engine": self.engine,
                "opens_models": int(self.opens_models),
                "threads": self.threads,
                "material": str(self.material),
                "ready_batches": self.ready_batches,
                "ready_bytes": self.ready_bytes,
                "step_s": self.step_s,
                "log_level": self.log_level,
                "log_json": int(self.log_json),
            },
            blobs={
                "ca": credentials.ca_pem,
                "certificate": credentials.cert_pem,
                "key": credentials.key_pem,
                "dealer_key_id": self.dealer_key_id,
                "material_key": self.material_key,
            },
        )

    @classmethod
    def from_message(cls, message: Message) -> "LaneSetup":
        """Read the first message.

        Raises:
            InternalError: it is another one.
        """
        if message.kind != KIND:
            raise InternalError(f"a lane's first message is {message.kind}")
        return cls(
            number=message.integer("number"),
            rank=message.integer("rank"),
            addresses=tuple(Address(text) for text in message.text("addresses").split()),
            targets=tuple(message.text("targets").split()),
            credentials=TlsCredentials(message.blob("ca"), message.blob("certificate"), message.blob("key")),
            dealer_target=message.text("dealer_target"),
            dealer_address=Address(message.text("dealer_address")),
            dealer_key_id=message.blob("dealer_key_id"),
            engine=message.text("engine"),
            opens_models=bool(message.integer("opens_models")),
            threads=message.integer("threads"),
            material=Path(message.text("material")),
            material_key=message.blob("material_key"),
            ready_batches=message.integer("ready_batches"),
            ready_bytes=message.integer("ready_bytes"),
            step_s=message.real("step_s"),
            log_level=message.text("log_level"),
            log_json=bool(message.integer("log_json")),
        )


def lane_setup(
    config: PartyConfig,
    number: int,
    addresses: tuple[Address, ...],
    credentials: TlsCredentials,
    material_key: bytes,
) -> LaneSetup:
    """What the configuration says about one lane.

    Args:
        config: the party's.
        number: which lane.
        addresses: all parties' identities, by index.
        credentials: the party's.
        material_key: see `files_key`.
    """
    targets = {peer.index: peer.lanes[number] for peer in config.peers}
    targets[config.party.index] = config.party.lanes[number]
    log_level, log_json = telemetry.settings()
    return LaneSetup(
        number=number,
        rank=config.party.index,
        addresses=addresses,
        targets=tuple(targets[index] for index in range(config.size)),
        credentials=credentials,
        dealer_target=config.dealer.target,
        dealer_address=config.dealer.identity,
        dealer_key_id=bytes.fromhex(config.dealer.sealing_key_id.removeprefix("0x")),
        engine=config.party.engine,
        opens_models=config.party.opens_models,
        threads=config.party.torch_threads,
        material=config.party.material_directory,
        material_key=material_key,
        ready_batches=config.limits.ready_batches,
        ready_bytes=config.limits.ready_bytes,
        step_s=config.limits.step_s,
        log_level=log_level,
        log_json=log_json,
    )
