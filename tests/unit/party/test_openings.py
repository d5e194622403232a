"""What models were opened to, at a party whose engine opens them and at one whose engine does not."""

import pytest

from mpc_infer.errors import ModelNotOpen, StoreError
from mpc_infer.ids import ModelHash
from mpc_infer.party.openings import Openings
from mpc_infer.store import PartyStore, StoredModel

KEY, MODEL = bytes(range(32)), ModelHash(b"m" * 32)
FIRST, SECOND = (b"d" * 32, b"a secret opening"), (b"e" * 32, b"another secret")


@pytest.fixture
def store(tmp_path):
    store = PartyStore(tmp_path / "party.sqlite", KEY)
    store.put_model(StoredModel(MODEL, b"manifest", b"graph", b"share"))
    yield store
    store.close()


def test_the_last_opening_counts_and_survives(store, tmp_path):
    openings = Openings(store, opens=True)
    assert openings.digest(MODEL) is None
    assert openings.read(MODEL) == (b"", b"")
    with pytest.raises(ModelNotOpen):
        openings.check(MODEL)
    for number, opening in enumerate((FIRST, SECOND)):
        openings.put(MODEL, *opening, number)
        for each in (openings, Openings(store, opens=True)):
            assert each.check(MODEL) == opening[0]
            assert each.read(MODEL) == opening
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_only_of_a_model_that_is_installed(store):
    with pytest.raises(StoreError):
        Openings(store, opens=True).put(ModelHash(b"n" * 32), *FIRST, 1)


def test_an_engine_that_opens_no_models_may_always_use_them(store):
    openings = Openings(store, opens=False)
    assert openings.check(MODEL) == openings.digest(ModelHash(b"n" * 32)) == b""
    assert openings.read(MODEL) == (b"", b"")
