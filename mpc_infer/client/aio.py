"""The client for asyncio. The synchronous one does the same on an event loop of its own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from numpy.typing import ArrayLike

from mpc_infer.chain.records import PartyRecord, TxResult
from mpc_infer.client.catalogue import Catalogue, Evidence, ModelVersion, VerifiedModel
from mpc_infer.client.config import ClientConfig
from mpc_infer.client.core import Core
from mpc_infer.client.jobs import Jobs, Submission
from mpc_infer.client.owner import Owner, PublishedModel, Source, one_of
from mpc_infer.client.receipts import Receipts
from mpc_infer.client.result import InferenceResult, JobStatus
from mpc_infer.evidence.bundle import Bundle
from mpc_infer.evidence.receipt import Inclusion
from mpc_infer.evidence.verify import VerifiedReceipt
from mpc_infer.graph.input_ranges import Declared
from mpc_infer.identity.keystore import Keystore
from mpc_infer.ids import Address, ModelHash
from mpc_infer.model.manifest import Manifest
from mpc_infer.model.package import ModelPackage

ANCHOR_TIMEOUT_S = 120.0


class AsyncClient:
    """A data owner's or model owner's way to the network. Use it in one event loop, and close it.

    Args:
        config: a configuration, or the path of a TOML file (see mpc_infer.client.config).
        core: connections made by the caller instead of from the configuration.

    Raises:
        ConfigError: the configuration is wrong.
        StoreError: the keystore cannot be read.
    """

    def __init__(self, config: ClientConfig | Path | str, *, core: Core | None = None) -> None:
        self._config = config if isinstance(config, ClientConfig) else ClientConfig.load(Path(config))
        self._keystore = None if core is not None else Keystore(self._config.client.keystore)
        self._core = core

    @property
    def core(self) -> Core:
        """The connections; made on first use, in the event loop that runs then."""
        if self._core is None:
            self._core = Core(self._config, self._keystore or Keystore(self._config.client.keystore))
        return self._core

    @property
    def address(self) -> Address:
        """Who this client is."""
        return self._keystore.address if self._keystore is not None else self.core.signer.address

    @property
    def _jobs(self) -> Jobs:
        return Jobs(self.core)

    @property
    def _receipts(self) -> Receipts:
        return Receipts(self.core, self._jobs)

    @property
    def _owner(self) -> Owner:
        return Owner(self.core)

    @property
    def _catalogue(self) -> Catalogue:
        return Catalogue(self.core)

    async def infer(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        delivery: str = "coordinator",
        deadline_s: float = 30.0,
        anchored: bool = False,
    ) -> InferenceResult:
        """Run a model on private inputs and check the answer.

        Args:
            model: name of the model; its active version is used.
            inputs: one array per input name, rows on axis 0; floats, integers or booleans, inside the manifest's
                ranges.
            delivery: "coordinator" (it reveals the result) or "client" (only this client can open it).
            deadline_s: seconds until the job is given up everywhere.
            anchored: wait, beyond the deadline, until the receipt is on the chain.

        Returns:
            The outputs with a receipt whose signatures and openings were verified.

        Raises:
            InvalidInput: an input cannot be used. Nothing was sent.
            Refused, NotFound: the network refuses the job.
            SessionAborted: the parties failed; `party` names which where that is known.
            ReceiptInvalid: the answer does not check out. Do not use it.
        """
        submission = await self._jobs.prepare(model, inputs, delivery, deadline_s, detach=False)
        result = self._jobs.checked(submission, await self._jobs.send(submission))
        if anchored:
            await self.wait_anchored(result)
        return result

    async def submit(
        self,
        model: str,
        inputs: Mapping[str, ArrayLike],
        *,
        delivery: str = "coordinator",
        deadline_s: float = 30.0,
    ) -> Submission:
        """As `infer`, but return as soon as the job is accepted. Keep the submission to get the result."""
        submission = await self._jobs.prepare(model, inputs, delivery, deadline_s, detach=True)
        await self._jobs.send(submission)
        return submission

    async def watch(self, submission: Submission, timeout_s: float = 60.0) -> AsyncIterator[JobStatus]:
        """Every change of a job's state until it is anchored or failed."""
        async for status in self._jobs.watch(submission.job_id, timeout_s):
            yield status

    async def get(self, submission: Submission) -> InferenceResult:
        """The checked result of a submitted job, waiting for it until its deadline."""
        return await self._jobs.get(submission)

    async def wait_anchored(self, result: InferenceResult, timeout_s: float = ANCHOR_TIMEOUT_S) -> Inclusion:
        """Wait until the receipt's batch is on the chain. Returns its inclusion proof, checked."""
        return await self._receipts.wait_anchored(result, timeout_s)

    async def bundle(self, result: InferenceResult, *, openings: bool = True) -> Bundle:
        """The receipt and its evidence, to save and to hand on; without openings it does not reveal the result."""
        return await self._receipts.bundle(result, openings=openings)

    async def verify(self, bundle: Bundle, *, offline: bool = False) -> VerifiedReceipt:
        """Verify a receipt in seven steps; offline leaves out the last, whether its root is on the chain."""
        return await self._receipts.verify(bundle, offline=offline)

    async def models(self, name: str = "") -> tuple[Manifest, ...]:
        """The manifests of the models that the coordinator lists, consistent in themselves."""
        return tuple(facts.manifest for facts in await self.core.facts.summaries(name))

    async def versions(self, name: str = "") -> tuple[ModelVersion, ...]:
        """The versions that the coordinator lists, with what the chain says of each."""
        return await self._catalogue.versions(name)

    async def parties(self, manifest: Manifest) -> tuple[PartyRecord, ...]:
        """The parties that hold a model's shares, in order, as the chain has them."""
        return await self._catalogue.parties(manifest)

    async def verify_model(self, name: str, evidence: Evidence, version: int | None = None) -> VerifiedModel:
        """Check that a file is what was published under a name; see Catalogue.verify."""
        return await self._catalogue.verify(name, evidence, version)

    async def package(
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
        """A model split and sealed for the parties; nothing is sent. Keep it, and `publish` can be repeated with it."""
        declared = one_of(input_limit, ranges)
        return await self._owner.package(
            source, name, version, declared, public_weights=public_weights, keep_openings=keep_openings
        )

    async def publish(
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
        """Publish a model version and make it the active one; see Owner.publish, and Owner.package for its ranges.

        Args:
            public: everybody may use the version.
            input_limit: a limit for all inputs.
            ranges: instead, a range for every input, or rows to take ranges from.
            public_weights: names, or patterns of names, of the weights that are not secret.
        """
        declared = one_of(input_limit, ranges)
        return await self._owner.publish(
            source,
            name,
            version,
            public=public,
            users=users,
            declared=declared,
            public_weights=public_weights,
            keep_openings=keep_openings,
        )

    async def allow(self, model_hash: ModelHash, user: Address) -> TxResult:
        """Let an address use a version of ours."""
        return await self._owner.set_user(model_hash, user, True)

    async def deny(self, model_hash: ModelHash, user: Address) -> TxResult:
        """No longer let an address use a version of ours. A public version stays open to everybody."""
        return await self._owner.set_user(model_hash, user, False)

    async def deprecate(self, model_hash: ModelHash) -> TxResult:
        """Retire a version of ours."""
        return await self._owner.deprecate(model_hash)

    async def close(self) -> None:
        """Close the connections."""
        if self._core is not None:
            await self._core.door.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
