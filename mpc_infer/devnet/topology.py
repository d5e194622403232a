"""Where every role listens, and by which name the others reach it."""

from dataclasses import dataclass

from mpc_infer.devnet.ports import free_ports
from mpc_infer.errors import ConfigError

MIN_PARTIES, MAX_PARTIES = 2, 5
LOOPBACK = "127.0.0.1"
ANYWHERE = "0.0.0.0"  # noqa: S104 - inside a container, whose network decides who gets there
CHAIN_PORT, COORDINATOR_PORT, PARTY_PORT, LANE_PORT, DEALER_PORT = 8545, 7000, 7100, 7200, 7300


@dataclass(frozen=True)
class Endpoint:
    """One listening socket: how others dial it, and where it is bound. They differ behind a name, NAT or proxy."""

    host: str
    port: int
    bind_host: str
    bind_port: int

    @property
    def target(self) -> str:
        """What others dial, ``host:port``."""
        return f"{self.host}:{self.port}"

    @property
    def listen(self) -> str:
        """What the role binds, ``host:port``."""
        return f"{self.bind_host}:{self.bind_port}"


@dataclass(frozen=True)
class PartyPlace:
    """A party's gRPC endpoint and one endpoint per lane."""

    service: Endpoint
    lanes: tuple[Endpoint, ...]


@dataclass(frozen=True)
class Topology:
    """Every endpoint of a network.

    Attributes:
        outside: host by which clients on this machine reach the coordinator and the chain.
    """

    chain: Endpoint
    coordinator: Endpoint
    dealer: Endpoint
    parties: tuple[PartyPlace, ...]
    outside: str = LOOPBACK

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every name that certificates should carry."""
        ends = [self.coordinator, self.dealer, *(place.service for place in self.parties)]
        ends += [lane for place in self.parties for lane in place.lanes]
        return tuple(sorted({end.host for end in ends} | {self.outside, "localhost"}))


def check_sizes(parties: int, lanes: int) -> None:
    """Refuse a network that nobody meant.

    Raises:
        ConfigError: with the limits.
    """
    if not MIN_PARTIES <= parties <= MAX_PARTIES:
        raise ConfigError(f"{parties} parties; a devnet has {MIN_PARTIES} to {MAX_PARTIES}")
    if not 1 <= lanes <= 8:
        raise ConfigError(f"{lanes} lanes; a party has 1 to 8")


def loopback(parties: int = 3, lanes: int = 1, *, proxied: bool = False) -> Topology:
    """Everything on 127.0.0.1 at free ports.

    Args:
        parties: how many.
        lanes: lanes of each.
        proxied: give every endpoint one port to dial and another to bind, so that something can be put between.

    Raises:
        ConfigError: sizes out of range.
        Unavailable: no free ports.
    """
    check_sizes(parties, lanes)
    count = 3 + parties * (1 + lanes)
    ports = free_ports(2 * count if proxied else count)
    dialled, bound = ports[:count], ports[-count:]
    ends = iter([Endpoint(LOOPBACK, d, LOOPBACK, b) for d, b in zip(dialled, bound, strict=True)])
    chain, coordinator, dealer = next(ends), next(ends), next(ends)
    places = tuple(PartyPlace(next(ends), tuple(next(ends) for _ in range(lanes))) for _ in range(parties))
    return Topology(chain, coordinator, dealer, places)


def _named(host: str, port: int) -> Endpoint:
    return Endpoint(host, port, ANYWHERE, port)


def compose(parties: int = 3, lanes: int = 1) -> Topology:
    """One machine (container) per role, named chain, coordinator, dealer, party0, party1, ...

    Raises:
        ConfigError: sizes out of range.
    """
    check_sizes(parties, lanes)
    places = tuple(
        PartyPlace(
            _named(f"party{index}", PARTY_PORT),
            tuple(_named(f"party{index}", LANE_PORT + lane) for lane in range(lanes)),
        )
        for index in range(parties)
    )
    return Topology(
        _named("chain", CHAIN_PORT), _named("coordinator", COORDINATOR_PORT), _named("dealer", DEALER_PORT), places
    )
