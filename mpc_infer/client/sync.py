"""The client for code without asyncio: AsyncClient on an event loop of its own. Nothing is written twice."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from numpy.typing import ArrayLike

from mpc_infer.chain.records import PartyRecord, TxResult
from mpc_infer.client.aio import ANCHOR_TIMEOUT_S, AsyncClient
from mpc_infer.client.catalogue import Evidence, ModelVersion, VerifiedModel
from mpc_infer.client.config import ClientConfig
from mpc_infer.client.jobs import Submission
from mpc_infer.client.loop import LoopThread
from mpc_infer.client.owner import PublishedModel, Source
from mpc_infer.client.result import InferenceResult, JobStatus
from mpc_infer.evidence.bundle import Bundle
from mpc_infer.evidence.receipt import Inclusion
from mpc_infer.evidence.verify import VerifiedReceipt
from mpc_infer.graph.input_ranges import Declared
from mpc_infer.ids import Address, ModelHash
from mpc_infer.model.manifest import Manifest
from mpc_infer.model.package import ModelPackage


class Client:
    """A data owner's or model owner's way to the network. Methods, arguments and errors are AsyncClient's.

    Example:
        ``with Client("client.toml") as client: client.infer("digits", {"x": rows}).outputs``

    Args:
        config: a configuration, or the path of a TOML file (see mpc_infer.client.config).

    Raises:
        ConfigError: the configuration is wrong.
        StoreError: the keystore cannot be read.
    """

    def __init__(self, config: ClientConfig | Path | str) -> None:
        self._async = AsyncClient(config)
        self._thread = LoopThread("mpc-infer-client")

    @property
    def address(self) -> Address:
        """Who this client is."""
        return self._async.address

    def infer(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        delivery: str = "coordinator",
        deadline_s: float = 30.0,
        anchored: bool = False,
    ) -> InferenceResult:
        """Run a model on private inputs and check the answer; see AsyncClient.infer."""
        return self._thread.run(
            self._async.infer(model, inputs, delivery=delivery, deadline_s=deadline_s, anchored=anchored)
        )

    def submit(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        delivery: str = "coordinator",
        deadline_s: float = 30.0,
    ) -> Submission:
        """As `infer`, but return as soon as the job is accepted. Keep the submission to get the result."""
        return self._thread.run(self._async.submit(model, inputs, delivery=delivery, deadline_s=deadline_s))

    def watch(self, submission: Submission, timeout_s: float = 60.0) -> Iterator[JobStatus]:
        """Every change of a job's state until it is anchored or failed."""
        return self._thread.iterate(self._async.watch(submission, timeout_s))

    def get(self, submission: Submission) -> InferenceResult:
        """The checked result of a submitted job, waiting for it until its deadline."""
        return self._thread.run(self._async.get(submission))

    def wait_anchored(self, result: InferenceResult, timeout_s: float = ANCHOR_TIMEOUT_S) -> Inclusion:
        """Wait until the receipt's batch is on the chain. Returns its inclusion proof, checked."""
        return self._thread.run(self._async.wait_anchored(result, timeout_s))

    def bundle(self, result: InferenceResult, *, openings: bool = True) -> Bundle:
        """The receipt and its evidence, to save and to hand on; without openings it does not reveal the result."""
        return self._thread.run(self._async.bundle(result, openings=openings))

    def verify(self, bundle: Bundle, *, offline: bool = False) -> VerifiedReceipt:
        """Verify a receipt in seven steps; offline leaves out the last, whether its root is on the chain."""
        return self._thread.run(self._async.verify(bundle, offline=offline))

    def models(self, name: str = "") -> tuple[Manifest, ...]:
        """The manifests of the models that the coordinator lists, consistent in themselves."""
        return self._thread.run(self._async.models(name))

    def versions(self, name: str = "") -> tuple[ModelVersion, ...]:
        """The versions that the coordinator lists, with what the chain says of each."""
        return self._thread.run(self._async.versions(name))

    def parties(self, manifest: Manifest) -> tuple[PartyRecord, ...]:
        """The parties that hold a model's shares, in order, as the chain has them."""
        return self._thread.run(self._async.parties(manifest))

    def verify_model(self, name: str, evidence: Evidence, version: int | None = None) -> VerifiedModel:
        """Check that a file is what was published under a name; see Catalogue.verify."""
        return self._thread.run(self._async.verify_model(name, evidence, version))

    def package(
        self,
        source: Source,
        name: str,
        version: int,
        *,
        input_limit: int | None = None,
        ranges: Declared | None = None,
        public_weights: Sequence[str] = (),
        keep_openings: bool = False,
    ) -> ModelPackage:
        """A model split and sealed for the parties; see AsyncClient.package."""
        made = self._async.package(
            source,
            name,
            version,
            input_limit=input_limit,
            ranges=ranges,
            public_weights=public_weights,
            keep_openings=keep_openings,
        )
        return self._thread.run(made)

    def publish(
        self,
        source: Source,
        name: str,
        version: int,
        *,
        public: bool = True,
        users: Sequence[Address] = (),
        input_limit: int | None = None,
        ranges: Declared | None = None,
        public_weights: Sequence[str] = (),
        keep_openings: bool = False,
    ) -> PublishedModel:
        """Publish a model version and make it the active one; see AsyncClient.publish."""
        published = self._async.publish(
            source,
            name,
            version,
            public=public,
            users=users,
            input_limit=input_limit,
            ranges=ranges,
            public_weights=public_weights,
            keep_openings=keep_openings,
        )
        return self._thread.run(published)

    def allow(self, model_hash: ModelHash, user: Address) -> TxResult:
        """Let an address use a version of ours."""
        return self._thread.run(self._async.allow(model_hash, user))

    def deny(self, model_hash: ModelHash, user: Address) -> TxResult:
        """No longer let an address use a version of ours. A public version stays open to everybody."""
        return self._thread.run(self._async.deny(model_hash, user))

    def deprecate(self, model_hash: ModelHash) -> TxResult:
        """Retire a version of ours."""
        return self._thread.run(self._async.deprecate(model_hash))

    def close(self) -> None:
        """Close the connections and end the thread. May be called again."""
        if not self._thread.closed:
            self._thread.run(self._async.close())
            self._thread.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
