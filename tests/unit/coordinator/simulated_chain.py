"""A chain that is a dictionary."""

from dataclasses import replace

from mpc_infer.chain.records import (
    AnchorRecord,
    Block,
    ContractAddresses,
    ModelRecord,
    ModelStatus,
    PartyRecord,
    PartySetRecord,
    TxResult,
)
from mpc_infer.encoding import to_address
from mpc_infer.errors import ChainUnavailable, ModelNotFound, NotFound, TransactionFailed
from mpc_infer.evidence.eip712 import Domain

PARTY_SET = bytes(range(32))
CONTRACTS = ContractAddresses(*(to_address(bytes([byte]) * 20) for byte in (1, 2, 3)))
START_MS = 1_750_000_000_000


class Chain:
    """What a Registry and a RegistryWriter say, from dictionaries."""

    chain_id = 31337
    addresses = CONTRACTS
    receipt_domain = Domain(31337, CONTRACTS.receipt_anchor)
    model_domain = Domain(31337, CONTRACTS.model_registry)

    def __init__(self, parties: dict[str, PartyRecord], caller: str) -> None:
        self.parties = parties
        self.caller = caller
        self.models: dict[bytes, ModelRecord] = {}
        self.users: set[tuple[bytes, str]] = set()
        self.anchors: dict[bytes, AnchorRecord] = {}
        self.height = 1
        self.down = False
        self.lose_next_answer = False
        self.reads = 0

    def _up(self) -> None:
        self.reads += 1
        if self.down:
            raise ChainUnavailable("the chain is down")

    def _mined(self) -> TxResult:
        self.height += 1
        if self.lose_next_answer:
            self.lose_next_answer = False
            raise ChainUnavailable("the answer was lost")
        return TxResult(self.height.to_bytes(32, "big"), self.height, 21_000)

    def head(self) -> Block:
        self._up()
        return Block(self.height, START_MS // 1000)

    def party_set(self, party_set: bytes, block: int | None = None) -> PartySetRecord:
        self._up()
        if party_set != PARTY_SET:
            raise NotFound("no such set")
        return PartySetRecord(PARTY_SET, tuple(self.parties), len(self.parties), 0)

    def party(self, address: str, block: int | None = None) -> PartyRecord:
        self._up()
        if address not in self.parties:
            raise NotFound("no such party")
        return self.parties[address]

    def signer_valid(self, identity: str, signer: str, timestamp: int, block: int | None = None) -> bool:
        return identity == signer

    def model(self, model_hash: bytes, block: int | None = None) -> ModelRecord:
        self._up()
        return self._known(model_hash, proposed=False)

    def proposal(self, model_hash: bytes, owner: str, block: int | None = None) -> ModelRecord:
        self._up()
        return self._known(model_hash, proposed=True)

    def _known(self, model_hash: bytes, *, proposed: bool) -> ModelRecord:
        record = self.models.get(model_hash)
        if record is None or (record.status is ModelStatus.PROPOSED) != proposed:
            raise ModelNotFound("no such model")
        return record

    def active_model(self, name: str, block: int | None = None) -> bytes:
        self._up()
        for record in self.models.values():
            if record.name == name and record.status is ModelStatus.ACTIVE:
                return record.model_hash
        raise ModelNotFound("no active version")

    def propose(self, model_hash: bytes, name: str, version: int, party_set: bytes) -> TxResult:
        self._up()
        if model_hash in self.models:
            raise TransactionFailed("proposed before")
        record = ModelRecord(model_hash, self.caller, name, version, party_set, ModelStatus.PROPOSED, False)
        self.models[model_hash] = record
        return self._mined()

    def _move(self, model_hash: bytes, status: ModelStatus) -> TxResult:
        self._up()
        self.models[model_hash] = replace(self.models[model_hash], status=status)
        return self._mined()

    def stage(self, model_hash: bytes, holdings: list[bytes]) -> TxResult:
        return self._move(model_hash, ModelStatus.STAGED)

    def activate(self, model_hash: bytes) -> TxResult:
        return self._move(model_hash, ModelStatus.ACTIVE)

    def deprecate(self, model_hash: bytes) -> TxResult:
        return self._move(model_hash, ModelStatus.DEPRECATED)

    def set_public(self, model_hash: bytes, public: bool) -> TxResult:
        return self._mined()

    def set_user(self, model_hash: bytes, user: str, allowed: bool) -> TxResult:
        (self.users.add if allowed else self.users.discard)((model_hash, user))
        return self._mined()

    def signer_revoked(self, identity: str, signer: str, timestamp: int, block: int | None = None) -> bool:
        return False

    def anchored(self, root: bytes, party_set: bytes, block: int | None = None) -> AnchorRecord | None:
        self._up()
        found = self.anchors.get(root)
        return found if found is not None and found.party_set == party_set else None

    def anchor(self, root: bytes, size: int, party_set: bytes, signatures: list[bytes]) -> TxResult:
        self._up()
        if root in self.anchors:
            raise TransactionFailed("anchored before")
        self.anchors[root] = AnchorRecord(root, size, START_MS // 1000, self.height + 1, party_set)
        return self._mined()
