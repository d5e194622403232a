"""A receipt with the parties' signatures, and what may travel with it."""

from dataclasses import dataclass, field

from mpc_infer.evidence.eip712 import JobRequest, Receipt
from mpc_infer.ids import Address, SessionId

PartySignature = tuple[Address, bytes]
"""A signature (65 bytes) after the address that it must recover to."""


@dataclass(frozen=True)
class SignedReceipt:
    """A receipt and one signature per party, in the party set's order. Not verified by itself."""

    receipt: Receipt
    signatures: tuple[PartySignature, ...]


@dataclass(frozen=True)
class SignedRequest:
    """The data owner's request that a receipt answers."""

    request: JobRequest
    signature: bytes


@dataclass(frozen=True)
class ShareOpening:
    """A salt and the canonical bytes of a share. Whoever has all parties' openings has the value."""

    salt: bytes = field(repr=False)
    share: bytes = field(repr=False)


@dataclass(frozen=True)
class OutputOpenings:
    """Every party's output share in the party set's order, and the session that made them."""

    session_id: SessionId
    shares: tuple[ShareOpening, ...]


@dataclass(frozen=True)
class Inclusion:
    """Where a receipt stands in a batch, and where the batch's root stands on the chain.

    ``signatures`` are the parties' over BatchRoot; ``transaction`` is empty until the root is mined.
    """

    index: int
    size: int
    path: tuple[bytes, ...]
    root: bytes
    signatures: tuple[PartySignature, ...] = ()
    transaction: bytes = b""
    block: int = 0
    gas_used: int = 0
