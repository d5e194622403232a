"""The models of a lane: their shares, and what the engine made of them together with the other parties."""

from dataclasses import dataclass, field

from mpc_infer.engine.api import DEFAULT, Engine, Model, Shares, digest_of, kept
from mpc_infer.engine.link import Link
from mpc_infer.engine.session import load_model
from mpc_infer.errors import ModelNotFound, ModelNotOpen
from mpc_infer.graph import Graph
from mpc_infer.ids import ModelHash, SessionId
from mpc_infer.party.frames import Message
from mpc_infer.sharing.fixed import FixedPoint, Ring
from mpc_infer.sharing.tensors import decode_tensors

_MAX_SHARE_BYTES = 1 << 30


@dataclass(frozen=True)
class LoadedModel:
    """A model as a session needs it.

    Attributes:
        weights: shares of secret weights, public ones as they are.
        model: what `Engine.load` or `Engine.restore` returned; None: not open.
    """

    graph: Graph
    weights: Shares = field(repr=False)
    model: Model | None = field(repr=False)
    fixed: FixedPoint = DEFAULT

    @property
    def open(self) -> Model:
        """What sessions and material take.

        Raises:
            ModelNotOpen: there is nothing.
        """
        if self.model is None:
            raise ModelNotOpen("the model is not open on this lane")
        return self.model


class LaneModels:
    """What a lane holds of models.

    Args:
        engine: the lane's.
        parties: how many there are.
        opens: whether the engine wants models opened.
    """

    def __init__(self, engine: Engine, parties: int, *, opens: bool) -> None:
        self._engine = engine
        self._parties = parties
        self._opens = opens
        self._models: dict[bytes, LoadedModel] = {}

    def load(self, request: Message) -> Message:
        """Take a model's shares, its public weights and, what it was opened to elsewhere or before, if it was.

        Returns:
            An answer with the digest of what is open now; empty: nothing is, or the engine opens no models.
        """
        graph = Graph.from_bytes(request.blob("graph"))
        weights = _tensors(request.blob("weights")) | _tensors(request.blob("public"))
        opening, model = request.blob("opening"), None
        fixed = FixedPoint(request.integer("frac_bits"), tuple(request.blob("value_bits")))
        if opening or not self._opens:
            model = self._engine.restore(graph, weights, self._parties, opening, fixed)
        self._models[request.blob("model")] = LoadedModel(graph, weights, model, fixed)
        return Message("loaded", blobs={"digest": b"" if model is None else digest_of(model)})

    def unload(self, request: Message) -> Message:
        """Forget a model."""
        self._models.pop(request.blob("model"), None)
        return Message("unloaded")

    def open(self, request: Message, link: Link, deadline: float) -> Message:
        """Open a model together with the other parties. What it was opened to before is forgotten.

        Returns:
            An answer with the digest, and what other lanes take in `load`.

        Raises:
            SessionAborted: and all other parties' calls fail too; what was open stays so.
        """
        model_hash = ModelHash(request.blob("model"))
        loaded, session_id = self.get(model_hash), SessionId(request.blob("session"))
        graph, weights, fixed = loaded.graph, loaded.weights, loaded.fixed
        model = load_model(link, self._engine, graph, weights, model_hash, session_id, deadline, fixed)
        self._models[model_hash] = LoadedModel(graph, weights, model, fixed)
        return Message("opened", blobs={"digest": digest_of(model), "opening": kept(model)})

    def get(self, model_hash: bytes) -> LoadedModel:
        """A model.

        Raises:
            ModelNotFound: it is not loaded.
        """
        model = self._models.get(model_hash)
        if model is None:
            raise ModelNotFound("the model is not loaded on this lane")
        return model


def _tensors(data: bytes) -> dict[str, Ring]:
    # They were checked when they left the database.
    return decode_tensors(data, max_bytes=_MAX_SHARE_BYTES) if data else {}
