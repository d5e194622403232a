import pytest
from eth_keys.datatypes import PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.errors import BadSignature, InvalidInput
from mpc_infer.identity import Signer, recover

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
DIGEST = b"d" * 32
SIGNER = Signer.from_key_bytes(KEY)
SIGNATURE = SIGNER.sign_digest(DIGEST)


def test_the_address_is_the_known_one():
    assert SIGNER.address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"  # anvil's first account


@settings(max_examples=30)
@given(st.integers(1, ORDER - 1), st.binary(min_size=32, max_size=32))
def test_signatures_are_those_of_eth_keys(secret, digest):
    signer, other = Signer.from_key_bytes(secret.to_bytes(32, "big")), PrivateKey(secret.to_bytes(32, "big"))
    signature = signer.sign_digest(digest)
    expected = other.sign_msg_hash(digest)
    assert signature == expected.to_bytes()[:64] + bytes([27 + expected.v])
    assert recover(digest, signature) == signer.address == other.public_key.to_checksum_address()
    assert int.from_bytes(signature[32:64], "big") <= ORDER // 2


def test_another_digest_recovers_to_somebody_else():
    assert recover(b"e" * 32, SIGNATURE) != SIGNER.address


def flipped():
    s = int.from_bytes(SIGNATURE[32:64], "big")
    return SIGNATURE[:32] + (ORDER - s).to_bytes(32, "big") + bytes([27 + 28 - SIGNATURE[64]])


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        SIGNATURE[:64],
        SIGNATURE + b"\0",
        flipped(),
        SIGNATURE[:64] + bytes([SIGNATURE[64] - 27]),
        SIGNATURE[:64] + b"\x1d",
        SIGNATURE[:64] + b"\xff",
        bytes(32) + SIGNATURE[32:],
        SIGNATURE[:32] + bytes(32) + SIGNATURE[64:],
        ORDER.to_bytes(32, "big") + SIGNATURE[32:],
        b"\xff" * 32 + SIGNATURE[32:],
        SIGNATURE[:32] + b"\xff" * 32 + SIGNATURE[64:],
        (5).to_bytes(32, "big") + SIGNATURE[32:],  # no point of the curve has this x
    ],
)
def test_only_the_canonical_form_is_accepted(signature):
    with pytest.raises(BadSignature):
        recover(DIGEST, signature)


@pytest.mark.parametrize("digest", [b"", b"d" * 31, b"d" * 33])
def test_digests_have_32_bytes(digest):
    with pytest.raises(InvalidInput):
        SIGNER.sign_digest(digest)
    with pytest.raises(BadSignature):
        recover(digest, SIGNATURE)


@pytest.mark.parametrize("key", [b"", bytes(32), b"\xff" * 32, ORDER.to_bytes(32, "big"), KEY[:31], KEY + b"\0"])
def test_other_keys_are_refused(key):
    with pytest.raises(InvalidInput):
        Signer.from_key_bytes(key)


def test_keys_survive_their_bytes_and_are_never_shown():
    signer = Signer.generate()
    assert Signer.from_key_bytes(signer.key_bytes()).address == signer.address
    assert signer.key_bytes().hex() not in repr(signer) + str(signer) + str(vars(signer))
