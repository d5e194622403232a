"""A party's work, without gRPC: check, consume, run, sign, store, answer."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from mpc_infer.clock import Clock
from mpc_infer.errors import ReceiptNotFound, Unavailable
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import BatchRoot, ModelHolding, sign
from mpc_infer.ids import MaterialId, SessionId
from mpc_infer.party import checks
from mpc_infer.party.calls import InstallCall, OpenCall, PrepareCall, Prepared, Reminder, SessionCall
from mpc_infer.party.config import PartyLimits
from mpc_infer.party.judge import Identity, Judge
from mpc_infer.party.messages import Outcome
from mpc_infer.party.models import ModelShelf
from mpc_infer.party.openings import Openings
from mpc_infer.party.runner import LaneRunner
from mpc_infer.party.sessions import Sessions
from mpc_infer.party.signing import Signing, signed_by
from mpc_infer.party.state import PartyState, State
from mpc_infer.party.view import RegistryView
from mpc_infer.store import MaterialRecord, PartyStore
from mpc_infer.telemetry import Log

_LOG = Log("party")
Answer = TypeVar("Answer")
MAX_BATCH = 4096
"""Most receipts whose root is signed at once."""


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
        self._runner = runner
        self._limits = limits
        self._clock = clock
        self._preparing: set[asyncio.Task[Any]] = set()
        self._judge = Judge(identity, shelf, view, limits, clock)
        self._sessions = Sessions(self._judge, Signing(identity), store, runner, clock)
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
        await self._judge.known(call.model_hash)
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

    async def run(self, call: SessionCall) -> list[Outcome]:
        """Run a session (see `Sessions.run`).

        Raises:
            InvalidRequest: the jobs do not belong in one session.
        """
        self._check_serving()
        return await self._sessions.run(call)

    def abort(self, session_id: SessionId, reason: str) -> None:
        """End a session that runs, or is about to."""
        _LOG.info("session called off", session=session_id, reason=reason)
        self._runner.abort(session_id, reason)

    async def sign_root(self, digests: tuple[bytes, ...], reminders: Sequence[Reminder] = ()) -> tuple[bytes, bytes]:
        """Sign the root of a batch of receipts.

        Args:
            digests: EIP-712 digests, distinct, in the batch's order.
            reminders: receipts with signatures. Whatever this party's own signature is on, it signed: a loss of power
                may have taken its memory of that.

        Returns:
            The root, and the signature over BatchRoot.

        Raises:
            ReceiptNotFound: this party did not sign all of them.
        """
        foreign = await asyncio.to_thread(self._unsigned, digests, reminders)
        if foreign:
            raise ReceiptNotFound(f"{len(foreign)} of {len(digests)} receipts were not signed by this party")
        root = merkle.root(digests)
        batch = BatchRoot(root, len(digests), self._identity.place.party_set)
        return root, sign(batch, self._identity.receipt_domain, self._identity.signer)

    def _unsigned(self, digests: tuple[bytes, ...], reminders: Sequence[Reminder]) -> list[bytes]:
        foreign = self._store.unsigned(digests)
        if not foreign or not reminders:
            return foreign
        domain, own = self._identity.receipt_domain, self._identity.signer.address
        self._store.add_signed_receipts(sorted(signed_by(own, reminders, domain) & set(foreign)))
        return self._store.unsigned(digests)

    async def drain(self, grace_s: float) -> None:
        """Take no more work; wait for what runs, and call off what does not end in time."""
        self.state.move(PartyState.DRAINING)
        loop = asyncio.get_running_loop()
        end = loop.time() + grace_s
        # Again, for what was being judged begins meanwhile.
        while (tasks := self._sessions.tasks | self._preparing) and loop.time() < end:
            await asyncio.wait(tasks, timeout=end - loop.time())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._sessions.close()

    def _check_serving(self) -> None:
        if self.state.now is not PartyState.SERVING:
            raise Unavailable(f"this party is {self.state.now.value}", remedy="try again later")
