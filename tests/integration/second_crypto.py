"""The bytes of docs/protocol.md a second time, written from the page alone: nothing here comes from mpc_infer."""

import hashlib
import hmac
import os
import struct
from collections.abc import Mapping, Sequence

from Crypto.Hash import keccak as keccak_hash
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256

HYBRID, X25519 = 1, 2
KEM = {HYBRID: 0x647A, X25519: 0x0020}
Tensors = Mapping[str, tuple[tuple[int, ...], list[int]]]

# The curve y^2 = x^3 + 7 of secp256k1.
FIELD = 2**256 - 2**32 - 977
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
BASE = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
Point = tuple[int, int] | None


# Section 1 and 2


def encode(value: float, frac_bits: int) -> int:
    return round(value * 2**frac_bits) % 2**64


def decode(word: int, frac_bits: int) -> float:
    return (word - 2**64 if word >= 2**63 else word) / 2**frac_bits


def split(words: Sequence[int], parties: int) -> list[list[int]]:
    shares = [list(struct.unpack(f"<{len(words)}Q", os.urandom(8 * len(words)))) for _ in range(parties - 1)]
    last = [(word - sum(column)) % 2**64 for word, column in zip(words, zip(*shares, strict=True), strict=True)]
    return [*shares, last]


def tensor_bytes(tensors: Tensors) -> bytes:
    data = b"MPT1" + struct.pack("<I", len(tensors))
    for name in sorted(tensors, key=str.encode):
        (shape, words), label = tensors[name], name.encode()
        data += struct.pack("<H", len(label)) + label + bytes([1, len(shape)])
        data += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack(f"<{len(words)}Q", *words)
    return data


def read_tensors(data: bytes) -> dict[str, tuple[tuple[int, ...], list[int]]]:
    magic, count = struct.unpack_from("<4sI", data)
    assert magic == b"MPT1"
    at, found = 8, {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + length].decode()
        kind, rank = data[at + 2 + length : at + 4 + length]
        assert kind == 1
        at += 4 + length
        shape = struct.unpack_from(f"<{rank}Q", data, at)
        at += 8 * rank
        size = 1
        for axis in shape:
            size *= axis
        found[name] = (shape, list(struct.unpack_from(f"<{size}Q", data, at)))
        at += 8 * size
    assert at == len(data)
    return found


# Section 3


def digest(domain: str, *parts: bytes) -> bytes:
    pieces = (f"mpc-infer/v1/{domain}".encode(), *parts)
    return hashlib.sha256(b"".join(struct.pack(">Q", len(piece)) + piece for piece in pieces)).digest()


# Section 4


def _extract(salt: bytes, suite: bytes, label: bytes, secret: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + secret, "sha256")


def _expand(key: bytes, suite: bytes, label: bytes, info: bytes, length: int) -> bytes:
    info = struct.pack(">H", length) + b"HPKE-v1" + suite + label + info
    return hmac.digest(key, info + b"\1", "sha256")[:length]


def _dh_secret(shared: bytes, encapsulation: bytes, public: bytes) -> bytes:
    suite = b"KEM" + struct.pack(">H", KEM[X25519])
    prk = _extract(b"", suite, b"eae_prk", shared)
    return _expand(prk, suite, b"shared_secret", encapsulation + public, 32)


def _cipher(number: int, secret: bytes, info: bytes) -> tuple[AESGCM, bytes]:
    suite = b"HPKE" + struct.pack(">HHH", KEM[number], 1, 2)
    context = b"\0" + _extract(b"", suite, b"psk_id_hash", b"") + _extract(b"", suite, b"info_hash", info)
    prk = _extract(secret, suite, b"secret", b"")
    return AESGCM(_expand(prk, suite, b"key", context, 32)), _expand(prk, suite, b"base_nonce", context, 12)


def key_id(suite: int, public: bytes) -> bytes:
    return digest("sealing-key", bytes([suite]), public)


def seal(plaintext: bytes, suite: int, public: bytes, context: bytes) -> bytes:
    own, receiver = X25519PrivateKey.generate(), public[-32:]
    point, shared = own.public_key().public_bytes_raw(), own.exchange(X25519PublicKey.from_public_bytes(receiver))
    if suite == HYBRID:
        lattice, ciphertext = MLKEM768PublicKey.from_public_bytes(public[:-32]).encapsulate()
        secret = hashlib.sha3_256(lattice + shared + point + receiver + b"\\.//^\\").digest()
        encapsulation = ciphertext + point
    else:
        secret, encapsulation = _dh_secret(shared, point, receiver), point
    cipher, nonce = _cipher(suite, secret, digest("seal", bytes([suite]), key_id(suite, public), context))
    return encapsulation + cipher.encrypt(nonce, plaintext, b"")


def unseal_x25519(box: bytes, private: X25519PrivateKey, context: bytes) -> bytes:
    public, encapsulation = private.public_key().public_bytes_raw(), box[:32]
    shared = private.exchange(X25519PublicKey.from_public_bytes(encapsulation))
    info = digest("seal", bytes([X25519]), key_id(X25519, public), context)
    cipher, nonce = _cipher(X25519, _dh_secret(shared, encapsulation, public), info)
    return cipher.decrypt(nonce, box[32:], b"")


# Section 5


def keccak(data: bytes) -> bytes:
    return keccak_hash.new(digest_bits=256, data=data).digest()


def _add(left: Point, right: Point) -> Point:
    if left is None or right is None:
        return left or right
    if left[0] == right[0] and (left[1] + right[1]) % FIELD == 0:
        return None
    if left == right:
        slope = 3 * left[0] ** 2 * pow(2 * left[1], -1, FIELD)
    else:
        slope = (right[1] - left[1]) * pow(right[0] - left[0], -1, FIELD)
    x = (slope**2 - left[0] - right[0]) % FIELD
    return x, (slope * (left[0] - x) - left[1]) % FIELD


def _times(factor: int, point: Point) -> Point:
    total: Point = None
    while factor:
        total, factor, point = _add(total, point) if factor & 1 else total, factor >> 1, _add(point, point)
    return total


def _address(point: Point) -> bytes:
    assert point is not None
    return keccak(point[0].to_bytes(32, "big") + point[1].to_bytes(32, "big"))[12:]


def recover(hashed: bytes, signature: bytes) -> bytes:
    """The signer's 20 bytes."""
    r, s, v = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big"), signature[64]
    assert len(signature) == 65
    assert v in (27, 28)
    assert 0 < r < ORDER
    assert 0 < s <= ORDER // 2
    y = pow(r**3 + 7, (FIELD + 1) // 4, FIELD)
    y = y if y % 2 == v - 27 else FIELD - y
    inverse = pow(r, -1, ORDER)
    first = _times(-int.from_bytes(hashed, "big") * inverse % ORDER, BASE)
    return _address(_add(first, _times(s * inverse % ORDER, (r, y))))


def address_of(private: bytes) -> bytes:
    return _address(_times(int.from_bytes(private, "big"), BASE))


def sign(private: bytes, hashed: bytes) -> bytes:
    key = ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256K1())
    r, s = utils.decode_dss_signature(key.sign(hashed, ec.ECDSA(utils.Prehashed(SHA256()))))
    rest = r.to_bytes(32, "big") + min(s, ORDER - s).to_bytes(32, "big")
    return next(rest + bytes([v]) for v in (27, 28) if recover(hashed, rest + bytes([v])) == address_of(private))


def typed_digest(signature: str, words: bytes, chain_id: int, contract: bytes) -> bytes:
    domain = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    domain += keccak(b"mpc-infer") + keccak(b"1") + chain_id.to_bytes(32, "big") + bytes(12) + contract
    return keccak(b"\x19\x01" + keccak(domain) + keccak(keccak(signature.encode()) + words))


# Section 6


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) == 1:
        return leaf(leaves[0])
    cut = 1 << (len(leaves) - 1).bit_length() - 1
    return node(root(leaves[:cut]), root(leaves[cut:]))


def root_by_path(data: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes:
    """RFC 9162, 2.1.3.2, from the top: which half the leaf is in, and the root of the other half."""
    if size == 1:
        assert not path
        return leaf(data)
    cut = 1 << (size - 1).bit_length() - 1
    if index < cut:
        return node(root_by_path(data, index, cut, path[:-1]), path[-1])
    return node(path[-1], root_by_path(data, index - cut, size - cut, path[:-1]))
