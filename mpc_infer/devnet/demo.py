"""The demo: two models, published by their owner, answer a data owner's rows, and every receipt is verified."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mpc_infer.chain.facts import ChainFacts
from mpc_infer.chain.records import ContractAddresses
from mpc_infer.chain.registry import Registry
from mpc_infer.client import Client, InferenceResult
from mpc_infer.client.config import ClientConfig
from mpc_infer.devnet.devnet import Devnet
from mpc_infer.devnet.init import DATA_OWNER, OWNER
from mpc_infer.devnet.layout import Layout, private_directory
from mpc_infer.devnet.report import AnchorRun, ModelRun, Report
from mpc_infer.devnet.toml import write_private
from mpc_infer.devnet.training import TRAINERS, TrainedModel
from mpc_infer.errors import ReceiptInvalid
from mpc_infer.evidence.bundle import Bundle
from mpc_infer.evidence.eip712 import engine_name
from mpc_infer.evidence.facts_file import facts_to_json, record
from mpc_infer.rpc.settings import checksummed

BATCH_ROWS = 64
WARM_UP, SINGLE_ROWS = 3, 20
DEADLINE_S = 60.0
Progress = Callable[[str], None]
Logits = NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """What sort of demo.

    Attributes:
        directory: where the network's files go.
        chain: "auto", "anvil" or "eth-tester".
        engine: of all parties, "masked" or "crypten".
        stay: keep the network running afterwards, until Ctrl-C.
    """

    directory: Path
    parties: int = 3
    lanes: int = 1
    chain: str = "auto"
    engine: str = "masked"
    stay: bool = False


@dataclass
class _Asked:
    """One model's jobs so far."""

    model: TrainedModel
    model_hash: bytes
    results: list[InferenceResult] = field(default_factory=list)
    batches: list[Logits] = field(default_factory=list)
    singles: list[InferenceResult] = field(default_factory=list)
    worst: float = 0.0

    def note(self, result: InferenceResult, rows: NDArray[np.float32]) -> Logits:
        """Remember a result and how far it is from the plain one."""
        logits = result.outputs["logits"]
        self.results.append(result)
        self.worst = max(self.worst, float(np.abs(logits - self.model.plain(rows)).max()))
        return logits


class Place(Protocol):
    """A network that runs, as the demo sees it."""

    @property
    def layout(self) -> Layout:
        """Where its files lie."""

    @property
    def rpc_url(self) -> str:
        """The chain."""

    def client(self, name: str) -> Path:
        """Configuration file of a client."""


Show = Callable[[Report, Place], None]


def run_demo(settings: Settings, progress: Progress, show: Show) -> None:
    """Run the whole demo on a network of its own, and leave no process behind.

    Args:
        settings: what sort of demo.
        progress: told what is happening, one line at a time.
        show: given the report while the network still runs.

    Raises:
        MpcInferError: something failed; the network's logs say more.
    """
    with Devnet(
        settings.directory,
        parties=settings.parties,
        lanes=settings.lanes,
        chain=settings.chain,
        engine=settings.engine,
        progress=progress,
    ) as net:
        demonstrate(net, progress, show)
        if settings.stay:
            progress("the network runs; Ctrl-C ends it")
            net.watch()


def demonstrate(net: Place, progress: Progress, show: Show) -> None:
    """Publish two models on a network that runs, ask them, verify every receipt.

    Raises:
        MpcInferError: something failed.
    """
    started = time.monotonic()
    with Client(net.client(OWNER)) as owner, Client(net.client(DATA_OWNER)) as data_owner:
        asked = [_publish(owner, data_owner, train, progress) for train in TRAINERS]
        for each in asked:
            _ask(data_owner, each, progress)
        progress("waiting until every receipt is on the chain, and verifying each against it")
        receipts = private_directory(net.layout.receipts)
        verified = [_verify(data_owner, each, receipts) for each in asked]
        _write_facts(net, [bundle for found in verified for bundle in found])
        show(_report(asked, verified, round(time.monotonic() - started, 1)), net)


def _report(asked: Sequence[_Asked], verified: Sequence[Sequence[Bundle]], seconds: float) -> Report:
    """Everything in it comes from answers and receipts, nothing from what was asked for."""
    bundles = [bundle for found in verified for bundle in found]
    engines = {engine_name(bundle.signed.receipt.engine) for bundle in bundles}
    parties = {len(bundle.signed.signatures) for bundle in bundles}
    if len(engines) != 1 or len(parties) != 1:
        raise ReceiptInvalid(
            f"receipts of one network say {len(engines)} engines and {len(parties)} numbers of parties"
        )
    models = tuple(_summary(each, len(found)) for each, found in zip(asked, verified, strict=True))
    return Report(parties.pop(), engines.pop(), seconds, models, _anchors(bundles))


def _write_facts(net: Place, bundles: Sequence[Bundle]) -> None:
    """What the chain says about these receipts: a development chain ends with its network."""
    chain = ClientConfig.load(net.client(DATA_OWNER)).chain
    names = (chain.party_registry, chain.model_registry, chain.receipt_anchor)
    registry = Registry(net.rpc_url, ContractAddresses(*(checksummed(name) for name in names)))
    write_private(net.layout.facts_file, facts_to_json(record(bundles, ChainFacts(registry))).decode())


def _publish(owner: Client, user: Client, train: Callable[[], TrainedModel], progress: Progress) -> _Asked:
    """Train, export, split, seal, register; only this user may use it."""
    progress(f"training {train.__name__}")
    model = train()
    progress(f"publishing {model.name}: weights split, sealed to each party, version registered")
    version = 1 + max((manifest.version for manifest in owner.models(model.name)), default=0)
    published = owner.publish(
        model.onnx, model.name, version, public=False, users=[user.address], input_limit=model.input_limit
    )
    return _Asked(model, published.model_hash)


def _batches(rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(rows), BATCH_ROWS):
        yield rows[start : start + BATCH_ROWS]


def _ask(client: Client, asked: _Asked, progress: Progress) -> None:
    """All rows in batches, once per delivery, then single rows for the latency."""
    model = asked.model
    for delivery in ("coordinator", "client"):
        progress(f"{model.name}: {len(model.rows)} private rows, delivery {delivery}")
        for rows in _batches(model.rows):
            result = client.infer(model.name, {"x": rows}, delivery=delivery, deadline_s=DEADLINE_S)
            logits = asked.note(result, rows)
            if delivery == "coordinator":
                asked.batches.append(logits)
    progress(f"{model.name}: {SINGLE_ROWS} single rows")
    for index in range(WARM_UP + SINGLE_ROWS):
        row = model.rows[index : index + 1]
        result = client.infer(model.name, {"x": row}, deadline_s=DEADLINE_S)
        asked.note(result, row)
        if index >= WARM_UP:
            asked.singles.append(result)


def _verify(client: Client, asked: _Asked, directory: Path) -> list[Bundle]:
    """Wait for each receipt's anchor, keep its bundle (without the result), and verify it against the chain."""
    found = []
    for result in asked.results:
        client.wait_anchored(result)
        bundle = client.bundle(result, openings=False)
        bundle.save(directory / f"{asked.model.name}-{result.job_id.hex()[:12]}.json")
        if client.verify(bundle).receipt.job_id != result.job_id:
            raise ReceiptInvalid("the bundle is another job's")
        found.append(bundle)
    return found


def _summary(asked: _Asked, verified: int) -> ModelRun:
    model, singles = asked.model, asked.singles
    return ModelRun(
        name=model.name,
        title=model.title,
        model_hash=asked.model_hash.hex(),
        rows=len(model.rows),
        accuracy_plain=model.accuracy(model.plain(model.rows)),
        accuracy_private=model.accuracy(np.concatenate(asked.batches)),
        max_abs_error=asked.worst,
        online_ms_p50=round(median(result.timings.online_ms for result in singles), 2),
        end_to_end_ms_p50=round(median(result.timings.end_to_end_ms for result in singles), 2),
        rounds=max(result.cost.rounds for result in singles),
        bytes_per_party=max(max(result.cost.bytes_per_party) for result in singles),
        receipts=len(asked.results),
        receipts_verified=verified,
    )


def _anchors(bundles: Sequence[Bundle]) -> tuple[AnchorRun, ...]:
    """The transactions, in the order of their blocks; how many of our receipts each holds."""
    inclusions = [bundle.inclusion for bundle in bundles if bundle.inclusion is not None]
    by_root = {inclusion.root: inclusion for inclusion in sorted(inclusions, key=lambda each: each.block)}
    counts = {root: sum(each.root == root for each in inclusions) for root in by_root}
    return tuple(
        AnchorRun(each.root.hex(), "0x" + each.transaction.hex(), each.gas_used, counts[root])
        for root, each in by_root.items()
    )
