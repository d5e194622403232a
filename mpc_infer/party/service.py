"""A party's work, without gRPC: check, consume, run, sign, store, answer."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from mpc_infer.clock import Clock
from mpc_infer.errors import InternalError, JobConflict, MpcInferError, PartySetMismatch, ReceiptNotFound, Unavailable
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import (
    RECEIPT_VERSION,
    BatchRoot,
    Domain,
    ModelHolding,
    Receipt,
    engine_word,
    sign,
)
from mpc_infer.graph import Graph
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address, MaterialId, ModelHash, SessionId
from mpc_infer.party import checks
from mpc_infer.party.calls import InstallCall, OpenCall, PrepareCall, Prepared, RunCall, SessionReport
from mpc_infer.party.checks import CheckedJob
from mpc_infer.party.config import PartyLimits
from mpc_infer.party.messages import opening_bytes, run_answer, stored_answer
from mpc_infer.party.models import ModelShelf, Place
from mpc_infer.party.openings import Openings
from mpc_infer.party.runner import LaneRunner
from mpc_infer.party.state import PartyState, SessionState, State
from mpc_infer.party.view import RegistryView
from mpc_infer.rpc.messages import signature_to
from mpc_infer.sharing.contexts import sealed_result_context
from mpc_infer.sharing.sealing import SealingKeys, seal
from mpc_infer.store import MaterialRecord, PartyStore
from mpc_infer.telemetry import Log
from mpc_infer.v1 import party_pb2

_LOG = Log("party")
Answer = TypeVar("Answer")
MAX_BATCH = 4096
"""Most receipts whose root is signed at once."""


@dataclass(frozen=True)
class Identity:
    """Who this party is: its place, its keys, the domains in which it signs, and the name of its engine."""

    place: Place
    signer: Signer
    sealing_keys: SealingKeys
    receipt_domain: Domain
    model_domain: Domain
    engine: str


class Party:
    """A party.

    Args:
        identity: who it is.
        store: nonces, answers and signed receipts.
        shelf: models.
        openings: what they were opened to.
        view: the registry.
        runner: lanes.
        limits: what callers may ask.
        clock: where the time comes from.
    """

    def __init__(
        self,
        identity: Identity,
        store: PartyStore,
        shelf: ModelShelf,
        openings: Openings,
        view: RegistryView,
        runner: LaneRunner,
        limits: PartyLimits,
        clock: Clock,
    ) -> None:
        self._identity = identity
        self._store = store
        self._shelf = shelf
        self._openings = openings
        self._view = view
        self._runner = runner
        self._limits = limits
        self._clock = clock
        self._running: dict[tuple[str, bytes], tuple[bytes, asyncio.Task[party_pb2.RunJobResponse]]] = {}
        self._preparing: set[asyncio.Task[Any]] = set()
        # Commits wait for the disk and must not hold up the event loop. One thread: they take turns anyway.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="store")
        self.state: State[PartyState] = State(PartyState.STARTING)

    @property
    def identity(self) -> Identity:
        """Who this party is."""
        return self._identity

    async def install(self, call: InstallCall) -> tuple[ModelHolding, bytes]:
        """Keep a model, and sign that it is held (see ModelShelf.install).

        Returns:
            The statement and its signature.
        """
        self._check_serving()
        manifest = await asyncio.to_thread(self._shelf.install, call)
        _LOG.info("model installed", model=manifest.hash, name=manifest.name, version=manifest.version)
        holding = ModelHolding(manifest.hash, self._identity.place.party_set, manifest.owner)
        return holding, sign(holding, self._identity.model_domain, self._identity.signer)

    async def prepare(self, call: PrepareCall) -> Prepared:
        """Make material ahead.

        Raises:
            InvalidRequest, DeadlineExpired, ModelNotFound, SessionAborted: none was made.
        """
        self._check_serving()
        checks.check_deadline(call.deadline_ms, self._clock.now_ms(), self._limits.max_deadline_s)
        checks.check_rows(call.rows, self._limits.max_rows)
        return await self._shielded(self._runner.prepare(call), "prepare")

    async def open(self, call: OpenCall) -> bytes | None:
        """Open a model's weights under masks, or only say to what they were opened last.

        Returns:
            The digest that all parties must have, empty with an engine that opens no models; None: not open.

        Raises:
            InvalidRequest, DeadlineExpired, ModelNotFound, SessionAborted: what was open stays so.
        """
        self._check_serving()
        await self._known(call.model_hash)
        if call.session_id and self._openings.opens:
            checks.check_deadline(call.deadline_ms, self._clock.now_ms(), self._limits.max_deadline_s)
            digest = await self._shielded(self._runner.open(call), "open")
            _LOG.info("model opened", model=call.model_hash, opening=digest)
        return self._openings.digest(call.model_hash)

    def material(self) -> list[MaterialRecord]:
        """The material that is ready, oldest first."""
        self._check_serving()
        return self._runner.material()

    async def drop_material(self, ids: Sequence[MaterialId]) -> None:
        """Give up material, durably. Ids of what is not ready are passed over.

        Raises:
            StoreError: it could not be noted.
        """
        self._check_serving()
        await self._runner.drop(ids)

    async def _shielded(self, work: Coroutine[Any, Any, Answer], name: str) -> Answer:
        """As with a job: when one party fails, the coordinator hangs up on the others, and a lane whose work is
        cancelled must be killed and started anew. The order to abort ends the work and leaves the lane."""
        task = asyncio.create_task(work, name=name)
        self._preparing.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._preparing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.info("it did not come about", work=task.get_name(), reason=str(error))

    async def run(self, call: RunCall) -> party_pb2.RunJobResponse:
        """Run one job. The work goes on when the caller goes away: its answer is there when the call is repeated.

        The same contents get the stored answer whatever has changed since: the deadline may have passed, the material
        is spent, the model may be revoked. It is looked up only when the job would be refused, so that a new one pays
        nothing for it.

        Raises:
            Refused: or one of its kinds, see `check`: nothing was computed.
            SessionAborted: or one of its kinds: the job is spent.
        """
        self._check_serving()
        digest = self._signed(call)
        task = self._task_of(call, digest)
        if task is None:
            try:
                job = await self._judge(call, digest)
                await self._runner.claim(job)
            except MpcInferError:
                stored = await self._on_disk(self._store.answer, call.request.owner, call.request.job_id, digest)
                if stored is None:
                    raise
                return stored_answer(stored)
            task = self._task_of(call, digest) or self._start(job)
        return await asyncio.shield(task)

    async def check(self, call: RunCall) -> CheckedJob:
        """Judge a job by what this party knows itself.

        1. The party set is ours.
        2. The owner signed the request.
        3. The registry block is one that we know, and not too old.
        4. The deadline is in the future.
        5. The model is installed here, active at that block, for our set, and the owner may use it.
        6. Delivery and result key belong together.
        7. There are not too many rows.
        8. The commitments are those that were signed.
        9. Our sealed share opens, and opens our commitment.
        10. It fits the model and the number of rows.

        Raises:
            Refused: or one of its kinds, each with its own code. Nothing has happened.
        """
        return await self._judge(call, self._signed(call))

    def _signed(self, call: RunCall) -> bytes:
        """Steps 1 and 2. Returns the digest that was signed."""
        request = call.request
        if request.party_set != self._identity.place.party_set:
            raise PartySetMismatch("the job is for another set of parties")
        digest = request.digest(self._identity.receipt_domain)
        checks.check_signature(digest, request.owner, call.owner_signature)
        return digest

    async def _judge(self, call: RunCall, digest: bytes) -> CheckedJob:
        """The other steps."""
        request, place = call.request, self._identity.place
        await self._view.check_block(call.registry_block)
        checks.check_deadline(request.deadline, self._clock.now_ms(), self._limits.max_deadline_s)
        graph, model_owner = await self._known(request.model_hash)
        record = await self._view.check_model(call.registry_block, request.model_hash, request.owner, place.party_set)
        checks.check_model_owner(record.owner, model_owner)
        checks.check_delivery(request, call.result_key)
        checks.check_rows(request.rows, self._limits.max_rows)
        checks.check_root(call.input_commitments, place.size, request.input_root)
        inputs = checks.open_input(call, self._identity.sealing_keys, place.index, place.address)
        checks.check_shapes(inputs, graph, request.rows)
        return CheckedJob(call, digest, inputs)

    def abort(self, session_id: SessionId, reason: str) -> None:
        """End a session that runs, or is about to."""
        _LOG.info("session called off", session=session_id, reason=reason)
        self._runner.abort(session_id, reason)

    async def sign_root(self, digests: tuple[bytes, ...]) -> tuple[bytes, bytes]:
        """Sign the root of a batch of receipts.

        Args:
            digests: EIP-712 digests, distinct, in the batch's order.

        Returns:
            The root, and the signature over BatchRoot.

        Raises:
            ReceiptNotFound: this party did not sign all of them.
        """
        foreign = await asyncio.to_thread(self._store.unsigned, digests)
        if foreign:
            raise ReceiptNotFound(f"{len(foreign)} of {len(digests)} receipts were not signed by this party")
        root = merkle.root(digests)
        batch = BatchRoot(root, len(digests), self._identity.place.party_set)
        return root, sign(batch, self._identity.receipt_domain, self._identity.signer)

    async def drain(self, grace_s: float) -> None:
        """Take no more work; wait for what runs, and call off what does not end in time."""
        self.state.move(PartyState.DRAINING)
        tasks: set[asyncio.Task[Any]] = {task for _, task in self._running.values()} | self._preparing
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _task_of(self, call: RunCall, digest: bytes) -> "asyncio.Task[party_pb2.RunJobResponse] | None":
        running, task = self._running.get((call.request.owner, call.request.job_id), (digest, None))
        if running != digest:
            raise JobConflict("a job of this id runs with other contents", remedy="choose a new job id")
        return task

    def _check_serving(self) -> None:
        if self.state.now is not PartyState.SERVING:
            raise Unavailable(f"this party is {self.state.now.value}", remedy="try again later")

    async def _known(self, model_hash: ModelHash) -> tuple[Graph, Address]:
        if self._shelf.knows(model_hash):
            return self._shelf.known(model_hash)
        return await asyncio.to_thread(self._shelf.known, model_hash)

    def _start(self, job: CheckedJob) -> asyncio.Task[party_pb2.RunJobResponse]:
        task = asyncio.create_task(self._run_checked(job), name="run-job")
        self._running[job.key] = (job.digest, task)

        def ended(done: asyncio.Task[party_pb2.RunJobResponse]) -> None:
            self._running.pop(job.key, None)
            # Seen here even when the caller is gone, so that nothing fails in silence.
            if not done.cancelled() and (error := done.exception()) is not None:
                code = error.code if isinstance(error, MpcInferError) else InternalError.code
                _LOG.warning("job failed", job=job.request.job_id, code=code, reason=str(error))

        task.add_done_callback(ended)
        return task

    async def _run_checked(self, job: CheckedJob) -> party_pb2.RunJobResponse:
        """Consume, run, sign, store, in this order: what fails after the first step leaves the job spent."""
        state: State[SessionState] = State(SessionState.CHECKING)
        request = job.request
        owner, job_id, session_id = request.owner, request.job_id, job.call.session_id
        material = job.call.material_id, self._clock.now_ms()
        stored = await self._on_disk(self._store.admit, owner, job_id, request.nonce, job.digest, session_id, *material)
        if stored is not None:
            return stored_answer(stored)
        state.move(SessionState.CONSUMED)
        state.move(SessionState.RUNNING)
        report = await self._runner.run(job)
        receipt = self._receipt(job, report)
        answer = self._answer(job, report, receipt)
        digest = receipt.digest(self._identity.receipt_domain)
        now_ms = self._clock.now_ms()
        await self._on_disk(self._store.put_answer, owner, job_id, answer.SerializeToString(), digest, now_ms)
        state.move(SessionState.SIGNED)
        _LOG.info("job done", job=job_id, session=job.call.session_id, online_ms=round(report.online_ms, 3))
        return answer

    async def _on_disk(self, call: Callable[..., Answer], *arguments: Any) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *arguments)

    def _receipt(self, job: CheckedJob, report: SessionReport) -> Receipt:
        request = job.request
        return Receipt(
            version=RECEIPT_VERSION,
            job_id=request.job_id,
            request_digest=job.digest,
            model_hash=request.model_hash,
            party_set=request.party_set,
            plan_digest=report.plan_digest,
            engine=engine_word(self._identity.engine),
            input_root=request.input_root,
            output_commitment=merkle.root(report.commitments),
            transcript=report.transcript,
            nonce=request.nonce,
            started=report.started_ms,
            finished=report.finished_ms,
            registry_block=job.call.registry_block,
        )

    def _answer(self, job: CheckedJob, report: SessionReport, receipt: Receipt) -> party_pb2.RunJobResponse:
        identity, sealed = self._identity, None
        if job.call.result_key is not None:
            context = sealed_result_context(job.request.job_id, identity.place.address)
            sealed = seal(opening_bytes(report), job.call.result_key, context)
        signature = signature_to(identity.signer.address, sign(receipt, identity.receipt_domain, identity.signer))
        return run_answer(receipt.to_words(), signature, report, sealed, job.call.session_id)
