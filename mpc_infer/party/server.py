"""The party as a process: wire it, start its lanes, serve, and end in order."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from mpc_infer.chain.registry import Registry
from mpc_infer.clock import Clock, SystemClock
from mpc_infer.errors import ConfigError
from mpc_infer.identity.keystore import Keystore
from mpc_infer.ids import Address
from mpc_infer.party.config import PartyConfig
from mpc_infer.party.judge import Identity
from mpc_infer.party.lane_host import LaneHost
from mpc_infer.party.lane_setup import lane_setup
from mpc_infer.party.metrics import MetricsServer, StockCollector
from mpc_infer.party.models import ModelShelf, Place
from mpc_infer.party.openings import Openings
from mpc_infer.party.pruning import pruning
from mpc_infer.party.runner import LaneRunner
from mpc_infer.party.service import Party
from mpc_infer.party.servicer import PartyServicer
from mpc_infer.party.state import PartyState
from mpc_infer.party.stock import Stock
from mpc_infer.party.stock_files import StockFiles, files_key
from mpc_infer.party.stock_report import stock_report
from mpc_infer.party.view import RegistryView
from mpc_infer.rpc.background import Background
from mpc_infer.rpc.policy import Policy
from mpc_infer.rpc.server import RpcServer, Service, build_server, serve_until_signal, stop_event
from mpc_infer.rpc.settings import split_host_port
from mpc_infer.store import PartyStore
from mpc_infer.v1.party_pb2_grpc import add_PartyServiceServicer_to_server

SERVICE = "mpc_infer.v1.PartyService"


@dataclass(frozen=True)
class Wired:
    """A party and what it is made of, not yet started."""

    party: Party
    members: tuple[Address, ...]
    keystore: Keystore
    store: PartyStore
    shelf: ModelShelf
    view: RegistryView
    lanes: tuple[LaneHost, ...]
    stock: Stock
    runner: LaneRunner
    background: Background


def members_of(config: PartyConfig, own: Address) -> tuple[Address, ...]:
    """All parties' identities by index."""
    by_index = {peer.index: peer.identity for peer in config.peers} | {config.party.index: own}
    if len(set(by_index.values())) != len(by_index):
        raise ConfigError("two parties have the same address")
    return tuple(by_index[index] for index in range(config.size))


def wire(config: PartyConfig, registry: Registry, clock: Clock) -> Wired:
    """Make the parts of a party. Reads the keystore, opens the database, asks the chain for its id.

    Raises:
        StoreError: keystore or database cannot be read.
        ChainError: the chain does not answer.
        ConfigError: the configuration contradicts itself.
    """
    keystore = Keystore(config.party.keystore)
    members = members_of(config, keystore.address)
    place = Place(config.party.index, keystore.address, config.party.party_set_id, config.size)
    domains = registry.receipt_domain, registry.model_domain
    identity = Identity(place, keystore.signer, keystore.sealing_keys, *domains, config.party.engine)
    store = PartyStore(config.party.database, keystore.storage_key)
    shelf = ModelShelf(store, keystore.sealing_keys, place, identity.model_domain)
    chain, background = config.chain, Background()
    view = RegistryView(
        registry, max_lag=chain.max_lag_blocks, poll_s=chain.poll_s, stale_s=chain.stale_s, background=background
    )
    lanes = make_lanes(config, members, keystore, background)
    openings = Openings(store, opens=config.party.opens_models)
    files = StockFiles(config.party.material_directory)
    stock = Stock(store.material, files, config.limits, clock, openings.digest)
    stock.reconcile()
    runner = LaneRunner(lanes, shelf, openings, stock, config.limits, clock)
    party = Party(identity, store, shelf, openings, view, runner, config.limits, clock)
    return Wired(party, members, keystore, store, shelf, view, lanes, stock, runner, background)


def make_lanes(
    config: PartyConfig, members: tuple[Address, ...], keystore: Keystore, background: Background
) -> tuple[LaneHost, ...]:
    """One host per lane, none started."""
    limits, key = config.limits, files_key(keystore.storage_key)
    return tuple(
        LaneHost(
            number,
            lane_setup(config, number, members, keystore.tls, key).to_message,
            kill_grace_s=limits.kill_grace_s,
            longest_s=limits.session_s,
            max_waiting=limits.max_waiting,
            max_models=limits.max_models_per_lane,
            background=background,
        )
        for number in range(len(config.party.lanes))
    )


async def serve(config: PartyConfig, *, stop: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM: then take no more work, let sessions end within the grace, end lanes, close the database.

    Args:
        config: from PartyConfig.load.
        stop: ends the service instead of a signal, for tests.

    Raises:
        InternalError: the watch over the chain or over a lane failed; the party ended in the same order.
    """
    ended = stop or stop_event()
    chain = config.chain
    registry = Registry(chain.rpc_url, chain.contracts, timeout_s=chain.timeout_s)
    clock = SystemClock()
    wired = await asyncio.to_thread(wire, config, registry, clock)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(wired.store.close)
        if config.metrics is not None:
            stack.callback(_start_metrics(config.metrics.listen, config.party.database).close)
        stack.push_async_callback(wired.background.close)
        stack.push_async_callback(wired.view.close)
        stack.push_async_callback(wired.runner.close)
        await wired.view.start(config.party.party_set_id, wired.members)
        await asyncio.gather(*(lane.start() for lane in wired.lanes))
        wired.background.start(pruning(wired.store, clock, config.limits.keep_answers_s), "pruning")
        await _serve_wired(config, wired, ended)


def _start_metrics(listen: str, database: Path) -> MetricsServer:
    server = MetricsServer(*split_host_port(listen), StockCollector(lambda: stock_report(database, datetime.now(UTC))))
    server.start()
    return server


def build(config: PartyConfig, wired: Wired) -> RpcServer:
    """The gRPC server in front of a party, bound to its port and not yet started.

    Raises:
        ConfigError: the port cannot be had.
    """
    host, port = split_host_port(config.party.listen)
    servicer = PartyServicer(wired.party, len(wired.lanes))
    service = Service(SERVICE, partial(add_PartyServiceServicer_to_server, servicer))
    policy = Policy(pinned={"coordinator": frozenset({config.coordinator.identity})})
    largest = config.limits.max_message_bytes
    return build_server(wired.keystore.tls, policy, [service], host=host, port=port, max_bytes=largest)


async def _serve_wired(config: PartyConfig, wired: Wired, ended: asyncio.Event) -> None:
    server = build(config, wired)
    wired.party.state.move(PartyState.SERVING)
    stopping = partial(wired.party.drain, config.limits.grace_s)
    try:
        await serve_until_signal(
            server, role="party", grace_s=1.0, stopping=stopping, stop=ended, background=wired.background
        )
    finally:
        wired.party.state.move(PartyState.STOPPED)
