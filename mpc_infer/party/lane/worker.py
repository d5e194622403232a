"""The work of a lane: keep models and material in memory, run one session after the other."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType

import torch

from mpc_infer.clock import Clock, SystemClock
from mpc_infer.encoding import digest
from mpc_infer.engine import get_engine
from mpc_infer.engine.session import KeepBatches, make_batches, run_session
from mpc_infer.engine.tls_link import LinkConfig, TlsLink
from mpc_infer.errors import InternalError, MpcInferError, SessionAborted
from mpc_infer.ids import MaterialId, ModelHash, SessionId
from mpc_infer.party.frames import MATERIAL_READY, Message, error_message
from mpc_infer.party.lane.dealer_door import DealerDoor
from mpc_infer.party.lane.early_meeting import EarlyMeeting
from mpc_infer.party.lane.inbox import Inbox
from mpc_infer.party.lane.jobs import result_message, session_of
from mpc_infer.party.lane.models import LaneModels, LoadedModel
from mpc_infer.party.lane.stock import LaneStock, StockPlace
from mpc_infer.party.lane_setup import LaneSetup
from mpc_infer.party.stock_files import StockFiles, split_ids, split_ready
from mpc_infer.preprocessing import Batch, Material, Plan
from mpc_infer.rpc.settings import split_host_port
from mpc_infer.telemetry import Log

_LOG = Log("party.lane")
REST_S = 0.05
"""A lane that has material ready works on more only after so long without a request: right after a session, its party
and the coordinator need the processors for the answer."""


class Worker:
    """One lane.

    Args:
        setup: what the main process said.
        inbox: where requests come from and answers go.

    Raises:
        OSError: the lane's port cannot be bound.
        StoreError: there is no place for its material.
    """

    def __init__(self, setup: LaneSetup, inbox: Inbox, clock: Clock | None = None) -> None:
        torch.set_num_threads(setup.threads)
        self._setup = setup
        self._inbox = inbox
        self._clock = clock or SystemClock()
        self._engine = get_engine(setup.engine)
        self._dealer = DealerDoor(setup, inbox.cancelled)
        self._link = TlsLink(_link_config(setup), cancelled=inbox.cancelled)
        self._models = LaneModels(self._engine, len(setup.addresses), opens=setup.opens_models)
        self._stock = LaneStock(_stock_place(setup), self._engine, self._tell_ready)
        self._early = EarlyMeeting(self._link)
        self._handlers: Mapping[str, Callable[[Message], Message]] = MappingProxyType(
            {
                "load": self._load,
                "unload": self._unload,
                "open": self._open,
                "prepare": self._prepare,
                "claim": self._claim,
                "forget": self._forget,
                "meet": self._meet,
                "part": self._part,
                "run": self._run,
            }
        )

    def serve(self) -> None:
        """Answer requests one by one, for as long as the main process lives. While nobody asks, work on material."""
        while True:
            if self._early.pending:
                self._inbox.answer(self._answer(self._inbox.next()))
                continue
            request = self._inbox.next_within(REST_S if self._stock.any_ready else 0.0)
            if request is None and not self._stock.work_ahead():
                request = self._inbox.next()
            if request is not None:
                self._inbox.answer(self._answer(request))

    def _answer(self, request: Message) -> Message:
        try:
            answer = self._handlers[request.kind](request)
        except MpcInferError as error:
            return error_message(request.number, error)
        except Exception as error:  # noqa: BLE001 - the boundary of a request: recorded, and answered as a defect
            _LOG.error("unexpected failure", exception=error, lane=self._setup.number, request=request.kind)
            return error_message(request.number, InternalError("the lane failed on this request"))
        return Message(answer.kind, request.number, answer.fields, answer.blobs)

    def _load(self, request: Message) -> Message:
        """Take a model, and over what an earlier life of this lane left of its material."""
        answer, model_hash = self._models.load(request), ModelHash(request.blob("model"))
        model = self._models.get(model_hash)
        self._stock.adopt(model_hash, model, partial(self._plan, model), split_ready(request.blob("ready")))
        return answer

    def _unload(self, request: Message) -> Message:
        self._stock.forget_model(request.blob("model"))
        return self._models.unload(request)

    def _open(self, request: Message) -> Message:
        """Open a model together with the other parties."""
        with self._called_off_as(request.blob("session")):
            answer = self._models.open(request, self._link, self._deadline(request))
        self._stock.forget_model(request.blob("model"))
        return answer

    def _prepare(self, request: Message) -> Message:
        """Make material, and have it on the disk before the answer. What does not come about leaves nothing."""
        model_hash = ModelHash(request.blob("model"))
        model = self._models.get(model_hash)
        plan = self._plan(model, request.integer("rows"))
        ids = split_ids(request.blob("material"))
        self._stock.check_room(plan, len(ids), request.integer("room"))
        began = time.monotonic()
        with self._stock.receiving(model_hash, model, plan, ids) as keep:
            self._make(model, plan, ids, ids[0], self._deadline(request), keep)
        fields = {
            "offline_ms": 1000 * (time.monotonic() - began),
            "material_bytes": plan.material_bytes,
            "file_bytes": self._stock.file_bytes(plan),
        }
        return Message("prepared", fields=fields, blobs={"plan": plan.digest})

    def _claim(self, request: Message) -> Message:
        """See that material can be used, before its session is paid for."""
        model_hash = ModelHash(request.blob("model"))
        model = self._models.get(model_hash)
        plan = self._plan(model, request.integer("rows"))
        self._stock.claim(MaterialId(request.blob("material")), model_hash, model, plan)
        return Message("claimed")

    def _forget(self, request: Message) -> Message:
        self._stock.forget(split_ids(request.blob("material")))
        return Message("forgotten")

    def _tell_ready(self, material_id: MaterialId) -> None:
        self._inbox.answer(Message(MATERIAL_READY, blobs={"material": material_id}))

    def _meet(self, request: Message) -> Message:
        """Meet the other parties' lanes, while the main process makes it durable that the session runs."""
        session_id = SessionId(request.blob("session"))
        with self._called_off_as(session_id):
            self._early.meet(session_id, self._deadline(request))
        return Message("met")

    def _part(self, request: Message) -> Message:
        """Leave a meeting that leads to no session."""
        self._early.part(SessionAborted(request.text("reason")))
        return Message("parted")

    def _run(self, request: Message) -> Message:
        """Run a session with material from the stock, or with some that is made now."""
        with self._early.session(SessionId(request.blob("session"))) as met:
            spec = session_of(request, self._setup.addresses)
            model, deadline = self._models.get(spec.model_hash), self._deadline(request)
            plan, began = self._plan(model, request.integer("rows")), time.monotonic()
            material = self._material(request, model, plan, spec.session_id, deadline)
            self._ready(material, model)
            offline_ms = 1000 * (time.monotonic() - began)
            with self._called_off_as(spec.session_id):
                how = (self._engine, model.graph, model.open, material, spec, deadline)
                result = run_session(self._link, *how, clock=self._clock, met=met)
        return result_message(result, offline_ms, plan)

    def _material(
        self, request: Message, model: LoadedModel, plan: Plan, session_id: SessionId, deadline: float
    ) -> Material:
        wanted = request.blob("material")
        if wanted:
            return self._stock.take(MaterialId(wanted), ModelHash(request.blob("model")), model, plan)
        # Made now, used at once, never written. The link wants another name for each meeting, and every party derives
        # the same.
        made: list[Batch] = []
        material_id = MaterialId(digest("session-material", session_id)[:16])
        self._make(model, plan, [material_id], session_id, deadline, made.extend)
        return made[0].expand(plan, self._setup.rank)

    def _make(
        self,
        model: LoadedModel,
        plan: Plan,
        ids: Sequence[MaterialId],
        called_off_as: bytes,
        deadline: float,
        keep: KeepBatches,
    ) -> None:
        opened = model.open
        with self._called_off_as(called_off_as):
            seal = self._dealer.sealing(plan, ids[0], deadline, len(ids))
            fetch = self._dealer.fetching(deadline, len(ids))
            make_batches(self._link, plan, ids, deadline, seal=seal, fetch=fetch, keep=keep, model=opened)

    def _ready(self, material: Material, model: LoadedModel) -> None:
        if not material.prepared:
            self._engine.prepare(model.graph, model.open, material, self._setup.rank)

    def _plan(self, model: LoadedModel, rows: int) -> Plan:
        return self._engine.plan(model.graph, rows, len(self._setup.addresses), model.fixed)

    def _deadline(self, request: Message) -> float:
        return time.monotonic() + (request.integer("deadline_ms") - self._clock.now_ms()) / 1000

    @contextmanager
    def _called_off_as(self, name: bytes) -> Iterator[None]:
        """What happens inside ends when the main process calls off what has this name."""
        self._inbox.enter(name)
        try:
            yield
        finally:
            self._inbox.enter(b"")


def _stock_place(setup: LaneSetup) -> StockPlace:
    files = StockFiles(setup.material)
    return StockPlace(setup.number, setup.rank, files, setup.material_key, setup.ready_batches, setup.ready_bytes)


def _link_config(setup: LaneSetup) -> LinkConfig:
    return LinkConfig(
        rank=setup.rank,
        addresses=setup.addresses,
        listen=setup.listen,
        targets=tuple(split_host_port(target) for target in setup.targets),
        credentials=setup.credentials,
        step_timeout_s=setup.step_s,
    )
