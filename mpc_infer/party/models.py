"""The models of a party: checked when they come, and again each time they leave the database."""

from collections import OrderedDict
from dataclasses import dataclass, field

from mpc_infer.encoding import same_digest
from mpc_infer.errors import ModelRefused, ModelShareMismatch, PartySetMismatch
from mpc_infer.evidence.eip712 import Domain, ModelPublication
from mpc_infer.graph import Graph
from mpc_infer.ids import Address, ModelHash, PartySetId
from mpc_infer.model.manifest import Manifest
from mpc_infer.model.shares import open_model_share, open_public_weights
from mpc_infer.party.calls import InstallCall
from mpc_infer.party.checks import check_signature
from mpc_infer.sharing.commitment import split_opening
from mpc_infer.sharing.contexts import sealed_model_context
from mpc_infer.sharing.sealing import SealingKeys
from mpc_infer.store import PartyStore, StoredModel

_KEPT = 64


@dataclass(frozen=True)
class OpenModel:
    """A model whose share was just checked.

    Attributes:
        weights: canonical tensor bytes of this party's share of the secret weights.
        public_weights: and of the public ones; empty: there are none.
    """

    manifest: Manifest
    graph: Graph
    graph_bytes: bytes = field(repr=False)
    weights: bytes = field(repr=False)
    public_weights: bytes = field(repr=False)


@dataclass(frozen=True)
class Place:
    """This party's place: its index and identity, the set, and how many parties there are."""

    index: int
    address: Address
    party_set: PartySetId
    size: int


class ModelShelf:
    """Installs and opens models. Blocking; call it in a thread.

    Args:
        store: where they are kept, shares encrypted.
        keys: what shares are sealed to.
        place: this party's.
        domain: of the ModelRegistry.
    """

    def __init__(self, store: PartyStore, keys: SealingKeys, place: Place, domain: Domain) -> None:
        self._store = store
        self._keys = keys
        self._place = place
        self._domain = domain
        self._known: OrderedDict[ModelHash, tuple[Graph, Address]] = OrderedDict()

    def install(self, call: InstallCall) -> Manifest:
        """Check a model and keep it. The same model may come again.

        1. The manifest is well-formed, for our party set and our fixed point.
        2. The owner signed its publication.
        3. The share is sealed to us for this model, opens our commitment, and has the graph's secret weights.
        4. The public weights have the manifest's digest, and are the graph's.

        Raises:
            CorruptModel, PartySetMismatch, BadSignature, SealingFailed, ModelShareMismatch: it is not kept.
        """
        manifest = Manifest.from_bytes(call.manifest)
        self._check_place(manifest)
        check_signature(ModelPublication(manifest.hash).digest(self._domain), manifest.owner, call.owner_signature)
        graph = Graph.from_bytes(call.graph)
        plaintext = self._keys.unseal(call.sealed_share, sealed_model_context(manifest.hash, self._place.address))
        open_model_share(plaintext, manifest, graph, self._place.index, self._place.address)
        open_public_weights(call.public_weights, manifest, graph)
        self._store.put_model(StoredModel(manifest.hash, call.manifest, call.graph, plaintext, call.public_weights))
        return manifest

    def graph(self, model_hash: ModelHash) -> Graph:
        """The graph of an installed model.

        Raises:
            ModelNotFound: it is not installed here.
            ModelShareMismatch: what is stored is not the model.
        """
        return self.known(model_hash)[0]

    def known(self, model_hash: ModelHash) -> tuple[Graph, Address]:
        """The graph of an installed model, and the owner whom its manifest names. Raises as `graph`."""
        found = self._known.get(model_hash)
        if found is None:
            opened = self.open(model_hash)
            found = self._known[model_hash] = (opened.graph, opened.manifest.owner)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return found

    def knows(self, model_hash: ModelHash) -> bool:
        """Whether `graph` would answer from memory."""
        return model_hash in self._known

    def open(self, model_hash: ModelHash) -> OpenModel:
        """Read a model from the store and check it against its hash and all that it names, as if from a stranger.

        Raises:
            ModelNotFound: it is not installed here.
            ModelShareMismatch: what is stored is not the model.
            StoreError: it cannot be decrypted.
        """
        stored = self._store.model(model_hash)
        try:
            manifest = Manifest.from_bytes(stored.manifest)
            graph = Graph.from_bytes(stored.graph)
            if not same_digest(manifest.hash, model_hash):
                raise ModelShareMismatch("the stored manifest is not the model's")
            open_model_share(stored.share, manifest, graph, self._place.index, self._place.address)
            open_public_weights(stored.public_weights, manifest, graph)
        except ModelRefused as error:
            raise ModelShareMismatch(
                f"the stored model was changed: {error.message}", remedy="install it anew"
            ) from error
        return OpenModel(manifest, graph, stored.graph, split_opening(stored.share)[1], stored.public_weights)

    def _check_place(self, manifest: Manifest) -> None:
        if manifest.party_set_id != self._place.party_set or manifest.parties != self._place.size:
            raise PartySetMismatch("the manifest is for another set of parties")
