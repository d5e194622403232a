"""What the coordinator keeps. Results are encrypted; requests, receipts and batches are not secret."""

import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, Row, bindparam, literal_column, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert

from mpc_infer.encoding import same_digest
from mpc_infer.errors import JobConflict, JobNotFound, ModelNotFound, ReceiptNotFound, StoreError
from mpc_infer.ids import JobId, ModelHash
from mpc_infer.store.base import Store
from mpc_infer.store.database import prepared
from mpc_infer.store.outbox import Outbox, read_receipt
from mpc_infer.store.records import EndedJob, JobRecord, JobState, ModelListing, NewJob, ReceiptRecord
from mpc_infer.store.tables import (
    COORDINATOR_APPLICATION_ID,
    COORDINATOR_MIGRATIONS,
    jobs,
    models,
    receipts,
)

_MODEL = select(models).where(models.c.model_hash == bindparam("model_hash"))
_PLACE = tuple_(models.c.name, models.c.version, models.c.model_hash)
_MODELS = select(models).order_by(models.c.name, models.c.version, models.c.model_hash)
_JOB = select(jobs).where(jobs.c.job_id == bindparam("job_id"))
_HAS_JOB = prepared(select(literal_column("1")).where(jobs.c.job_id == bindparam("its_job")))
_UNFINISHED = select(jobs).where(jobs.c.state < JobState.DONE).order_by(jobs.c.created_ms).limit(bindparam("limit"))
_RECEIPT = select(receipts).where(receipts.c.job_id == bindparam("job_id"))
_ADD_JOB = prepared(insert(jobs).on_conflict_do_nothing())
_OLD = (
    select(jobs.c.job_id)
    .where(jobs.c.result.is_not(None), jobs.c.updated_ms < bindparam("before_ms"))
    .order_by(jobs.c.updated_ms)
    .limit(bindparam("limit"))
)
_DROP_RESULTS = update(jobs).where(jobs.c.job_id.in_(_OLD)).values(result=None)
_ADD_RECEIPT = prepared(insert(receipts))
_END = prepared(
    update(jobs)
    .where(jobs.c.job_id == bindparam("its_job"), jobs.c.state < bindparam("done"))
    .values(
        state=bindparam("following"),
        updated_ms=bindparam("updated_ms"),
        result=bindparam("result"),
        problem=bindparam("problem"),
    )
)
_MOVE = (
    update(jobs)
    .where(jobs.c.job_id == bindparam("its_job"), jobs.c.state.in_(bindparam("before", expanding=True)))
    .values(
        state=bindparam("state"),
        updated_ms=bindparam("updated_ms"),
        problem=bindparam("problem"),
    )
)


class CoordinatorStore(Store):
    """The coordinator's database. Thread-safe; every call is one short transaction.

    ``outbox`` holds the calls for batches of receipts.

    Args:
        path: the SQLite file.
        key: 32 bytes, the keystore's storage key.

    Raises:
        StoreError: the file cannot be opened, or is another role's. Any method may raise it too.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        super().__init__(path, key, COORDINATOR_MIGRATIONS, COORDINATOR_APPLICATION_ID)
        self.outbox = Outbox(self._database)

    def put_model(self, model: ModelListing) -> None:
        """List a model. The first entry under a hash stays: its contents are what the hash says."""
        with self._database.write() as connection:
            connection.execute(insert(models).on_conflict_do_nothing(), vars(model))

    def model(self, model_hash: ModelHash) -> ModelListing:
        """A model by its hash.

        Raises:
            ModelNotFound: it is not listed.
        """
        with self._database.read() as connection:
            row = connection.execute(_MODEL, {"model_hash": model_hash}).one_or_none()
        if row is None:
            raise ModelNotFound("the coordinator lists no such model", remedy="publish it, or ask for ListModels")
        return ModelListing(**row._mapping)

    def models(self, name: str = "", *, limit: int = -1, after: ModelListing | None = None) -> list[ModelListing]:
        """Models by name and version.

        Args:
            name: only versions of this name; empty: all models.
            limit: how many at most; negative: all.
            after: only those that follow this one.
        """
        query = (_MODELS.where(models.c.name == name) if name else _MODELS).limit(limit)
        if after is not None:
            query = query.where((after.name, after.version, after.model_hash) < _PLACE)
        with self._database.read() as connection:
            return [ModelListing(**row._mapping) for row in connection.execute(query)]

    def add_job(self, job: NewJob) -> JobRecord | None:
        """Accept a job; or give back the one that was accepted under the same id with the same contents.

        Returns:
            None if the job is new, and now ACCEPTED; else the job as it stands.

        Raises:
            JobConflict: the id was used with other contents, or by another owner.
        """
        if not self.write_jobs([job], []):
            return None
        return self.same_job(job)

    def has_job(self, job_id: JobId) -> bool:
        """Whether a job was accepted under this id: what is asked of every new one, and so without ceremony."""
        return self._database.exists(_HAS_JOB, {"its_job": job_id})

    def same_job(self, job: NewJob) -> JobRecord:
        """The job that was accepted under the id of this one, with the same contents.

        Raises:
            JobNotFound: there is none under this id.
            JobConflict: the id was used with other contents, or by another owner.
        """
        known = self.job(job.job_id)
        if known.owner != job.owner or not same_digest(known.request_digest, job.request_digest):
            raise JobConflict("this job id was used before with other contents", remedy="choose a new job id")
        return known

    def write_jobs(
        self, accepted: Sequence[NewJob], ended: Sequence[EndedJob], *, durable: bool = True
    ) -> frozenset[JobId]:
        """Accept jobs, then end jobs, in one transaction: many cost hardly more than one.

        Args:
            durable: wait for the disk (see `Database.direct`).

        Returns:
            The ids of those for which nothing was written: accepted under this id before, or unknown or over already.
        """
        sealed = [self._sealed(job) for job in ended]
        with self._database.direct(durable=durable) as connection:
            refused = [job.job_id for job in accepted if not _accept(connection, job)]
            refused += [job.job_id for job in sealed if not _end(connection, job)]
        return frozenset(refused)

    def _sealed(self, job: EndedJob) -> EndedJob:
        if job.result is None:
            return job
        return replace(job, result=self._cipher.encrypt(job.result, "jobs.result", job.job_id))

    def job(self, job_id: JobId) -> JobRecord:
        """A job by its id.

        Raises:
            JobNotFound: there is none.
        """
        with self._database.read() as connection:
            row = connection.execute(_JOB, {"job_id": job_id}).one_or_none()
        if row is None:
            raise JobNotFound("there is no such job")
        return self._job(row)

    def unfinished_jobs(self, limit: int = 1000) -> list[JobRecord]:
        """Jobs that are ACCEPTED or RUNNING, oldest first: what a restart finds."""
        with self._database.read() as connection:
            return [self._job(row) for row in connection.execute(_UNFINISHED, {"limit": limit})]

    def start_job(self, job_id: JobId, now_ms: int) -> None:
        """ACCEPTED → RUNNING.

        Raises:
            StoreError: the job is not ACCEPTED.
        """
        with self._database.write() as connection:
            _move(connection, job_id, (JobState.ACCEPTED,), JobState.RUNNING, now_ms)

    def finish_job(self, job_id: JobId, result: bytes, receipt: ReceiptRecord, now_ms: int) -> None:
        """ACCEPTED or RUNNING → DONE, with its result and its receipt, in one step.

        Raises:
            StoreError: the job is over already.
        """
        self._end_one(EndedJob(job_id, now_ms, result=result, receipt=receipt))

    def fail_job(self, job_id: JobId, problem: bytes, now_ms: int) -> None:
        """ACCEPTED or RUNNING → FAILED, with what went wrong.

        Raises:
            StoreError: the job is over already.
        """
        self._end_one(EndedJob(job_id, now_ms, problem=problem))

    def _end_one(self, job: EndedJob) -> None:
        if self.write_jobs([], [job]):
            raise StoreError("the job is unknown, or is over already")

    def drop_results(self, before_ms: int, limit: int = 500) -> int:
        """Drop the oldest results of jobs that changed last before some time; their receipts stay.

        Returns:
            How many were dropped; as many as `limit` if there may be more.
        """
        with self._database.write() as connection:
            return connection.execute(_DROP_RESULTS, {"before_ms": before_ms, "limit": limit}).rowcount

    def receipt(self, job_id: JobId) -> ReceiptRecord:
        """The receipt of a job.

        Raises:
            ReceiptNotFound: the job is unknown or has none.
        """
        with self._database.read() as connection:
            row = connection.execute(_RECEIPT, {"job_id": job_id}).one_or_none()
        if row is None:
            raise ReceiptNotFound("the job has no receipt", remedy="wait until it is done")
        return read_receipt(row)

    def _job(self, row: Row[tuple[object, ...]]) -> JobRecord:
        fields = dict(row._mapping)
        if fields["result"] is not None:
            fields["result"] = self._cipher.decrypt(fields["result"], "jobs.result", fields["job_id"])
        return JobRecord(**{**fields, "state": JobState(fields["state"])})


def _accept(connection: sqlite3.Connection, job: NewJob) -> bool:
    unset = {"result": None, "problem": None}
    row = {**vars(job), "state": int(JobState.ACCEPTED), "updated_ms": job.created_ms, **unset}
    return connection.execute(_ADD_JOB, row).rowcount == 1


def _end(connection: sqlite3.Connection, job: EndedJob) -> bool:
    following = JobState.FAILED if job.receipt is None else JobState.DONE
    values = {
        "its_job": job.job_id,
        "done": int(JobState.DONE),
        "following": int(following),
        "updated_ms": job.ended_ms,
        "result": job.result,
        "problem": job.problem,
    }
    if connection.execute(_END, values).rowcount != 1:
        return False
    if job.receipt is not None:
        connection.execute(_ADD_RECEIPT, {"number": None, **vars(job.receipt)})
    return True


def _move(
    connection: Connection,
    job_id: JobId,
    before: tuple[JobState, ...],
    after: JobState,
    now_ms: int,
    problem: bytes | None = None,
) -> None:
    values = {"state": after, "updated_ms": now_ms, "problem": problem}
    changed = connection.execute(_MOVE, {"its_job": job_id, "before": before, **values})
    if changed.rowcount != 1:
        raise StoreError(f"the job is unknown, or not in a state that leads to {after.name}")
