"""EIP-712 by hand: words of 32 bytes and Keccak, nothing looked up by name at run time."""

import re
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar, Self

from mpc_infer.encoding import address_bytes, keccak, to_address
from mpc_infer.errors import BadSignature, InvalidInput, InvalidRequest
from mpc_infer.identity.signer import Signer, recover
from mpc_infer.ids import Address

WORD_BYTES = 32
_DOMAIN_TYPE = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
_NAME = keccak(b"mpc-infer")
_VERSION = keccak(b"1")

Value = bytes | int | str


@dataclass(frozen=True)
class Domain:
    """Where a signature counts: one chain and one contract on it.

    Args:
        chain_id: the chain's id (EIP-155).
        verifying_contract: ReceiptAnchor or ModelRegistry.
    """

    chain_id: int
    verifying_contract: Address

    def __post_init__(self) -> None:
        # Two spellings of one address are one domain.
        object.__setattr__(self, "verifying_contract", to_address(address_bytes(self.verifying_contract)))

    @cached_property
    def separator(self) -> bytes:
        """``hashStruct(EIP712Domain)`` with name "mpc-infer" and version "1": 32 bytes."""
        contract = address_bytes(self.verifying_contract).rjust(WORD_BYTES, b"\0")
        return keccak(_DOMAIN_TYPE + _NAME + _VERSION + self.chain_id.to_bytes(WORD_BYTES, "big") + contract)


class TypedStruct:
    """A struct whose dataclass fields are, in order, the members of its EIP-712 type.

    Subclasses set ``TYPE`` to the encoded type, with members of type bytes32, address and uintN only. In Python these
    are bytes of length 32, checksummed addresses, and ints.
    """

    TYPE: ClassVar[str]
    TYPE_HASH: ClassVar[bytes]
    KINDS: ClassVar[tuple[str, ...]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        members = re.fullmatch(r"\w+\((.*)\)", cls.TYPE)
        cls.TYPE_HASH = keccak(cls.TYPE.encode())
        cls.KINDS = tuple(member.split(" ")[0] for member in members[1].split(",")) if members else ()

    def to_words(self) -> bytes:
        """``encodeData`` without the type hash: one 32-byte word per member.

        Raises:
            InvalidInput: a member does not fit its type.
        """
        names = (field.name for field in fields(self))  # type: ignore[arg-type]  # every subclass is a dataclass
        return b"".join(_to_word(kind, name, getattr(self, name)) for kind, name in zip(self.KINDS, names, strict=True))

    @classmethod
    def from_words(cls, words: bytes) -> Self:
        """Read ``to_words``.

        Raises:
            InvalidRequest: another length, padding that is not zero, or a number that does not fit.
        """
        if len(words) != WORD_BYTES * len(cls.KINDS):
            expected = WORD_BYTES * len(cls.KINDS)
            raise InvalidRequest(f"a {cls.__name__} has {expected} bytes, not {len(words)}")
        parts = (words[start : start + WORD_BYTES] for start in range(0, len(words), WORD_BYTES))
        return cls(*(_from_word(kind, cls.__name__, part) for kind, part in zip(cls.KINDS, parts, strict=True)))

    def struct_hash(self) -> bytes:
        """``hashStruct``: 32 bytes."""
        return self._struct_hash

    @cached_property
    def _struct_hash(self) -> bytes:
        # Structs are frozen, and a job's is asked for its digest by whoever checks, runs and signs it.
        return keccak(self.TYPE_HASH + self.to_words())

    def digest(self, domain: Domain) -> bytes:
        """What is signed: 32 bytes."""
        return keccak(b"\x19\x01" + domain.separator + self.struct_hash())


def sign(struct: TypedStruct, domain: Domain, signer: Signer) -> bytes:
    """Sign a struct: r ‖ s ‖ v, 65 bytes."""
    return signer.sign_digest(struct.digest(domain))


def check_signer(struct_digest: bytes, signature: bytes, expected: Address) -> None:
    """Check that a digest was signed by one address.

    Raises:
        BadSignature: malformed, or somebody else's.
    """
    actual = recover(struct_digest, signature)
    if address_bytes(actual) != address_bytes(expected):
        raise BadSignature(f"the signature is not by {expected}", remedy="sign with the key of the named identity")


def _to_word(kind: str, name: str, value: Value) -> bytes:
    if kind == "bytes32" and isinstance(value, bytes) and len(value) == WORD_BYTES:
        return value
    if kind == "address" and isinstance(value, str):
        return address_bytes(Address(value)).rjust(WORD_BYTES, b"\0")
    if kind.startswith("uint") and isinstance(value, int) and 0 <= value < 1 << int(kind[4:]):
        return int(value).to_bytes(WORD_BYTES, "big")
    raise InvalidInput(f"{name} does not fit the type {kind}")


def _from_word(kind: str, struct: str, word: bytes) -> Value:
    if kind == "bytes32":
        return word
    if kind == "address":
        if any(word[:12]):
            raise InvalidRequest(f"an address in a {struct} is padded with something else than zeros")
        return to_address(word[12:])
    number = int.from_bytes(word, "big")
    if number >= 1 << int(kind[4:]):
        raise InvalidRequest(f"a number in a {struct} does not fit {kind}")
    return number
