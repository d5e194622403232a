import stat

import pytest

from mpc_infer.errors import StoreError
from mpc_infer.identity import Keystore, Signer
from mpc_infer.sharing import SealingKeys, Suite, seal

FILES = [
    "ca.pem",
    "identity.key",
    "sealing-mlkem768_x25519.key",
    "sealing-x25519.key",
    "storage.key",
    "tls.key",
    "tls.pem",
]


@pytest.fixture
def keystore(tmp_path, issue):
    signer, tls = issue()
    return Keystore.create(tmp_path / "keys", signer=signer, tls=tls)


def test_a_keystore_gives_back_what_was_put_in(tmp_path, issue):
    signer, tls = issue()
    sealing = SealingKeys.generate()
    Keystore.create(tmp_path / "a" / "b", signer=signer, tls=tls, sealing_keys=sealing, storage_key=b"k" * 32)
    again = Keystore(str(tmp_path / "a" / "b"))
    assert again.address == signer.address
    assert again.signer.key_bytes() == signer.key_bytes()
    assert again.sealing_keys.public_keys == sealing.public_keys
    assert again.storage_key == b"k" * 32
    assert again.tls == tls
    assert again.sealing_keys.unseal(seal(b"x", sealing.public(Suite.X25519), b"c"), b"c") == b"x"


def test_secrets_are_fresh_unless_given(tmp_path, issue):
    signer, tls = issue()
    first, second = (Keystore.create(tmp_path / name, signer=signer, tls=tls) for name in "ab")
    assert first.storage_key != second.storage_key
    assert first.sealing_keys.public_keys != second.sealing_keys.public_keys


def test_only_the_owner_may_read(tmp_path, keystore):
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == FILES
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
@pytest.mark.parametrize("name", ["identity.key", "sealing-x25519.key", "storage.key", "tls.key"])
def test_a_key_that_others_can_reach_is_refused(tmp_path, keystore, name, mode):
    (tmp_path / "keys" / name).chmod(mode)
    with pytest.raises(StoreError, match="chmod 600"):
        Keystore(tmp_path / "keys")


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(tmp_path, keystore, name):
    (tmp_path / "keys" / name).unlink()
    with pytest.raises(StoreError, match=name):
        Keystore(tmp_path / "keys")


@pytest.mark.parametrize("name", ["identity.key", "sealing-mlkem768_x25519.key", "sealing-x25519.key", "storage.key"])
@pytest.mark.parametrize("contents", [b"", b"short", b"\0" * 31, b"\0" * 70_000])
def test_a_damaged_key_is_refused(tmp_path, keystore, name, contents):
    (tmp_path / "keys" / name).write_bytes(contents)
    with pytest.raises(StoreError):
        Keystore(tmp_path / "keys")


def test_a_directory_in_a_keys_place_is_refused(tmp_path, keystore):
    (tmp_path / "keys" / "storage.key").unlink()
    (tmp_path / "keys" / "storage.key").mkdir()
    with pytest.raises(StoreError):
        Keystore(tmp_path / "keys")


def test_nothing_is_overwritten(tmp_path, keystore, issue):
    with pytest.raises(StoreError):
        Keystore.create(tmp_path / "keys", signer=Signer.generate(), tls=issue()[1])
    assert Keystore(tmp_path / "keys").address == keystore.address


def test_no_secret_is_shown(keystore):
    secrets = [keystore.signer.key_bytes(), keystore.storage_key]
    secrets += [key.private_bytes() for key in keystore.sealing_keys.keys]
    shown = repr(keystore) + repr(vars(keystore)["signer"]) + repr(keystore.sealing_keys) + repr(keystore.tls)
    assert keystore.address in shown
    assert not any(secret.hex() in shown or repr(secret)[2:-1] in shown for secret in secrets)
