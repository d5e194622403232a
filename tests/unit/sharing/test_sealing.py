import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpc_infer.errors import InvalidRequest, SealingFailed
from mpc_infer.sharing import Sealed, SealingKey, SealingKeys, SealingPublicKey, Suite, seal

BOTH = pytest.mark.parametrize("suite", list(Suite))
CONTEXT = b"context of this message"
KEYS = {suite: SealingKey.from_private_bytes(suite, bytes(range(96))[: 96 if suite == 1 else 32]) for suite in Suite}
OTHERS = {suite: SealingKey.generate(suite) for suite in Suite}


@settings(max_examples=20)
@given(st.sampled_from(list(Suite)), st.binary(max_size=300), st.binary(max_size=40))
def test_what_is_sealed_opens(suite, plaintext, context):
    assert KEYS[suite].unseal(seal(plaintext, KEYS[suite].public, context), context) == plaintext


@BOTH
def test_two_seals_of_one_message_differ(suite):
    first, second = (seal(b"x", KEYS[suite].public, CONTEXT) for _ in range(2))
    assert first.ciphertext != second.ciphertext


@BOTH
@pytest.mark.parametrize("context", [b"", CONTEXT[:-1], CONTEXT + b"\0", b"Context of this message"])
def test_another_context_does_not_open(suite, context):
    sealed = seal(b"secret", KEYS[suite].public, CONTEXT)
    with pytest.raises(SealingFailed):
        KEYS[suite].unseal(sealed, context)


@BOTH
def test_another_key_does_not_open(suite):
    sealed = seal(b"secret", KEYS[suite].public, CONTEXT)
    with pytest.raises(SealingFailed):
        OTHERS[suite].unseal(sealed, CONTEXT)
    renamed = dataclasses.replace(sealed, key_id=OTHERS[suite].public.key_id)
    with pytest.raises(SealingFailed):
        OTHERS[suite].unseal(renamed, CONTEXT)


@BOTH
@pytest.mark.parametrize("position", [0, 20, -17, -1])
def test_a_changed_byte_does_not_open(suite, position):
    sealed = seal(b"secret", KEYS[suite].public, CONTEXT)
    changed = bytearray(sealed.ciphertext)
    changed[position] ^= 1
    with pytest.raises(SealingFailed):
        KEYS[suite].unseal(dataclasses.replace(sealed, ciphertext=bytes(changed)), CONTEXT)


@BOTH
@pytest.mark.parametrize("length", [0, 1, 32, 47, 1120])
def test_truncated_messages_do_not_open(suite, length):
    sealed = seal(b"secret", KEYS[suite].public, CONTEXT)
    shorter = sealed.ciphertext[: min(length, len(sealed.ciphertext) - 1)]
    with pytest.raises(SealingFailed):
        KEYS[suite].unseal(dataclasses.replace(sealed, ciphertext=shorter), CONTEXT)


def test_a_message_for_another_suite_does_not_open():
    sealed = seal(b"secret", KEYS[Suite.X25519].public, CONTEXT)
    with pytest.raises(SealingFailed):
        KEYS[Suite.MLKEM768_X25519].unseal(dataclasses.replace(sealed, suite=Suite.MLKEM768_X25519), CONTEXT)


@BOTH
def test_keys_survive_their_bytes(suite):
    again = SealingKey.from_private_bytes(suite, OTHERS[suite].private_bytes())
    assert again.public == OTHERS[suite].public
    assert again.unseal(seal(b"x", OTHERS[suite].public, b""), b"") == b"x"


@BOTH
def test_the_key_id_covers_suite_and_key(suite):
    assert len(KEYS[suite].public.key_id) == 32
    assert KEYS[suite].public.key_id != OTHERS[suite].public.key_id


@pytest.mark.parametrize(("suite", "length"), [(1, 32), (1, 1215), (2, 31), (2, 1216), (0, 32), (3, 32)])
def test_malformed_public_keys_are_refused(suite, length):
    with pytest.raises(InvalidRequest):
        SealingPublicKey(suite, bytes(length))


@pytest.mark.parametrize(("suite", "length"), [(1, 95), (2, 33), (7, 32)])
def test_malformed_private_keys_are_refused(suite, length):
    with pytest.raises(InvalidRequest):
        SealingKey.from_private_bytes(suite, bytes(length))


@pytest.mark.parametrize("data", [bytes(32), (1).to_bytes(32, "little")])
def test_keys_that_contribute_nothing_cannot_be_sealed_to(data):
    with pytest.raises(SealingFailed):
        seal(b"x", SealingPublicKey(Suite.X25519, data), CONTEXT)


def test_an_invalid_lattice_key_cannot_be_sealed_to():
    with pytest.raises(SealingFailed):
        seal(b"x", SealingPublicKey(Suite.MLKEM768_X25519, b"\xff" * 1216), CONTEXT)


def test_suites_are_known_by_number():
    assert Sealed(2, b"", b"").suite is Suite.X25519
    with pytest.raises(InvalidRequest):
        Sealed(0, b"", b"")


def test_a_keyring_finds_the_key():
    ring = SealingKeys.generate()
    assert [key.suite for key in ring.public_keys] == [Suite.MLKEM768_X25519, Suite.X25519]
    for public in ring.public_keys:
        assert ring.public(public.suite) == public
        assert ring.unseal(seal(b"x", public, CONTEXT), CONTEXT) == b"x"
    with pytest.raises(SealingFailed):
        ring.unseal(seal(b"x", KEYS[Suite.X25519].public, CONTEXT), CONTEXT)


def test_a_keyring_has_one_key_per_suite():
    only = SealingKeys([KEYS[Suite.X25519]])
    with pytest.raises(InvalidRequest):
        only.public()
    with pytest.raises(InvalidRequest):
        SealingKeys([KEYS[Suite.X25519], OTHERS[Suite.X25519]])
    with pytest.raises(InvalidRequest):
        SealingKeys([])


@BOTH
def test_nothing_shows_a_private_key(suite):
    shown = repr(KEYS[suite]) + repr(SealingKeys([KEYS[suite]])) + str(KEYS[suite])
    assert KEYS[suite].private_bytes()[:4].hex() not in shown
    assert "x00" not in shown
