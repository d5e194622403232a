import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from mpc_infer.errors import InvalidInput
from mpc_infer.sharing import Stream, fresh_seed

SEED = bytes(range(32))


def test_known_stream():
    assert Stream(SEED, "vector").bytes(32).hex() == "0b77016579163c3696bebdfd84b51bd9e5dd5264886f7acdd9c626f367628833"


def test_ring_elements_are_little_endian_words_of_the_stream():
    expected = np.frombuffer(Stream(SEED, "a").bytes(48), "<u8").reshape(2, 3)
    assert np.array_equal(Stream(SEED, "a").ring((2, 3)), expected)
    assert Stream(SEED, "a").ring(3).shape == (3,)


@given(st.lists(st.integers(0, 300_000), max_size=5), st.sampled_from(["bytes", "fill"]))
def test_pieces_are_the_whole(sizes, method):
    whole = Stream(SEED, "x").bytes(sum(sizes))
    stream = Stream(SEED, "x")
    pieces = b""
    for size in sizes:
        if method == "bytes":
            pieces += stream.bytes(size)
        else:
            target = bytearray(b"\xff" * size)
            stream.fill(memoryview(target))
            pieces += target
    assert pieces == whole


def test_streams_differ_by_label_and_seed():
    streams = {Stream(seed, label).bytes(32) for seed in (SEED, fresh_seed()) for label in ("", "a", "b")}
    assert len(streams) == 6


def test_fill_accepts_arrays_of_any_type_and_shape():
    target = np.ones((3, 5), dtype=np.uint32)
    Stream(SEED, "a").fill(target.data)
    assert target.tobytes() == Stream(SEED, "a").bytes(60)


def test_empty_draws_change_nothing():
    stream = Stream(SEED, "a")
    assert stream.ring((0, 4)).shape == (0, 4)
    assert stream.bytes(0) == b""
    assert stream.bytes(16) == Stream(SEED, "a").bytes(16)


def test_a_seed_has_32_bytes():
    with pytest.raises(InvalidInput):
        Stream(bytes(16), "a")


def test_fresh_seeds_differ_and_nothing_shows_them():
    assert fresh_seed() != fresh_seed()
    assert len(fresh_seed()) == 32
    assert SEED.hex() not in repr(Stream(SEED, "a"))


def test_the_stream_is_counter_mode_from_zero_under_the_derived_key():
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    key = HKDF(SHA256(), 32, None, b"material").derive(SEED)
    cipher = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    assert Stream(SEED, "material").bytes(100) == cipher.update(bytes(100))
