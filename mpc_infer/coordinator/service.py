"""What the coordinator does for its callers. There is no gRPC in it."""

import time
from collections.abc import AsyncIterator

from mpc_infer.chain.records import ContractAddresses
from mpc_infer.coordinator.accept import Rules
from mpc_infer.coordinator.answers import answer_of, complete
from mpc_infer.coordinator.board import Board
from mpc_infer.coordinator.floor import Floor
from mpc_infer.coordinator.jobs import Jobs
from mpc_infer.coordinator.parties import Directory
from mpc_infer.coordinator.publish import Publisher
from mpc_infer.coordinator.signing import split_signatures
from mpc_infer.coordinator.state import TERMINAL
from mpc_infer.encoding import address_bytes
from mpc_infer.errors import InvalidRequest, JobNotFound, ModelNotFound
from mpc_infer.evidence import merkle
from mpc_infer.ids import Address, JobId, ModelHash
from mpc_infer.rpc.messages import DIGEST_BYTES, exactly, signature_to
from mpc_infer.store import BatchRecord, BatchState, CoordinatorStore, JobRecord, ModelListing, ReceiptRecord
from mpc_infer.v1 import common_pb2, coordinator_pb2

MAX_NAME = 64
MAX_MODELS = 10
"""Models in one answer: a manifest and a graph have up to 5 MiB, a message 64 MiB."""
JOB_ID_BYTES = 32


class CoordinatorService:
    """The one door for clients.

    Args:
        floor: parties, lanes and store.
        rules: the domain and party set of jobs.
        contracts: for GetNetwork.
        watch_s: longest life of one watch.
    """

    def __init__(
        self,
        floor: Floor,
        rules: Rules,
        contracts: ContractAddresses,
        *,
        jobs: Jobs,
        board: Board,
        directory: Directory,
        publisher: Publisher,
        watch_s: float,
    ) -> None:
        self._floor = floor
        self._rules = rules
        self._contracts = contracts
        self._jobs = jobs
        self._board = board
        self._directory = directory
        self._publisher = publisher
        self._watch_s = watch_s

    async def network(self) -> coordinator_pb2.GetNetworkResponse:
        """The chain, the contracts and the party set.

        Raises:
            Unavailable: a party that was never reached does not answer.
        """
        contracts = self._contracts
        return coordinator_pb2.GetNetworkResponse(
            chain_id=self._rules.domain.chain_id,
            party_registry=address_bytes(contracts.party_registry),
            model_registry=address_bytes(contracts.model_registry),
            receipt_anchor=address_bytes(contracts.receipt_anchor),
            party_set=self._rules.party_set,
            parties=await self._directory.infos(),
        )

    async def publish(
        self, message: coordinator_pb2.PublishModelRequest, caller: Address
    ) -> coordinator_pb2.PublishModelResponse:
        """Install a model at every party; see Publisher.publish."""
        return await self._publisher.publish(message, caller)

    async def models(self, request: coordinator_pb2.ListModelsRequest) -> coordinator_pb2.ListModelsResponse:
        """The models that the parties hold, for every caller: manifests and graphs are not secret, only weights are.

        Raises:
            InvalidRequest: the name is too long, or a hash has not 32 bytes.
            ModelNotFound: `after` names no model.
        """
        if len(request.name) > MAX_NAME:
            raise InvalidRequest(f"a model's name has at most {MAX_NAME} characters")
        listed = await self._floor.ledger.read(lambda store: _listed(store, request))
        summaries = (
            coordinator_pb2.ModelSummary(model_hash=each.model_hash, manifest=each.manifest, graph=each.graph)
            for each in listed
        )
        return coordinator_pb2.ListModelsResponse(models=summaries)

    async def submit(self, message: coordinator_pb2.SubmitJobRequest, caller: Address) -> coordinator_pb2.Job:
        """Check a job, run it once, and return its answer; with `detach`, as soon as it is stored.

        Raises:
            Refused: the form, the sender or the deadline is wrong, or the id is taken. Nothing was stored.
            Unavailable: too many jobs wait. Nothing was stored.
        """
        job = self._rules.accept(message, caller)
        return await self._jobs.submit(job, detach=message.detach)

    async def job(self, job_id: bytes, caller: Address) -> coordinator_pb2.Job:
        """A job of the caller's.

        Raises:
            JobNotFound: there is none with this id, or it is somebody else's, or its result is no longer kept.
        """
        return complete(await self._job(job_id, caller))

    async def watch(self, job_id: bytes, caller: Address) -> AsyncIterator[coordinator_pb2.Job]:
        """A job now and at every change, until it is over or the watch has lived its time.

        Raises:
            JobNotFound: there is none with this id, or it is somebody else's.
            Unavailable: too many watch.
        """
        until, last = time.monotonic() + self._watch_s, None
        with self._board.watched(_job_id(job_id)) as bell:
            while await bell.wait(until - time.monotonic()):
                job = await self._job(job_id, caller)
                if job.state != last:
                    last = job.state
                    yield job
                if int(job.state) in TERMINAL:
                    return

    async def receipt(self, job_id: bytes, caller: Address) -> coordinator_pb2.GetReceiptResponse:
        """A job's receipt, with its inclusion proof once its batch is signed.

        Raises:
            JobNotFound: there is no such job, or it is somebody else's.
            ReceiptNotFound: the job is not done.
        """
        record = await self._owned(job_id, caller)
        return await self._floor.ledger.read(lambda store: self._read_receipt(store, record.job_id))

    async def _job(self, job_id: bytes, caller: Address) -> coordinator_pb2.Job:
        record = await self._owned(job_id, caller)
        return answer_of(record, self._jobs.live_state(record.job_id))

    async def _owned(self, job_id: bytes, caller: Address) -> JobRecord:
        record = await self._floor.ledger.read(lambda store: store.job(_job_id(job_id)))
        if record.owner != caller:
            raise JobNotFound("there is no such job")
        return record

    def _read_receipt(self, store: CoordinatorStore, job_id: JobId) -> coordinator_pb2.GetReceiptResponse:
        record = store.receipt(job_id)
        response = coordinator_pb2.GetReceiptResponse(receipt=common_pb2.SignedReceipt.FromString(record.signed))
        if record.batch_root is not None:
            batch = store.outbox.batch(record.batch_root)
            if batch.state in (BatchState.SIGNED, BatchState.ANCHORED):
                response.inclusion.CopyFrom(_inclusion(record, batch, self._floor.members))
        return response


def _listed(store: CoordinatorStore, request: coordinator_pb2.ListModelsRequest) -> list[ModelListing]:
    if request.model_hash:
        try:
            found = store.model(ModelHash(exactly(request.model_hash, DIGEST_BYTES, "model_hash")))
        except ModelNotFound:
            return []
        return [found] if request.name in ("", found.name) else []
    after = store.model(ModelHash(exactly(request.after, DIGEST_BYTES, "after"))) if request.after else None
    return store.models(request.name, limit=min(request.limit or MAX_MODELS, MAX_MODELS), after=after)


def _job_id(job_id: bytes) -> JobId:
    if len(job_id) != JOB_ID_BYTES:
        raise InvalidRequest(f"a job id has {JOB_ID_BYTES} bytes")
    return JobId(job_id)


def _inclusion(record: ReceiptRecord, batch: BatchRecord, members: tuple[Address, ...]) -> common_pb2.Inclusion:
    index = record.batch_index or 0
    signatures = split_signatures(batch.signatures or b"")
    return common_pb2.Inclusion(
        index=index,
        size=len(batch.digests),
        path=merkle.inclusion_path(batch.digests, index),
        root=batch.root,
        signatures=[signature_to(member, signature) for member, signature in zip(members, signatures, strict=True)],
        transaction=batch.transaction or b"",
        block=batch.block or 0,
        gas_used=batch.gas_used or 0,
    )
