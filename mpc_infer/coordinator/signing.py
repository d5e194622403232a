"""The parties' signatures on the root of a batch, and what becomes of receipts that a party says are not its own."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mpc_infer.clock import Clock
from mpc_infer.coordinator.ledger import Ledger
from mpc_infer.coordinator.parties import PartyDoor, on_all
from mpc_infer.encoding import same_digest
from mpc_infer.errors import BadSignature, InternalError, InvalidRequest, ReceiptNotFound
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import BatchRoot, Domain, check_signer
from mpc_infer.rpc.messages import SIGNATURE_BYTES, signature_from
from mpc_infer.store import BatchRecord
from mpc_infer.telemetry import Log
from mpc_infer.v1 import common_pb2, party_pb2

_LOG = Log("coordinator.signing")
SIGN_TIMEOUT_S = 20.0
REMINDED_AT_ONCE = 64
"""A reminder has 520 bytes: so many fit into the smallest message that a party can be set to take (64 KiB), and so do
the digests of the largest batch."""
Signed = Mapping[bytes, common_pb2.SignedReceipt]
"""Receipts by their digests, in a batch's order."""


@dataclass(frozen=True)
class Signing:
    """Has batches signed by every party."""

    ledger: Ledger
    parties: Sequence[PartyDoor]
    domain: Domain
    clock: Clock

    async def sign(self, batch: BatchRecord) -> bytes:
        """Every party's signature on the batch's root, one after the other, also stored.

        Raises:
            ReceiptNotFound: a party did not sign some of the receipts. They are set aside, the batch is dissolved.
            MpcInferError: a party cannot be reached, or signs something else.
        """
        request = party_pb2.SignRootRequest(receipt_digests=batch.digests)
        try:
            answers = await on_all(self.parties, lambda party: party.call("SignRoot", request, SIGN_TIMEOUT_S))
        except ReceiptNotFound:
            answers = await self._reminded(batch)
        digest = BatchRoot(batch.root, len(batch.digests), batch.party_set).digest(self.domain)
        for party, answer in zip(self.parties, answers, strict=True):
            _check_root(party, answer, batch.root, digest)
        signatures = b"".join(answer.signature.signature for answer in answers)
        await self.ledger.do(lambda store: store.outbox.sign_batch(batch.root, signatures))
        return signatures

    async def _reminded(self, batch: BatchRecord) -> tuple[party_pb2.SignRootResponse, ...]:
        """The same with each party's own signatures on the receipts: power may have failed there.

        Raises:
            ReceiptNotFound: see `sign`.
        """
        stored = await self.ledger.read(lambda store: store.outbox.signed_receipts(batch.root))
        signed = dict(zip(batch.digests, map(common_pb2.SignedReceipt.FromString, stored), strict=True))
        _LOG.warning("a party does not remember receipts of a batch; it is shown its signatures", root=batch.root)
        try:
            return await on_all(self.parties, lambda party: _remind(party, signed))
        except ReceiptNotFound as error:
            raise await self._set_aside(batch, signed) from error

    async def _set_aside(self, batch: BatchRecord, signed: Signed) -> ReceiptNotFound:
        found: dict[bytes, int] = {}
        for party in self.parties:
            for piece in _pieces(signed):
                found.update(dict.fromkeys(await _disowned(party, piece), party.index))
        if not found:
            raise InternalError("a party disowned a receipt and then did not")
        digests, now_ms = tuple(found), self.clock.now_ms()
        root = merkle.root(digests)
        await self.ledger.do(lambda store: store.outbox.set_aside(batch, digests, root, now_ms))
        party_index = min(found.values())
        _LOG.error("receipts are set aside: a party disowns them", root=root, receipts=len(digests), party=party_index)
        return ReceiptNotFound(f"party {party_index} disowns {len(digests)} receipts", party=party_index)


async def _remind(party: PartyDoor, signed: Signed) -> party_pb2.SignRootResponse:
    """A party's signature on the root of a batch, after it was shown its own on the receipts, piece by piece.

    It signs the roots of the pieces on the way. That says no more than the receipts do: nobody anchors them.
    """
    pieces = list(_pieces(signed))
    for piece in pieces:
        answer: party_pb2.SignRootResponse = await party.call("SignRoot", _reminding(piece, party), SIGN_TIMEOUT_S)
    if len(pieces) > 1:
        answer = await party.call("SignRoot", party_pb2.SignRootRequest(receipt_digests=list(signed)), SIGN_TIMEOUT_S)
    return answer


def _pieces(signed: Signed) -> Iterator[Signed]:
    items = list(signed.items())
    return (dict(items[start : start + REMINDED_AT_ONCE]) for start in range(0, len(items), REMINDED_AT_ONCE))


def _reminding(signed: Signed, party: PartyDoor) -> party_pb2.SignRootRequest:
    own = [
        party_pb2.Reminder(receipt=each.receipt, signature=each.signatures[party.index].signature)
        for each in signed.values()
    ]
    return party_pb2.SignRootRequest(receipt_digests=list(signed), reminders=own)


async def _disowned(party: PartyDoor, signed: Signed) -> list[bytes]:
    """Those of one piece that a party does not sign for, found by halving: parties say how many they are, not which.

    It is reminded each time: the call in which it was may have been cancelled, for another party's refusal.
    """
    try:
        await party.call("SignRoot", _reminding(signed, party), SIGN_TIMEOUT_S)
    except ReceiptNotFound:
        if len(signed) == 1:
            return list(signed)
    else:
        return []
    items, middle = list(signed.items()), len(signed) // 2
    return [*await _disowned(party, dict(items[:middle])), *await _disowned(party, dict(items[middle:]))]


def split_signatures(joined: bytes) -> list[bytes]:
    """The signatures of a stored batch.

    Raises:
        InternalError: not a whole number of them.
    """
    if len(joined) % SIGNATURE_BYTES:
        raise InternalError("a stored batch has broken signatures")
    return [joined[start : start + SIGNATURE_BYTES] for start in range(0, len(joined), SIGNATURE_BYTES)]


def _check_root(party: PartyDoor, answer: party_pb2.SignRootResponse, root: bytes, digest: bytes) -> None:
    if not same_digest(answer.root, root):
        raise InvalidRequest(f"party {party.index} signed another root", party=party.index)
    signer, signature = signature_from(answer.signature)
    if signer != party.address:
        raise BadSignature(f"party {party.index} signed in another name", party=party.index)
    check_signer(digest, signature, party.address)
