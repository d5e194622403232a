"""What the coordinator keeps. Results are encrypted; requests, receipts and batches are not secret."""

from pathlib import Path

from sqlalchemy import Connection, Row, bindparam, select, tuple_, update
from sqlalchemy.dialects.sqlite import insert

from mpc_infer.encoding import same_digest
from mpc_infer.errors import JobConflict, JobNotFound, ModelNotFound, ReceiptNotFound, StoreError
from mpc_infer.ids import JobId, ModelHash
from mpc_infer.store.base import Store
from mpc_infer.store.database import prepared
from mpc_infer.store.outbox import Outbox, read_receipt
from mpc_infer.store.records import JobRecord, JobState, ModelListing, NewJob, ReceiptRecord
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
_UNFINISHED = select(jobs).where(jobs.c.state < JobState.DONE).order_by(jobs.c.created_ms).limit(bindparam("limit"))
_RECEIPT = select(receipts).where(receipts.c.job_id == bindparam("job_id"))
_ADD_JOB = prepared(insert(jobs).on_conflict_do_nothing())
_FINISH = prepared(
    update(jobs)
    .where(jobs.c.job_id == bindparam("its_job"), jobs.c.state < bindparam("done"))
    .values(state=bindparam("done"), updated_ms=bindparam("updated_ms"), result=bindparam("result"))
)
_OLD = (
    select(jobs.c.job_id)
    .where(jobs.c.result.is_not(None), jobs.c.updated_ms < bindparam("before_ms"))
    .order_by(jobs.c.updated_ms)
    .limit(bindparam("limit"))
)
_DROP_RESULTS = update(jobs).where(jobs.c.job_id.in_(_OLD)).values(result=None)
_ADD_RECEIPT = prepared(insert(receipts))
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
        unset = {"result": None, "problem": None}
        row = {**vars(job), "state": int(JobState.ACCEPTED), "updated_ms": job.created_ms, **unset}
        with self._database.direct() as connection:
            if connection.execute(_ADD_JOB, row).rowcount == 1:
                return None
        known = self.job(job.job_id)
        if known.owner != job.owner or not same_digest(known.request_digest, job.request_digest):
            raise JobConflict("this job id was used before with other contents", remedy="choose a new job id")
        return known

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
        sealed = self._cipher.encrypt(result, "jobs.result", job_id)
        values = {"its_job": job_id, "done": int(JobState.DONE), "updated_ms": now_ms, "result": sealed}
        with self._database.direct() as connection:
            if connection.execute(_FINISH, values).rowcount != 1:
                raise StoreError("the job is unknown, or is over already")
            connection.execute(_ADD_RECEIPT, {"number": None, **vars(receipt)})

    def fail_job(self, job_id: JobId, problem: bytes, now_ms: int) -> None:
        """ACCEPTED or RUNNING → FAILED, with what went wrong.

        Raises:
            StoreError: the job is over already.
        """
        with self._database.write() as connection:
            before = (JobState.ACCEPTED, JobState.RUNNING)
            _move(connection, job_id, before, JobState.FAILED, now_ms, problem=problem)

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
