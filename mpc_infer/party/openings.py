"""What the models of a party were opened to: kept encrypted in its store, handed to its lanes."""

from mpc_infer.errors import ModelNotOpen
from mpc_infer.ids import ModelHash
from mpc_infer.store import PartyStore

NOTHING = b""
"""The digest with an engine that opens no models: they may always be used."""


class Openings:
    """The current opening of every model. Digests are in memory, the rest in the store.

    Args:
        store: where they are kept.
        opens: whether the party's engine wants models opened.
    """

    def __init__(self, store: PartyStore, *, opens: bool) -> None:
        self._store = store
        self.opens = opens
        self._digests = store.opening_digests() if opens else {}

    def digest(self, model_hash: ModelHash) -> bytes | None:
        """What all parties opened alike; None: the model is not open here."""
        return self._digests.get(model_hash) if self.opens else NOTHING

    def check(self, model_hash: ModelHash) -> bytes:
        """The digest of a model that is open.

        Raises:
            ModelNotOpen: it is not.
        """
        digest = self.digest(model_hash)
        if digest is None:
            raise ModelNotOpen("this party has not opened the model's weights under masks")
        return digest

    def read(self, model_hash: ModelHash) -> tuple[bytes, bytes]:
        """The digest, and what a lane needs to go on with a model; nothing where it is not open. Blocking.

        Raises:
            StoreError: it cannot be read.
        """
        kept = self._store.opening(model_hash) if self.opens else None
        return (NOTHING, b"") if kept is None else kept

    def put(self, model_hash: ModelHash, digest: bytes, opening: bytes, now_ms: int) -> None:
        """Replace a model's opening, durably. Blocking; from this call's return on it is the one that counts."""
        self._store.put_opening(model_hash, digest, opening, now_ms)
        self._digests[model_hash] = digest
