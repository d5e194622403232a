"""What a party keeps. Shares and answers are encrypted; digests, nonces and graphs are not secret."""

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from sqlalchemy import bindparam, null, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert

from mpc_infer.encoding import same_digest
from mpc_infer.errors import (
    InvalidRequest,
    JobConflict,
    ModelNotFound,
    MpcInferError,
    NonceReplayed,
    StoreError,
)
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash, SessionId
from mpc_infer.store.base import Store
from mpc_infer.store.database import prepared
from mpc_infer.store.material import MaterialLedger, consume
from mpc_infer.store.records import Admission, Answered, StoredModel
from mpc_infer.store.tables import (
    PARTY_APPLICATION_ID,
    PARTY_MIGRATIONS,
    party_model_openings,
    party_models,
    party_nonces,
    party_requests,
    party_sessions,
    party_signed_receipts,
)

_CHUNK = 500
_OPENING = select(party_model_openings).where(party_model_openings.c.model_hash == bindparam("model_hash"))
_OPENINGS = select(party_model_openings.c.model_hash, party_model_openings.c.digest)
_MODEL = select(party_models).where(party_models.c.model_hash == bindparam("model_hash"))
_REQUEST = prepared(
    select(party_requests.c.request_digest, party_requests.c.answer).where(
        party_requests.c.owner == bindparam("owner"), party_requests.c.job_id == bindparam("job_id")
    )
)
_ADD_NONCE = prepared(insert(party_nonces).on_conflict_do_nothing())
_ADD_REQUEST = prepared(insert(party_requests))
_ADD_SESSION = prepared(insert(party_sessions).on_conflict_do_nothing())
_ANSWER = prepared(
    update(party_requests)
    .where(party_requests.c.owner == bindparam("its_owner"), party_requests.c.job_id == bindparam("its_job"))
    .where(party_requests.c.answer.is_(None))
    .values(answer=bindparam("answer"), answered_ms=bindparam("answered_ms"))
)
_OLD = (
    select(party_requests.c.owner, party_requests.c.job_id)
    .where(party_requests.c.answered_ms < bindparam("before_ms"))
    .limit(bindparam("limit"))
)
_DROP = (
    update(party_requests)
    .where(tuple_(party_requests.c.owner, party_requests.c.job_id).in_(_OLD))
    .values(answer=null(), answered_ms=null())
)
_ADD_SIGNED = prepared(insert(party_signed_receipts).on_conflict_do_nothing())
_KNOWN = select(party_signed_receipts.c.digest).where(
    party_signed_receipts.c.digest.in_(bindparam("digests", expanding=True))
)


class PartyStore(Store):
    """A party's database. Thread-safe; every call is one short transaction. `material` is its ledger of material.

    Args:
        path: the SQLite file.
        key: 32 bytes, the keystore's storage key.

    Raises:
        StoreError: the file cannot be opened, or is another role's. Any method may raise it too.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        super().__init__(path, key, PARTY_MIGRATIONS, PARTY_APPLICATION_ID)
        self.material = MaterialLedger(self._database)

    def put_model(self, model: StoredModel) -> None:
        """Keep a model. The first version under a hash stays: its contents are what the hash says."""
        share = self._cipher.encrypt(model.share, "models.share", model.model_hash)
        row = {"model_hash": model.model_hash, "manifest": model.manifest, "graph": model.graph, "share": share}
        row["public_weights"] = model.public_weights
        with self._database.write() as connection:
            connection.execute(insert(party_models).on_conflict_do_nothing(), row)

    def model(self, model_hash: ModelHash) -> StoredModel:
        """A model with its opened share.

        Raises:
            ModelNotFound: this party does not hold it.
        """
        with self._database.read() as connection:
            row = connection.execute(_MODEL, {"model_hash": model_hash}).one_or_none()
        if row is None:
            raise ModelNotFound("this party holds no share of that model", remedy="publish the model first")
        share = self._cipher.decrypt(row.share, "models.share", model_hash)
        return StoredModel(model_hash, row.manifest, row.graph, share, row.public_weights)

    def model_hashes(self) -> list[ModelHash]:
        """All models that this party holds."""
        with self._database.read() as connection:
            return [ModelHash(value) for value in connection.execute(select(party_models.c.model_hash)).scalars()]

    def put_opening(self, model_hash: ModelHash, digest: bytes, opening: bytes, now_ms: int) -> None:
        """Keep what a model was opened to, instead of what it was opened to before.

        Args:
            model_hash: of a model that is installed.
            digest: 32 bytes, the same at all parties.
            opening: secret; encrypted here.
            now_ms: Unix milliseconds.
        """
        sealed = self._cipher.encrypt(opening, "model_openings.opening", model_hash, digest)
        row = {"model_hash": model_hash, "digest": digest, "opening": sealed, "opened_ms": now_ms}
        with self._database.write() as connection:
            connection.execute(insert(party_model_openings).prefix_with("OR REPLACE"), row)

    def opening(self, model_hash: ModelHash) -> tuple[bytes, bytes] | None:
        """Digest and contents of what a model was opened to last; None: never."""
        with self._database.read() as connection:
            row = connection.execute(_OPENING, {"model_hash": model_hash}).one_or_none()
        if row is None:
            return None
        return row.digest, self._cipher.decrypt(row.opening, "model_openings.opening", model_hash, row.digest)

    def opening_digests(self) -> dict[ModelHash, bytes]:
        """The digest of every model that was opened."""
        with self._database.read() as connection:
            return {ModelHash(row.model_hash): row.digest for row in connection.execute(_OPENINGS)}

    def admit(
        self,
        session_id: SessionId,
        requests: Sequence[Admission],
        material_id: MaterialId | None = None,
        now_ms: int = 0,
    ) -> list[bytes | MpcInferError | None]:
        """Consume a session's nonces and its material, durably and at once, before anything is computed.

        For each request:

        1. The same request was answered: its place in what is returned has that answer.
        2. The job id is known with another request: its place has a JobConflict.
        3. The request was begun before, or its nonce used by this owner in whatever request: a NonceReplayed.
        4. Write job id, request digest, nonce and session id; its place has None: the caller may compute it, once.

        Then, if there is any of the last kind:

        5. A session of that id was begun before, for whatever requests: refuse all. The lanes rely on it: a frame names
           its session, and must not be taken for one of another session.
        6. The material was used or given up before: refuse all.

        A request whose session failed is spent: sent again, it is refused in step 3.

        Args:
            session_id: 16 bytes.
            requests: of different job ids.
            material_id: made ahead; None: it will be made in the session.
            now_ms: when the material is consumed, in Unix milliseconds.

        Raises:
            InvalidRequest: step 5. MaterialUnusable: step 6. Nothing was consumed.
        """
        with self._database.direct() as connection:
            verdicts = [self._admit(connection, session_id, request) for request in requests]
            if None in verdicts:
                if connection.execute(_ADD_SESSION, {"session_id": session_id}).rowcount != 1:
                    raise InvalidRequest("a session of this id was begun before", remedy="choose a fresh session id")
                if material_id is not None:
                    consume(connection, material_id, now_ms)
        return verdicts

    def _admit(
        self, connection: sqlite3.Connection, session_id: SessionId, request: Admission
    ) -> bytes | MpcInferError | None:
        owner, job_id = request.owner, request.job_id
        row = connection.execute(_REQUEST, {"owner": owner, "job_id": job_id}).fetchone()
        if row is not None:
            return self._known(request, *row)
        added = connection.execute(_ADD_NONCE, {"owner": owner, "nonce": request.nonce, "job_id": job_id})
        if added.rowcount != 1:
            return NonceReplayed("this nonce was used before by the same owner", remedy="make a new request")
        values = {"owner": owner, "job_id": job_id, "request_digest": request.request_digest}
        unanswered = {"session_id": session_id, "answer": None, "answered_ms": None}
        connection.execute(_ADD_REQUEST, values | unanswered)
        return None

    def answer(self, owner: Address, job_id: JobId, request_digest: bytes) -> bytes | None:
        """The answer stored for a request; None if there is none, or one to other contents."""
        with self._database.direct() as connection:
            row = connection.execute(_REQUEST, {"owner": owner, "job_id": job_id}).fetchone()
        if row is None or row[1] is None or not same_digest(row[0], request_digest):
            return None
        return self._cipher.decrypt(row[1], "requests.answer", owner.encode(), job_id)

    def drop_answers(self, before_ms: int, limit: int = 500) -> int:
        """Drop answers that were stored before a time, oldest or not; requests, nonces and receipts stay known.

        Args:
            before_ms: the time.
            limit: most answers dropped in this one transaction.

        Returns:
            How many were dropped; 0: there is none left.
        """
        with self._database.write() as connection:
            return connection.execute(_DROP, {"before_ms": before_ms, "limit": limit}).rowcount

    def put_answers(self, answers: Sequence[Answered], now_ms: int) -> None:
        """Keep the answers to admitted requests, and that this party signed the receipts in them, in one step.

        Nobody waits for the disk (see `Database.direct`): the admissions are on it already, so that nothing can run
        twice; an answer that a loss of power takes is still at the coordinator, and the signature in it reminds this
        party of the receipt.

        Raises:
            StoreError: a request was never admitted, or has an answer; nothing was kept.
        """
        rows = [
            {
                "its_owner": one.owner,
                "its_job": one.job_id,
                "answer": self._cipher.encrypt(one.answer, "requests.answer", one.owner.encode(), one.job_id),
                "answered_ms": now_ms,
            }
            for one in answers
        ]
        with self._database.direct(durable=False) as connection:
            for row in rows:
                if connection.execute(_ANSWER, row).rowcount != 1:
                    raise StoreError("there is no admitted request without an answer under that job id")
            _add_signed(connection, [one.receipt_digest for one in answers])

    def add_signed_receipts(self, digests: Iterable[bytes]) -> None:
        """Remember receipts that this party signed."""
        with self._database.direct() as connection:
            _add_signed(connection, list(digests))

    def unsigned(self, digests: Sequence[bytes]) -> list[bytes]:
        """Those of some receipt digests that this party did not sign, in their order; empty: it signed all."""
        known: set[bytes] = set()
        with self._database.read() as connection:
            for start in range(0, len(digests), _CHUNK):
                known.update(connection.execute(_KNOWN, {"digests": digests[start : start + _CHUNK]}).scalars())
        return [digest for digest in digests if digest not in known]

    def _known(self, request: Admission, stored_digest: bytes, answer: bytes | None) -> bytes | MpcInferError:
        if not same_digest(stored_digest, request.request_digest):
            return JobConflict("this job id was used before with other contents", remedy="choose a new job id")
        if answer is None:
            return NonceReplayed(
                "this request was run before, and there is no answer or none any more",
                remedy="submit the input again as a new job",
            )
        return self._cipher.decrypt(answer, "requests.answer", request.owner.encode(), request.job_id)


def _add_signed(connection: sqlite3.Connection, digests: list[bytes]) -> None:
    connection.executemany(_ADD_SIGNED, [{"digest": digest} for digest in digests])
