"""A party's store: nonces are spent before use, answers are given again, nothing secret lies open in the file."""

import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest

from mpc_infer.encoding import to_address
from mpc_infer.errors import (
    InvalidRequest,
    JobConflict,
    MaterialUnusable,
    ModelNotFound,
    MpcInferError,
    NonceReplayed,
    StoreError,
)
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId
from mpc_infer.store import Admission, Answered, PartyStore, StoredModel
from mpc_infer.store.cipher import Cipher
from mpc_infer.store.database import Database
from mpc_infer.store.material import MaterialRecord
from mpc_infer.store.tables import PARTY_APPLICATION_ID, PARTY_MIGRATIONS
from tests.unit.store.conftest import KEY

ALICE, BOB = to_address(b"\xaa" * 20), to_address(b"\xbb" * 20)
JOB, OTHER_JOB = JobId(b"j" * 32), JobId(b"k" * 32)
NONCE, OTHER_NONCE = b"n" * 32, b"o" * 32
NOW = 1_700_000_000_000
REQUEST, OTHER_REQUEST = b"r" * 32, b"q" * 32
SESSIONS = (SessionId(number.to_bytes(16, "big")) for number in count())
MODEL = StoredModel(ModelHash(b"m" * 32), b"manifest", b"graph", b"the share is secret")


def admit(store: PartyStore, owner: Address, job: JobId, nonce: bytes, request: bytes) -> bytes | None:
    """One request in a session of its own."""
    (verdict,) = store.admit(next(SESSIONS), [Admission(owner, job, nonce, request)])
    if isinstance(verdict, MpcInferError):
        raise verdict
    return verdict


def put_answer(store: PartyStore, owner: Address, job: JobId, answer: bytes, receipt: bytes, now_ms: int) -> None:
    store.put_answers([Answered(owner, job, answer, receipt)], now_ms)


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
    assert admit(party, ALICE, JOB, NONCE, REQUEST) is None
    put_answer(party, ALICE, JOB, b"answer", b"R" * 32, NOW)
    assert admit(party, ALICE, JOB, NONCE, REQUEST) == b"answer"
    party.close()
    assert admit(PartyStore(path, KEY), ALICE, JOB, NONCE, REQUEST) == b"answer"


def test_a_request_without_an_answer_is_spent(path: Path, party: PartyStore) -> None:
    admit(party, ALICE, JOB, NONCE, REQUEST)
    for store in (party, PartyStore(path, KEY)):
        with pytest.raises(NonceReplayed, match="there is no answer"):
            admit(store, ALICE, JOB, NONCE, REQUEST)


@pytest.mark.parametrize("answered", [False, True])
def test_other_contents_under_a_job_id(party: PartyStore, answered: bool) -> None:
    admit(party, ALICE, JOB, NONCE, REQUEST)
    if answered:
        put_answer(party, ALICE, JOB, b"answer", b"R" * 32, NOW)
    for nonce in (NONCE, OTHER_NONCE):
        with pytest.raises(JobConflict):
            admit(party, ALICE, JOB, nonce, OTHER_REQUEST)


def test_a_nonce_in_another_request_of_the_same_owner(party: PartyStore) -> None:
    admit(party, ALICE, JOB, NONCE, REQUEST)
    with pytest.raises(NonceReplayed, match="used before"):
        admit(party, ALICE, OTHER_JOB, NONCE, OTHER_REQUEST)
    # What was refused has left nothing behind.
    assert admit(party, ALICE, OTHER_JOB, OTHER_NONCE, OTHER_REQUEST) is None


def test_owners_do_not_collide(party: PartyStore) -> None:
    assert admit(party, ALICE, JOB, NONCE, REQUEST) is None
    assert admit(party, BOB, JOB, NONCE, OTHER_REQUEST) is None
    put_answer(party, BOB, JOB, b"for bob", b"R" * 32, NOW)
    assert admit(party, BOB, JOB, NONCE, OTHER_REQUEST) == b"for bob"
    with pytest.raises(NonceReplayed):
        admit(party, ALICE, JOB, NONCE, REQUEST)


def test_of_many_at_once_one_is_admitted(party: PartyStore) -> None:
    start = threading.Barrier(8)

    def try_it(index: int) -> bool:
        start.wait(timeout=20)
        try:
            return admit(party, ALICE, JobId(bytes([index]) * 32), NONCE, bytes([index]) * 32) is None
        except NonceReplayed:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_it, range(8))) == 1


def test_a_nonce_is_consumed_when_admit_returns(path: Path) -> None:
    """A process that dies without closing anything right after `admit` has spent the nonce."""
    code = (
        "import os, sys, pathlib; from mpc_infer.store import Admission, PartyStore\n"
        f"store = PartyStore(pathlib.Path(sys.argv[1]), {KEY!r})\n"
        f"store.admit(bytes(16), [Admission({ALICE!r}, {bytes(JOB)!r}, {NONCE!r}, {REQUEST!r})])\n"
        "os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60, check=False)
    assert done.returncode == -9
    with pytest.raises(NonceReplayed):
        admit(PartyStore(path, KEY), ALICE, JOB, NONCE, REQUEST)


def test_an_answer_needs_an_admitted_request_and_is_written_once(party: PartyStore) -> None:
    with pytest.raises(StoreError):
        put_answer(party, ALICE, JOB, b"answer", b"R" * 32, NOW)
    assert party.unsigned([b"R" * 32]) == [b"R" * 32]
    admit(party, ALICE, JOB, NONCE, REQUEST)
    put_answer(party, ALICE, JOB, b"answer", b"R" * 32, NOW)
    with pytest.raises(StoreError):
        put_answer(party, ALICE, JOB, b"other answer", b"S" * 32, NOW)
    assert admit(party, ALICE, JOB, NONCE, REQUEST) == b"answer"
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
    admit(party, ALICE, JOB, NONCE, REQUEST)
    put_answer(party, ALICE, JOB, b"the answer is secret", b"R" * 32, NOW)
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
    admit(party, ALICE, JOB, NONCE, REQUEST)
    assert party.answer(ALICE, JOB, REQUEST) is None
    put_answer(party, ALICE, JOB, b"answer", b"R" * 32, NOW)
    assert party.answer(ALICE, JOB, REQUEST) == b"answer"
    assert party.answer(ALICE, JOB, OTHER_REQUEST) is None
    assert party.answer(BOB, JOB, REQUEST) is None


def test_a_session_id_is_used_once_and_a_refusal_spends_nothing(path: Path, party: PartyStore) -> None:
    session, other = SessionId(b"s" * 16), Admission(BOB, OTHER_JOB, OTHER_NONCE, OTHER_REQUEST)
    assert party.admit(session, [Admission(ALICE, JOB, NONCE, REQUEST)]) == [None]
    for store in (party, PartyStore(path, KEY)):
        with pytest.raises(InvalidRequest, match="begun before"):
            store.admit(session, [other])
    assert party.admit(SessionId(b"t" * 16), [other]) == [None]


def test_requests_of_one_session_are_judged_one_by_one_and_spent_together(party: PartyStore) -> None:
    admit(party, ALICE, JOB, NONCE, REQUEST)
    put_answer(party, ALICE, JOB, b"answer", b"R" * 32, NOW)
    jobs = [JobId(bytes([index]) * 32) for index in range(3)]
    session = SessionId(b"s" * 16)
    verdicts = party.admit(
        session,
        [
            Admission(ALICE, JOB, NONCE, REQUEST),
            Admission(ALICE, jobs[0], NONCE, OTHER_REQUEST),
            Admission(ALICE, jobs[1], OTHER_NONCE, OTHER_REQUEST),
            Admission(ALICE, jobs[2], OTHER_NONCE, OTHER_REQUEST),
            Admission(BOB, jobs[0], OTHER_NONCE, OTHER_REQUEST),
        ],
    )
    assert verdicts[0] == b"answer"
    assert [type(verdict) for verdict in verdicts[1:]] == [NonceReplayed, type(None), NonceReplayed, type(None)]
    party.put_answers([Answered(ALICE, jobs[1], b"one", b"S" * 32), Answered(BOB, jobs[0], b"two", b"T" * 32)], NOW)
    assert party.answer(BOB, jobs[0], OTHER_REQUEST) == b"two"
    with pytest.raises(StoreError):
        party.put_answers([Answered(ALICE, jobs[1], b"again", b"U" * 32)], NOW)


def test_a_session_that_admits_nothing_is_not_begun(party: PartyStore) -> None:
    admit(party, ALICE, JOB, NONCE, REQUEST)
    session = SessionId(b"s" * 16)
    (verdict,) = party.admit(session, [Admission(ALICE, JOB, NONCE, REQUEST)], MaterialId(b"m" * 16))
    assert isinstance(verdict, NonceReplayed)
    assert party.admit(session, [Admission(BOB, JOB, NONCE, REQUEST)]) == [None]


def test_material_that_cannot_be_consumed_undoes_everything(party: PartyStore) -> None:
    session, request = SessionId(b"s" * 16), Admission(ALICE, JOB, NONCE, REQUEST)
    with pytest.raises(MaterialUnusable):
        party.admit(session, [request], MaterialId(b"m" * 16), NOW)
    record = MaterialRecord(MaterialId(b"m" * 16), 0, MODEL.model_hash, b"", b"p" * 32, 1, 100)
    party.material.add([record], NOW)
    assert party.admit(session, [request], record.material_id, NOW) == [None]
    assert party.material.ready() == []


def test_old_answers_are_dropped_in_steps_and_their_requests_stay_spent(path: Path, party: PartyStore) -> None:
    for index in range(5):
        job = JobId(bytes([index]) * 32)
        admit(party, ALICE, job, bytes([index]) * 32, REQUEST)
        put_answer(party, ALICE, job, b"the answer is secret", bytes([index]) * 32, NOW + index)
    assert [party.drop_answers(NOW + 4, limit=3) for _ in range(3)] == [3, 1, 0]
    assert party.answer(ALICE, JobId(bytes([4]) * 32), REQUEST) == b"the answer is secret"
    for index in range(4):
        assert party.answer(ALICE, JobId(bytes([index]) * 32), REQUEST) is None
        with pytest.raises(NonceReplayed):
            admit(party, ALICE, JobId(bytes([index]) * 32), bytes([index]) * 32, REQUEST)
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
