"""``python -m bench.worker DESCRIPTOR PARENT``: one party of a `bench.fleet.Fleet`, started by it and by nobody else.

What a lane of `mpc-infer party serve` does, with the same code from the same modules: a TLS link to the other parties,
the dealer's door, material, sessions. What differs is who asks: here a benchmark or a test, which says the job, the
model's hash and the parties' addresses itself, and may ask for something that no honest party would do (`_do`).
"""

import gc
import importlib.util
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType, ModuleType

import torch

from bench.wire import result_message
from mpc_infer.engine import get_engine
from mpc_infer.engine.api import Model
from mpc_infer.engine.jobs import SessionJob
from mpc_infer.engine.session import SessionSpec, load_model, prepare_material, run_session
from mpc_infer.engine.tls_link import LinkConfig, TlsLink
from mpc_infer.errors import InternalError, MaterialUnusable, MpcInferError
from mpc_infer.graph import Graph
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId
from mpc_infer.party.frames import Message, encode, error_message, receive_frame
from mpc_infer.party.lane.dealer_door import DealerDoor
from mpc_infer.party.lane_setup import LaneSetup
from mpc_infer.preprocessing import Material
from mpc_infer.rpc.settings import split_host_port
from mpc_infer.sharing import FixedPoint, decode_tensors

MAX_SHARE_BYTES = 1 << 30


class PartyWorker:
    """One party.

    Args:
        setup: as a lane gets it.
        engine: name of the back end.
        max_frame_bytes: of the link.

    Attributes:
        link, door, engine: to the other parties, to the dealer, and the back end.
        materials: by id. They stay after use until dropped, so that tests can see that a second use is refused.
        models: graph and what the engine made of the share of the weights, by the graph's digest.
    """

    def __init__(self, setup: LaneSetup, engine: str, max_frame_bytes: int) -> None:
        torch.set_num_threads(setup.threads)
        self.rank = setup.rank
        self.link = TlsLink(_link_config(setup, max_frame_bytes))
        self.door = DealerDoor(setup, lambda: None)
        self.engine = get_engine(engine)
        self.materials: dict[bytes, Material] = {}
        self.models: dict[bytes, tuple[Graph, Model]] = {}
        self.fixed: dict[bytes, FixedPoint] = {}
        self._files: dict[str, ModuleType] = {}
        self._handlers: Mapping[str, Callable[[Message], Message]] = MappingProxyType(
            {"load": self._load, "prepare": self._prepare, "run": self._run, "drop": self._drop, "do": self._do}
        )

    def answer(self, request: Message) -> Message:
        """Do what is asked; an error is an answer too."""
        try:
            answer = self._handlers[request.kind](request)
        except MpcInferError as error:
            return error_message(request.number, error)
        except Exception as error:  # noqa: BLE001 - the boundary of a request; the values here are a benchmark's
            return error_message(request.number, InternalError(f"{type(error).__name__}: {error}"))
        return Message(answer.kind, request.number, answer.fields, answer.blobs)

    def _load(self, request: Message) -> Message:
        graph = Graph.from_bytes(request.blob("graph"))
        weights = decode_tensors(request.blob("weights"), max_bytes=MAX_SHARE_BYTES)
        session_id, model_hash = SessionId(request.blob("session")), ModelHash(graph.digest)
        deadline, fixed = (
            _deadline(request),
            FixedPoint(request.integer("frac_bits"), tuple(request.blob("value_bits"))),
        )
        model = load_model(self.link, self.engine, graph, weights, model_hash, session_id, deadline, fixed)
        self.models[graph.digest], self.fixed[graph.digest] = (graph, model), fixed
        return Message("loaded")

    def _prepare(self, request: Message) -> Message:
        graph, model = self.models[request.blob("graph")]
        material_id, deadline = MaterialId(request.blob("material")), _deadline(request)
        plan = self.engine.plan(graph, request.integer("rows"), self.link.size, self.fixed[graph.digest])
        began = time.monotonic()
        seal, fetch = self.door.sealing(plan, material_id, deadline), self.door.fetching(deadline, 1)
        material = prepare_material(self.link, plan, material_id, deadline, seal=seal, fetch=fetch, model=model)
        self.engine.prepare(graph, model, material, self.rank)
        self.materials[material_id] = material
        fields = {
            "offline_ms": 1000 * (time.monotonic() - began),
            "material_bytes": plan.material_bytes,
            "correction_bytes": plan.correction_bytes,
        }
        return Message("prepared", fields=fields)

    def _run(self, request: Message) -> Message:
        graph, weights = self.models[request.blob("graph")]
        material = self.materials.get(request.blob("material"))
        if material is None:
            raise MaterialUnusable("this party holds no material of that id", party=self.rank)
        inputs = decode_tensors(request.blob("inputs"), max_bytes=MAX_SHARE_BYTES)
        spec = SessionSpec(
            SessionId(request.blob("session")),
            ModelHash(request.blob("model")),
            tuple(Address(text) for text in request.text("addresses").split()),
            (SessionJob(JobId(request.blob("job")), material.plan.batch, bytes(32), inputs),),
        )
        result = run_session(self.link, self.engine, graph, weights, material, spec, _deadline(request))
        return result_message(result)

    def _drop(self, request: Message) -> Message:
        self.materials.pop(request.blob("material"), None)
        return Message("dropped")

    def _do(self, request: Message) -> Message:
        """Call ``function(self, **arguments)`` of a file of the repository: tests misbehave this way."""
        fields = dict(request.fields)
        path, name = str(fields.pop("file")), str(fields.pop("function"))
        if path not in self._files:
            self._files[path] = _module_of(Path(path))
        answer = getattr(self._files[path], name)(self, **fields)
        return answer if isinstance(answer, Message) else Message("done")


def _module_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise InternalError(f"{path} is not a module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _deadline(request: Message) -> float:
    return time.monotonic() + request.real("seconds")


def _link_config(setup: LaneSetup, max_frame_bytes: int) -> LinkConfig:
    return LinkConfig(
        rank=setup.rank,
        addresses=setup.addresses,
        listen=setup.listen,
        targets=tuple(split_host_port(target) for target in setup.targets),
        credentials=setup.credentials,
        step_timeout_s=setup.step_s,
        max_frame_bytes=max_frame_bytes,
    )


def main() -> None:
    """Read the setup, then answer until the socket closes."""
    sock = socket.socket(fileno=int(sys.argv[1]))
    try:
        worker = _started(sock)
        while worker is not None:
            sock.sendall(encode(worker.answer(receive_frame(sock))))
    except (EOFError, ConnectionError):
        return  # the fleet is gone, or has no further use for this party


def _started(sock: socket.socket) -> PartyWorker | None:
    first = receive_frame(sock)
    try:
        worker = PartyWorker(LaneSetup.from_message(first), first.text("engine"), first.integer("max_frame_bytes"))
    except (MpcInferError, OSError) as error:
        failed = error if isinstance(error, MpcInferError) else InternalError(f"the party cannot start: {error}")
        sock.sendall(encode(error_message(0, failed)))
        return None
    gc.freeze()  # as a lane does
    sock.sendall(encode(Message("ready")))
    return worker


if __name__ == "__main__":
    main()
