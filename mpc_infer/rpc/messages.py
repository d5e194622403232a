"""Between the messages that all roles share and our own types, with every length checked."""

from mpc_infer.encoding import address_bytes, to_address
from mpc_infer.errors import BadSignature, InvalidRequest
from mpc_infer.ids import Address
from mpc_infer.sharing.sealing import Sealed, SealingPublicKey, Suite
from mpc_infer.v1 import common_pb2

ADDRESS_BYTES = 20
SIGNATURE_BYTES = 65
DIGEST_BYTES = 32


def exactly(data: bytes, size: int, name: str) -> bytes:
    """Return a field that has the length it must have.

    Raises:
        InvalidRequest: it has another.
    """
    if len(data) != size:
        raise InvalidRequest(f"{name} has {size} bytes, not {len(data)}")
    return data


def address_from(data: bytes, name: str) -> Address:
    """An address from its 20 bytes."""
    return to_address(exactly(data, ADDRESS_BYTES, name))


def suite_from(number: int) -> Suite:
    """A sealing suite from its number.

    Raises:
        InvalidRequest: unknown or unset.
    """
    try:
        return Suite(number)
    except ValueError as error:
        raise InvalidRequest(f"sealing suite {number} is unknown", remedy="use suite 1 or 2") from error


def sealed_from(box: common_pb2.SealedBox) -> Sealed:
    """A sealed message."""
    return Sealed(suite_from(box.suite), exactly(box.key_id, DIGEST_BYTES, "key_id"), box.ciphertext)


def sealed_to(sealed: Sealed) -> common_pb2.SealedBox:
    """A sealed message, to be sent."""
    suite = common_pb2.SealingSuite.Name(int(sealed.suite))
    return common_pb2.SealedBox(suite=suite, key_id=sealed.key_id, ciphertext=sealed.ciphertext)


def sealing_key_from(key: common_pb2.SealingKey) -> SealingPublicKey:
    """A public key to seal to."""
    return SealingPublicKey(suite_from(key.suite), key.public_key)


def sealing_key_to(key: SealingPublicKey) -> common_pb2.SealingKey:
    """A public key, to be sent."""
    return common_pb2.SealingKey(suite=common_pb2.SealingSuite.Name(int(key.suite)), public_key=key.data)


def signature_from(signature: common_pb2.Signature) -> tuple[Address, bytes]:
    """The signer that is claimed, and the signature; nothing is verified.

    Raises:
        BadSignature: a length is wrong.
    """
    if len(signature.signer) != ADDRESS_BYTES or len(signature.signature) != SIGNATURE_BYTES:
        raise BadSignature("a signature is 65 bytes with a signer of 20 bytes")
    return to_address(signature.signer), signature.signature


def signature_to(signer: Address, signature: bytes) -> common_pb2.Signature:
    """A signature, to be sent."""
    return common_pb2.Signature(signer=address_bytes(signer), signature=signature)
