"""What a role keeps: models, jobs, nonces, answers, receipts and batches, in one SQLite file per role."""

from mpc_infer.store.coordinator import CoordinatorStore
from mpc_infer.store.late_sync import LateSync
from mpc_infer.store.material import MaterialCount, MaterialLedger, MaterialRecord, look
from mpc_infer.store.party import PartyStore
from mpc_infer.store.records import (
    Admission,
    Answered,
    BatchRecord,
    BatchState,
    EndedJob,
    JobRecord,
    JobState,
    ModelListing,
    NewJob,
    ReceiptRecord,
    StoredModel,
)
from mpc_infer.store.writer import Writer

__all__ = [
    "Admission",
    "Answered",
    "BatchRecord",
    "BatchState",
    "CoordinatorStore",
    "EndedJob",
    "JobRecord",
    "JobState",
    "LateSync",
    "MaterialCount",
    "MaterialLedger",
    "MaterialRecord",
    "ModelListing",
    "NewJob",
    "PartyStore",
    "ReceiptRecord",
    "StoredModel",
    "Writer",
    "look",
]
