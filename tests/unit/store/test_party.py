"""A party's store: nonces are spent before use, answers are given again, nothing secret lies open in the file."""

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mpc_infer.encoding import to_address
from mpc_infer.errors import InvalidRequest, JobConflict, ModelNotFound, NonceReplayed, StoreError
from mpc_infer.ids import JobId, ModelHash, SessionId
from mpc_infer.store import PartyStore, StoredModel
from mpc_infer.store.cipher import Cipher
from mpc_infer.store.database import Database
from mpc_infer.store.tables import PARTY_APPLICATION_ID, PARTY_MIGRATIONS
from tests.unit.store.conftest import KEY

ALICE, BOB = to_address(b"\xaa" * 20), to_address(b"\xbb" * 20)
JOB, OTHER_JOB = JobId(b"j" * 32), JobId(b"k" * 32)
NONCE, OTHER_NONCE = b"n" * 32, b"o" * 32
NOW = 1_700_000_000_000
REQUEST, OTHER_REQUEST = b"r" * 32, b"q" * 32
MODEL = StoredModel(ModelHash(b"m" * 32), b"manifest", b"graph", b"the share is secret")


def test_a_model_is_kept(path: Path, party: PartyStore) -> None:
    party.put_model(MODEL)
    assert party.model(MODEL.model_hash) == MODEL
    party.close()
    assert PartyStore(path, KEY).model(MODEL.model_hash) == MODEL


def test_the_first_model_under_a_hash_stays(party: PartyStore) -> None:
    party.put_model(MODEL)
    party.put_model(StoredModel(MODEL.model_hash, b"other", b"other", b"other"))
    assert party.model(MODEL.model_hash) == MODEL
    assert party.model_hashes() == [MODEL.model_hash]


def test_an_unknown_model(party: PartyStore) -> None:
    assert party.model_hashes() == []
    with pytest.raises(ModelNotFound):
        party.model(MODEL.model_hash)


def test_a_request_is_admitted_once_and_its_answer_given_again(path: Path, party: PartyStore) -> None:
    assert party.admit(ALICE, JOB, NONCE, REQUEST) is None
    party.put_answer(ALICE, JOB, b"answer", b"R" * 32, NOW)
    assert party.admit(ALICE, JOB, NONCE, REQUEST) == b"answer"
    party.close()
    assert PartyStore(path, KEY).admit(ALICE, JOB, NONCE, REQUEST) == b"answer"


def test_a_request_without_an_answer_is_spent(path: Path, party: PartyStore) -> None:
    party.admit(ALICE, JOB, NONCE, REQUEST)
    for store in (party, PartyStore(path, KEY)):
        with pytest.raises(NonceReplayed, match="there is no answer"):
            store.admit(ALICE, JOB, NONCE, REQUEST)


@pytest.mark.parametrize("answered", [False, True])
def test_other_contents_under_a_job_id(party: PartyStore, answered: bool) -> None:
    party.admit(ALICE, JOB, NONCE, REQUEST)
    if answered:
        party.put_answer(ALICE, JOB, b"answer", b"R" * 32, NOW)
    for nonce in (NONCE, OTHER_NONCE):
        with pytest.raises(JobConflict):
            party.admit(ALICE, JOB, nonce, OTHER_REQUEST)


def test_a_nonce_in_another_request_of_the_same_owner(party: PartyStore) -> None:
    party.admit(ALICE, JOB, NONCE, REQUEST)
    with pytest.raises(NonceReplayed, match="used before"):
        party.admit(ALICE, OTHER_JOB, NONCE, OTHER_REQUEST)
    # What was refused has left nothing behind.
    assert party.admit(ALICE, OTHER_JOB, OTHER_NONCE, OTHER_REQUEST) is None


def test_owners_do_not_collide(party: PartyStore) -> None:
    assert party.admit(ALICE, JOB, NONCE, REQUEST) is None
    assert party.admit(BOB, JOB, NONCE, OTHER_REQUEST) is None
    party.put_answer(BOB, JOB, b"for bob", b"R" * 32, NOW)
    assert party.admit(BOB, JOB, NONCE, OTHER_REQUEST) == b"for bob"
    with pytest.raises(NonceReplayed):
        party.admit(ALICE, JOB, NONCE, REQUEST)


def test_of_many_at_once_one_is_admitted(party: PartyStore) -> None:
    start = threading.Barrier(8)

    def try_it(index: int) -> bool:
        start.wait(timeout=20)
        try:
            return party.admit(ALICE, JobId(bytes([index]) * 32), NONCE, bytes([index]) * 32) is None
        except NonceReplayed:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_it, range(8))) == 1


def test_a_nonce_is_consumed_when_admit_returns(path: Path) -> None:
    """A process that dies without closing anything right after `admit` has spent the nonce."""
    code = (
        "import os, sys, pathlib; from mpc_infer.store import PartyStore\n"
        f"store = PartyStore(pathlib.Path(sys.argv[1]), {KEY!r})\n"
        f"store.admit({ALICE!r}, {bytes(JOB)!r}, {NONCE!r}, {REQUEST!r})\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=False)
    assert done.returncode == -9
    with pytest.raises(NonceReplayed):
        PartyStore(path, KEY).admit(ALICE, JOB, NONCE, REQUEST)


def test_an_answer_needs_an_admitted_request_and_is_written_once(party: PartyStore) -> None:
    with pytest.raises(StoreError):
        party.put_answer(ALICE, JOB, b"answer", b"R" * 32, NOW)
    assert party.unsigned([b"R" * 32]) == [b"R" * 32]
    party.admit(ALICE, JOB, NONCE, REQUEST)
    party.put_answer(ALICE, JOB, b"answer", b"R" * 32, NOW)
    with pytest.raises(StoreError):
        party.put_answer(ALICE, JOB, b"other answer", b"S" * 32, NOW)
    assert party.admit(ALICE, JOB, NONCE, REQUEST) == b"answer"
    assert party.unsigned([b"R" * 32, b"S" * 32]) == [b"S" * 32]


def test_signed_receipts_in_bulk(party: PartyStore) -> None:
    digests = [index.to_bytes(32, "big") for index in range(1300)]
    party.add_signed_receipts(digests[:1200])
    party.add_signed_receipts(digests[:3])
    party.add_signed_receipts([])
    assert party.unsigned(digests[:1200]) == []
    assert party.unsigned(digests) == digests[1200:]
    assert party.unsigned([]) == []
    assert party.unsigned([digests[1250], digests[0], digests[1250]]) == [digests[1250], digests[1250]]


def test_nothing_secret_lies_open(path: Path, party: PartyStore) -> None:
    party.put_model(MODEL)
    party.admit(ALICE, JOB, NONCE, REQUEST)
    party.put_answer(ALICE, JOB, b"the answer is secret", b"R" * 32, NOW)
    party.close()
    data = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"manifest" in data
    assert b"secret" not in data
    assert KEY not in data
    assert b"secret" not in repr(MODEL).encode()


def test_another_key(path: Path, party: PartyStore) -> None:
    party.put_model(MODEL)
    with pytest.raises(StoreError, match="cannot be decrypted"):
        PartyStore(path, bytes(32)).model(MODEL.model_hash)


def test_rows_that_were_swapped(path: Path, party: PartyStore) -> None:
    other = StoredModel(ModelHash(b"o" * 32), b"manifest", b"graph", b"another share")
    party.put_model(MODEL)
    party.put_model(other)
    with sqlite3.connect(path) as connection:
        stolen = connection.execute("SELECT share FROM models WHERE model_hash = ?", (other.model_hash,)).fetchone()
        connection.execute("UPDATE models SET share = ? WHERE model_hash = ?", (*stolen, MODEL.model_hash))
    with pytest.raises(StoreError, match="cannot be decrypted"):
        party.model(MODEL.model_hash)


def test_the_answer_to_the_same_contents_and_to_no_others(party: PartyStore) -> None:
    assert party.answer(ALICE, JOB, REQUEST) is None
    party.admit(ALICE, JOB, NONCE, REQUEST)
    assert party.answer(ALICE, JOB, REQUEST) is None
    party.put_answer(ALICE, JOB, b"answer", b"R" * 32, NOW)
    assert party.answer(ALICE, JOB, REQUEST) == b"answer"
    assert party.answer(ALICE, JOB, OTHER_REQUEST) is None
    assert party.answer(BOB, JOB, REQUEST) is None


def test_a_session_id_is_used_once_and_a_refusal_spends_nothing(path: Path, party: PartyStore) -> None:
    session = SessionId(b"s" * 16)
    assert party.admit(ALICE, JOB, NONCE, REQUEST, session) is None
    for store in (party, PartyStore(path, KEY)):
        with pytest.raises(InvalidRequest, match="begun before"):
            store.admit(BOB, OTHER_JOB, OTHER_NONCE, OTHER_REQUEST, session)
    assert party.admit(BOB, OTHER_JOB, OTHER_NONCE, OTHER_REQUEST, SessionId(b"t" * 16)) is None


def test_old_answers_are_dropped_in_steps_and_their_requests_stay_spent(path: Path, party: PartyStore) -> None:
    for index in range(5):
        job = JobId(bytes([index]) * 32)
        party.admit(ALICE, job, bytes([index]) * 32, REQUEST)
        party.put_answer(ALICE, job, b"the answer is secret", bytes([index]) * 32, NOW + index)
    assert [party.drop_answers(NOW + 4, limit=3) for _ in range(3)] == [3, 1, 0]
    assert party.answer(ALICE, JobId(bytes([4]) * 32), REQUEST) == b"the answer is secret"
    for index in range(4):
        assert party.answer(ALICE, JobId(bytes([index]) * 32), REQUEST) is None
        with pytest.raises(NonceReplayed):
            party.admit(ALICE, JobId(bytes([index]) * 32), bytes([index]) * 32, REQUEST)
    assert party.unsigned([bytes([index]) * 32 for index in range(5)]) == []


def test_a_database_of_the_version_before_is_brought_up_to_date(path: Path) -> None:
    old = Database(path, PARTY_MIGRATIONS[:1], PARTY_APPLICATION_ID)
    sealed = Cipher(KEY).encrypt(b"answer", "requests.answer", ALICE.encode(), JOB)
    with old.direct() as connection:
        connection.execute("INSERT INTO nonces VALUES (?, ?, ?)", (ALICE, NONCE, JOB))
        connection.execute("INSERT INTO requests VALUES (?, ?, ?, ?)", (ALICE, JOB, REQUEST, sealed))
    old.close()
    store = PartyStore(path, KEY)
    assert store.drop_answers(NOW) == 0
    assert store.answer(ALICE, JOB, REQUEST) == b"answer"
    assert store.drop_answers(1 << 60) == 1
