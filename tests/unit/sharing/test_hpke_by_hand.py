"""Opens sealed messages with nothing but the primitives, as docs/protocol.md describes it for other languages."""

import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from mpc_infer.encoding import digest
from mpc_infer.sharing import SealingKey, Suite, seal


def extract(salt: bytes, label: bytes, secret: bytes, suite_id: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite_id + label + secret, "sha256")


def expand(key: bytes, label: bytes, info: bytes, length: int, suite_id: bytes) -> bytes:
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info
    blocks, last = b"", b""
    for counter in range(1, 4):
        last = hmac.digest(key, last + labeled + bytes([counter]), "sha256")
        blocks += last
    return blocks[:length]


def shared_secret_x25519(enc: bytes, private: bytes) -> bytes:
    key = X25519PrivateKey.from_private_bytes(private)
    dh = key.exchange(X25519PublicKey.from_public_bytes(enc))
    kem_id = b"KEM" + (0x0020).to_bytes(2, "big")
    prk = extract(b"", b"eae_prk", dh, kem_id)
    return expand(prk, b"shared_secret", enc + key.public_key().public_bytes_raw(), 32, kem_id)


def shared_secret_xwing(enc: bytes, private: bytes) -> bytes:
    key = X25519PrivateKey.from_private_bytes(private[64:])
    lattice = MLKEM768PrivateKey.from_seed_bytes(private[:64]).decapsulate(enc[:1088])
    curve = key.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    public = key.public_key().public_bytes_raw()
    return hashlib.sha3_256(lattice + curve + enc[1088:] + public + b"\\.//^\\").digest()


def open_by_hand(kem: int, secret: bytes, ciphertext: bytes, info: bytes) -> bytes:
    suite_id = b"HPKE" + kem.to_bytes(2, "big") + (1).to_bytes(2, "big") + (2).to_bytes(2, "big")
    context = b"\0" + extract(b"", b"psk_id_hash", b"", suite_id) + extract(b"", b"info_hash", info, suite_id)
    prk = extract(secret, b"secret", b"", suite_id)
    key = expand(prk, b"key", context, 32, suite_id)
    nonce = expand(prk, b"base_nonce", context, 12, suite_id)
    return AESGCM(key).decrypt(nonce, ciphertext, b"")


@pytest.mark.parametrize(
    ("suite", "kem", "enc_bytes", "shared_secret"),
    [
        (Suite.MLKEM768_X25519, 0x647A, 1120, shared_secret_xwing),
        (Suite.X25519, 0x0020, 32, shared_secret_x25519),
    ],
)
def test_a_sealed_message_opens_by_the_rfc_alone(suite, kem, enc_bytes, shared_secret):
    key = SealingKey.generate(suite)
    sealed = seal(b"a share", key.public, b"its context")
    info = digest("seal", bytes([suite]), digest("sealing-key", bytes([suite]), key.public.data), b"its context")
    enc, ciphertext = sealed.ciphertext[:enc_bytes], sealed.ciphertext[enc_bytes:]
    assert open_by_hand(kem, shared_secret(enc, key.private_bytes()), ciphertext, info) == b"a share"
