"""The work of a lane: keep models and material in memory, run one session after the other."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

import torch

from mpc_infer.clock import Clock, SystemClock
from mpc_infer.encoding import digest, same_digest
from mpc_infer.engine import get_engine
from mpc_infer.engine.api import Shares, digest_of
from mpc_infer.engine.session import SessionResult, SessionSpec, prepare_batches, run_session
from mpc_infer.engine.tls_link import LinkConfig, TlsLink
from mpc_infer.errors import InternalError, MaterialUnusable, MpcInferError
from mpc_infer.ids import JobId, MaterialId, ModelHash, SessionId
from mpc_infer.party.frames import Message, error_message
from mpc_infer.party.lane.dealer_door import DealerDoor
from mpc_infer.party.lane.inbox import Inbox
from mpc_infer.party.lane.models import LaneModels, LoadedModel
from mpc_infer.party.lane_setup import LaneSetup
from mpc_infer.preprocessing import Material, Plan
from mpc_infer.rpc.settings import split_host_port
from mpc_infer.sharing.tensors import decode_tensors, encode_tensors
from mpc_infer.telemetry import Log

_LOG = Log("party.lane")
_ID_BYTES = 16


class Worker:
    """One lane.

    Args:
        setup: what the main process said.
        inbox: where requests come from and answers go.

    Raises:
        OSError: the lane's port cannot be bound.
    """

    def __init__(self, setup: LaneSetup, inbox: Inbox, clock: Clock | None = None) -> None:
        torch.set_num_threads(setup.threads)
        self._setup = setup
        self._inbox = inbox
        self._clock = clock or SystemClock()
        self._engine = get_engine(setup.engine)
        self._dealer = DealerDoor(setup)
        self._link = TlsLink(_link_config(setup), cancelled=inbox.cancelled)
        self._models = LaneModels(self._engine, len(setup.addresses), opens=setup.opens_models)
        self._stock: OrderedDict[bytes, tuple[Material, LoadedModel]] = OrderedDict()
        self._to_prepare: deque[bytes] = deque()
        self._handlers: Mapping[str, Callable[[Message], Message]] = MappingProxyType(
            {
                "load": self._models.load,
                "unload": self._models.unload,
                "open": self._open,
                "prepare": self._prepare,
                "run": self._run,
            }
        )

    def serve(self) -> None:
        """Answer requests one by one, for as long as the main process lives. While nobody asks, prepare material."""
        while True:
            if self._to_prepare and not self._inbox.waiting:
                self._prepare_ahead(self._to_prepare.popleft())
                continue
            request = self._inbox.next()
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

    def _open(self, request: Message) -> Message:
        """Open a model together with the other parties."""
        with self._called_off_as(request.blob("session")):
            return self._models.open(request, self._link, self._deadline(request))

    def _prepare(self, request: Message) -> Message:
        """Make material and keep it; the oldest goes when there is too much. It is never written: a crash burns it."""
        model = self._models.get(request.blob("model"))
        plan = self._plan(model, request)
        ids = _split_ids(request.blob("material"))
        if any(material_id in self._stock for material_id in ids):
            raise MaterialUnusable("material of this id is there already")
        began = time.monotonic()
        made = self._make(model, plan, ids, ids[0], self._deadline(request))
        self._stock.update((material_id, (material, model)) for material_id, material in zip(ids, made, strict=True))
        self._to_prepare.extend(ids)
        while len(self._stock) > self._setup.max_material:
            self._stock.popitem(last=False)[1][0].discard()
        fields = {"offline_ms": 1000 * (time.monotonic() - began), "material_bytes": plan.material_bytes}
        return Message("prepared", fields=fields, blobs={"plan": plan.digest})

    def _prepare_ahead(self, material_id: bytes) -> None:
        """Do the work for some material that needs no input, so that no session has to wait for it."""
        if material_id not in self._stock:
            return
        try:
            self._ready(*self._stock[material_id])
        except MpcInferError as error:
            _LOG.error("material cannot be prepared", exception=error, lane=self._setup.number)
            self._stock.pop(material_id)[0].discard()

    def _run(self, request: Message) -> Message:
        """Run a session with material from the stock, or with some that is made now."""
        session_id = SessionId(request.blob("session"))
        model, deadline = self._models.get(request.blob("model")), self._deadline(request)
        plan, began = self._plan(model, request), time.monotonic()
        material = self._material(request, model, plan, session_id, deadline)
        self._ready(material, model)
        offline_ms = 1000 * (time.monotonic() - began)
        job_id, model_hash = JobId(request.blob("job")), ModelHash(request.blob("model"))
        spec = SessionSpec(session_id, job_id, model_hash, self._setup.addresses, request.blob("terms"))
        inputs = decode_tensors(request.blob("inputs"))
        with self._called_off_as(session_id):
            result = self._session(model, inputs, material, spec, deadline)
        return _result_message(result, offline_ms, plan)

    def _session(
        self, model: LoadedModel, inputs: Shares, material: Material, spec: SessionSpec, deadline: float
    ) -> SessionResult:
        graph, opened = model.graph, model.open
        return run_session(self._link, self._engine, graph, opened, inputs, material, spec, deadline, clock=self._clock)

    def _material(
        self, request: Message, model: LoadedModel, plan: Plan, session_id: SessionId, deadline: float
    ) -> Material:
        wanted = request.blob("material")
        if not wanted:
            # The link wants another name for each meeting, and every party derives the same.
            material_id = MaterialId(digest("session-material", session_id)[:16])
            return self._make(model, plan, [material_id], session_id, deadline)[0]
        material, made_for = self._stock.pop(wanted, (None, model))
        if material is None:
            raise MaterialUnusable("this party holds no material of that id", party=self._setup.rank)
        if material.plan.digest != plan.digest or not same_digest(digest_of(made_for.open), digest_of(model.open)):
            material.discard()
            raise MaterialUnusable("the material was made for another model or number of rows", party=self._setup.rank)
        return material

    def _make(
        self, model: LoadedModel, plan: Plan, ids: Sequence[MaterialId], called_off_as: bytes, deadline: float
    ) -> list[Material]:
        opened = model.open
        with self._called_off_as(called_off_as):
            seal = self._dealer.sealing(plan, ids[0], deadline, len(ids))
            fetch = self._dealer.fetching(deadline, len(ids))
            return prepare_batches(self._link, plan, ids, deadline, seal=seal, fetch=fetch, model=opened)

    def _ready(self, material: Material, model: LoadedModel) -> None:
        if not material.prepared:
            self._engine.prepare(model.graph, model.open, material, self._setup.rank)

    def _plan(self, model: LoadedModel, request: Message) -> Plan:
        return self._engine.plan(model.graph, request.integer("rows"), len(self._setup.addresses))

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


def _split_ids(joined: bytes) -> list[MaterialId]:
    if not joined or len(joined) % _ID_BYTES:
        raise InternalError("material is asked for without an id")
    return [MaterialId(joined[start : start + _ID_BYTES]) for start in range(0, len(joined), _ID_BYTES)]


def _link_config(setup: LaneSetup) -> LinkConfig:
    return LinkConfig(
        rank=setup.rank,
        addresses=setup.addresses,
        listen=setup.listen,
        targets=tuple(split_host_port(target) for target in setup.targets),
        credentials=setup.credentials,
        step_timeout_s=setup.step_s,
    )


def _result_message(result: SessionResult, offline_ms: float, plan: Plan) -> Message:
    fields = {
        "started_ms": result.started_ms,
        "finished_ms": result.finished_ms,
        "online_ms": result.online_ms,
        "offline_ms": offline_ms,
        "rounds": result.rounds,
        "bytes_sent": result.bytes_sent,
        "material_bytes": plan.material_bytes,
    }
    blobs = {
        "share": encode_tensors(result.output_share),
        "salt": result.salt,
        "commitments": b"".join(result.commitments),
        "transcript": result.transcript,
        "plan": result.plan_digest,
    }
    return Message("result", fields=fields, blobs=blobs)
