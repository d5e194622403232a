"""Wiring: from a configuration to a coordinator that serves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

from mpc_infer.chain.records import ContractAddresses
from mpc_infer.chain.writer import RegistryWriter
from mpc_infer.clock import Clock, SystemClock
from mpc_infer.coordinator.accept import Rules
from mpc_infer.coordinator.anchoring import Anchoring, AnchoringRules
from mpc_infer.coordinator.board import Board
from mpc_infer.coordinator.config import CoordinatorConfig
from mpc_infer.coordinator.dispatch import DispatchRules
from mpc_infer.coordinator.floor import Floor
from mpc_infer.coordinator.head import Head
from mpc_infer.coordinator.jobs import Jobs
from mpc_infer.coordinator.keeper import Keeper
from mpc_infer.coordinator.lanes import LanePool
from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.coordinator.material import Stock
from mpc_infer.coordinator.openings import Openings
from mpc_infer.coordinator.parties import Directory, PartyDoor, open_parties
from mpc_infer.coordinator.pruning import pruning
from mpc_infer.coordinator.publish import Publisher
from mpc_infer.coordinator.recheck import Recheck
from mpc_infer.coordinator.service import CoordinatorService
from mpc_infer.coordinator.servicer import CoordinatorServicer
from mpc_infer.coordinator.tasks import Owned
from mpc_infer.errors import ChainError, ConfigError
from mpc_infer.identity.keystore import Keystore
from mpc_infer.rpc.background import Background
from mpc_infer.rpc.policy import Policy
from mpc_infer.rpc.server import Service, build_server, serve_until_signal
from mpc_infer.rpc.settings import split_host_port
from mpc_infer.store import BatchRecord
from mpc_infer.telemetry import Log
from mpc_infer.v1 import coordinator_pb2_grpc

_LOG = Log("coordinator")
SERVICE_NAME = "mpc_infer.v1.CoordinatorService"
CHAIN_TRIES = 30


async def serve(config: CoordinatorConfig, stop: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM, SIGINT, or `stop`.

    Raises:
        ConfigError: the port cannot be had, or the chain knows another party set.
        StoreError: the keystore or the database cannot be used.
        ChainError: the chain does not answer.
        InternalError: a background task failed.
    """
    keystore = Keystore(config.coordinator.keystore)
    chain = RegistryWriter(
        config.chain.rpc_url,
        ContractAddresses(*config.chain.contracts),
        keystore.signer,
        timeout_s=config.chain.timeout_s,
    )
    parties = open_parties(config, keystore.tls)
    host, port = split_host_port(config.coordinator.listen)
    background = Background()
    async with running(config, chain, parties, keystore.storage_key, background=background) as service:
        servicer = CoordinatorServicer(service)
        register = partial(coordinator_pb2_grpc.add_CoordinatorServiceServicer_to_server, servicer)
        server = build_server(
            keystore.tls,
            Policy(),
            [Service(SERVICE_NAME, register)],
            host=host,
            port=port,
            max_bytes=config.limits.max_message_bytes,
        )
        grace_s = config.limits.grace_s
        await serve_until_signal(server, role="coordinator", grace_s=grace_s, stop=stop, background=background)


@asynccontextmanager
async def running(
    config: CoordinatorConfig,
    chain: RegistryWriter,
    parties: Sequence[PartyDoor],
    storage_key: bytes,
    clock: Clock | None = None,
    background: Background | None = None,
) -> AsyncIterator[CoordinatorService]:
    """A coordinator without its gRPC server, with its background tasks, until the block ends.

    Args:
        config: see mpc_infer.coordinator.config.
        chain: the contracts, with the coordinator's key.
        parties: in the party set's order.
        storage_key: 32 bytes; results are encrypted with it.
        clock: where the time comes from.
        background: gets the tasks that run for ever; it tells when one has failed.

    Raises:
        ConfigError: the chain knows another party set than the configuration.
        ChainError: the chain does not answer.
    """
    await _check_party_set(config, chain)
    ledger, owned, background = Ledger(config.coordinator.database, storage_key), Owned(), background or Background()
    try:
        yield await _start(config, chain, parties, ledger, owned, background, clock or SystemClock())
    finally:
        await background.close()
        await owned.close()
        for party in parties:
            await party.close()
        await ledger.close()


async def _start(
    config: CoordinatorConfig,
    chain: RegistryWriter,
    parties: Sequence[PartyDoor],
    ledger: Ledger,
    owned: Owned,
    background: Background,
    clock: Clock,
) -> CoordinatorService:
    limits, party_set, board = config.limits, config.party_set, Board()
    head = Head(chain, config.chain.poll_s, config.chain.stale_s)
    lanes = LanePool(config.lanes)
    stock = Stock(config.lanes, config.material.marks)
    openings = Openings(parties, clock, stock.drop_model)
    keeper = Keeper(parties, lanes, stock, openings, clock, config.material.prepare_s)
    floor = Floor(parties, lanes, stock, openings, keeper, head, ledger, clock)
    anchoring_rules = AnchoringRules(
        chain.receipt_domain, party_set, limits.anchor_max_size, limits.anchor_max_delay_s, config.chain.confirmations
    )
    anchoring = Anchoring(ledger, parties, chain, anchoring_rules, clock)
    dispatch_rules = DispatchRules(config.batching.rules, limits.queue, limits.job_s, chain.receipt_domain)
    jobs = Jobs(floor, dispatch_rules, party_set, board, owned, receipt_stored=anchoring.added)
    if unfinished := await jobs.recover():
        _LOG.warning("the parties are asked for jobs that a crash left behind", jobs=unfinished)

    directory = Directory(parties, party_set)

    async def anchored(_: BatchRecord) -> None:
        await board.all_changed()

    for party in parties:
        background.start(party.watch(partial(_lost, keeper, directory, party.index)), f"watch-{party.index}")
    background.start(head.poll(), "head")
    background.start(keeper.run(), "material")
    background.start(anchoring.run(anchored), "anchoring")
    recheck = Recheck(ledger, chain, config.chain.recheck_s, anchoring.wake)
    background.start(recheck.run(), "recheck")
    background.start(pruning(ledger, clock, limits.keep_results_s), "pruning")
    rules = Rules(chain.receipt_domain, party_set, len(parties), limits.max_rows)
    return CoordinatorService(
        floor,
        rules,
        chain.addresses,
        jobs=jobs,
        board=board,
        directory=directory,
        publisher=Publisher(ledger, parties, chain.model_domain, party_set, keeper.published),
        watch_s=limits.watch_s,
    )


def _lost(keeper: Keeper, directory: Directory, index: int) -> None:
    """A party may have been restarted: other material may be ready, other models open, other keys in use."""
    keeper.doubt_all()
    directory.forget(index)


async def _check_party_set(config: CoordinatorConfig, chain: RegistryWriter) -> None:
    """The registry's party set is the configured one. Also reads the chain id, once, off the event loop."""
    record = None
    for _ in range(CHAIN_TRIES):
        with contextlib.suppress(ChainError):
            record = await asyncio.to_thread(chain.party_set, config.party_set)
            break
        _LOG.info("waiting for the chain", url=config.chain.rpc_url)
        await asyncio.sleep(config.chain.poll_s)
    if record is None:
        record = await asyncio.to_thread(chain.party_set, config.party_set)
    await asyncio.to_thread(lambda: chain.chain_id)
    if record.members != config.members:
        raise ConfigError(
            f"[[parties]] are {config.members}, the registry's party set has {record.members}",
            remedy="list the parties as the registry does",
        )
