"""The work of a lane: keep models and material in memory, run one session after the other."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import torch

from mpc_infer.clock import Clock, SystemClock
from mpc_infer.encoding import digest
from mpc_infer.engine import get_engine
from mpc_infer.engine.api import Shares
from mpc_infer.engine.session import SessionResult, SessionSpec, prepare_batches, run_session
from mpc_infer.engine.tls_link import LinkConfig, TlsLink
from mpc_infer.errors import InternalError, MaterialUnusable, ModelNotFound, MpcInferError
from mpc_infer.graph import Graph
from mpc_infer.ids import JobId, MaterialId, ModelHash, SessionId
from mpc_infer.party.frames import Message, error_message
from mpc_infer.party.lane.dealer_door import DealerDoor
from mpc_infer.party.lane.inbox import Inbox
from mpc_infer.party.lane_setup import ENGINE, LaneSetup
from mpc_infer.preprocessing import Material, Plan
from mpc_infer.rpc.settings import split_host_port
from mpc_infer.sharing.tensors import decode_tensors, encode_tensors
from mpc_infer.telemetry import Log

_LOG = Log("party.lane")
_MAX_SHARE_BYTES = 1 << 30
_ID_BYTES = 16


@dataclass(frozen=True)
class LoadedModel:
    """A model as a session needs it."""

    graph: Graph
    weights: Shares = field(repr=False)


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
        self._engine = get_engine(ENGINE)
        self._dealer = DealerDoor(setup)
        self._link = TlsLink(_link_config(setup), cancelled=inbox.cancelled)
        self._models: dict[bytes, LoadedModel] = {}
        self._stock: OrderedDict[bytes, Material] = OrderedDict()
        self._handlers: Mapping[str, Callable[[Message], Message]] = MappingProxyType(
            {"load": self._load, "unload": self._unload, "prepare": self._prepare, "run": self._run}
        )

    def serve(self) -> None:
        """Answer requests one by one, for as long as the main process lives."""
        while True:
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

    def _load(self, request: Message) -> Message:
        graph = Graph.from_bytes(request.blob("graph"))
        weights = decode_tensors(request.blob("weights"), max_bytes=_MAX_SHARE_BYTES)
        self._models[request.blob("model")] = LoadedModel(graph, weights)
        return Message("loaded")

    def _unload(self, request: Message) -> Message:
        self._models.pop(request.blob("model"), None)
        return Message("unloaded")

    def _prepare(self, request: Message) -> Message:
        """Make material and keep it; the oldest goes when there is too much. It is never written: a crash burns it."""
        plan = self._plan(request)
        ids = _split_ids(request.blob("material"))
        if any(material_id in self._stock for material_id in ids):
            raise MaterialUnusable("material of this id is there already")
        began = time.monotonic()
        made = self._make(plan, ids, ids[0], self._deadline(request))
        self._stock.update(zip(ids, made, strict=True))
        while len(self._stock) > self._setup.max_material:
            self._stock.popitem(last=False)[1].discard()
        fields = {"offline_ms": 1000 * (time.monotonic() - began), "material_bytes": plan.material_bytes}
        return Message("prepared", fields=fields, blobs={"plan": plan.digest})

    def _run(self, request: Message) -> Message:
        """Run a session with material from the stock, or with some that is made now."""
        session_id = SessionId(request.blob("session"))
        model, plan, deadline = self._model(request), self._plan(request), self._deadline(request)
        began = time.monotonic()
        material = self._material(request, plan, session_id, deadline)
        offline_ms = 1000 * (time.monotonic() - began)
        job_id, model_hash = JobId(request.blob("job")), ModelHash(request.blob("model"))
        spec = SessionSpec(session_id, job_id, model_hash, self._setup.addresses, request.blob("terms"))
        inputs = decode_tensors(request.blob("inputs"))
        self._inbox.enter(session_id)
        try:
            result = self._session(model, inputs, material, spec, deadline)
        finally:
            self._inbox.enter(b"")
        return _result_message(result, offline_ms, plan)

    def _session(
        self, model: LoadedModel, inputs: Shares, material: Material, spec: SessionSpec, deadline: float
    ) -> SessionResult:
        graph, weights = model.graph, model.weights
        return run_session(
            self._link, self._engine, graph, weights, inputs, material, spec, deadline, clock=self._clock
        )

    def _material(self, request: Message, plan: Plan, session_id: SessionId, deadline: float) -> Material:
        wanted = request.blob("material")
        if not wanted:
            # The link wants another name for each meeting, and every party derives the same.
            material_id = MaterialId(digest("session-material", session_id)[:16])
            return self._make(plan, [material_id], session_id, deadline)[0]
        material = self._stock.pop(wanted, None)
        if material is None:
            raise MaterialUnusable("this party holds no material of that id", party=self._setup.rank)
        if material.plan.digest != plan.digest:
            material.discard()
            raise MaterialUnusable("the material was made for another model or number of rows", party=self._setup.rank)
        return material

    def _make(self, plan: Plan, ids: Sequence[MaterialId], called_off_as: bytes, deadline: float) -> list[Material]:
        self._inbox.enter(called_off_as)
        try:
            seal = self._dealer.sealing(plan, ids[0], deadline, len(ids))
            fetch = self._dealer.fetching(deadline, len(ids))
            return prepare_batches(self._link, plan, ids, deadline, seal=seal, fetch=fetch)
        finally:
            self._inbox.enter(b"")

    def _model(self, request: Message) -> LoadedModel:
        model = self._models.get(request.blob("model"))
        if model is None:
            raise ModelNotFound("the model is not loaded on this lane")
        return model

    def _plan(self, request: Message) -> Plan:
        return self._engine.plan(self._model(request).graph, request.integer("rows"), len(self._setup.addresses))

    def _deadline(self, request: Message) -> float:
        return time.monotonic() + (request.integer("deadline_ms") - self._clock.now_ms()) / 1000


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
