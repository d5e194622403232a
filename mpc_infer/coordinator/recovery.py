"""Jobs that a crash of the coordinator left unfinished: the parties may have answered them already.

With a job is stored what asks the parties for it again: its signed request, not the inputs. A party that answered the
request gives its stored answer; one that computes it still, whatever jobs it shares its session with, lets us wait for
it; any other refuses, for there is nothing to compute on. So nothing runs twice, and no result that every party
released is lost.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from mpc_infer.clock import Clock
from mpc_infer.coordinator.accept import AcceptedJob
from mpc_infer.coordinator.collect import Collected, verdict
from mpc_infer.coordinator.material import NO_MATERIAL
from mpc_infer.coordinator.parties import PartyDoor, on_all
from mpc_infer.coordinator.session import Run, one_each, party_job
from mpc_infer.errors import MpcInferError, SessionAborted, StoreError, Unavailable
from mpc_infer.evidence.eip712 import Domain, JobRequest
from mpc_infer.ids import JobId, SessionId
from mpc_infer.store import JobRecord
from mpc_infer.v1 import common_pb2, coordinator_pb2, party_pb2

SHORTEST_S = 10.0
"""How long the parties are asked for a job whose deadline has passed: they may be starting, too."""
PAUSE_S = 0.25
NO_INPUT = common_pb2.SealedBox(suite=common_pb2.SEALING_SUITE_X25519, key_id=bytes(32))


def memo(job: AcceptedJob) -> bytes:
    """What is stored with a job to ask the parties for its answer later. Nothing in it is secret."""
    return party_job(job.message, NO_INPUT).SerializeToString()


@dataclass(frozen=True)
class Recovery:
    """Asks the parties for what they have answered.

    Attributes:
        domain: the EIP-712 domain of receipts.
        longest_s: longest wait for one job, whatever its deadline.
    """

    parties: Sequence[PartyDoor]
    domain: Domain
    clock: Clock
    longest_s: float

    async def answer(self, record: JobRecord) -> Collected:
        """The answer that all parties stored to an unfinished job.

        Raises:
            SessionAborted: a party has none, or cannot be reached in time; `party` names it.
        """
        run = self._recalled(record)
        members = [party.address for party in self.parties]
        try:
            answers = await on_all(self.parties, lambda party: self._ask(party, run))
            return verdict(run.jobs[0], answers, members, self.domain)
        except MpcInferError as error:
            raise SessionAborted(
                f"the coordinator was restarted while the job was under way; not all parties answered it: {error}",
                remedy="submit the input again as a new job",
                party=error.party,
            ) from error

    async def _ask(self, party: PartyDoor, run: Run) -> party_pb2.PartyAnswer:
        loop = asyncio.get_running_loop()
        end = loop.time() + run.timeout_s
        while True:
            try:
                answer: party_pb2.RunSessionResponse
                answer = await party.call("RunSession", run.request(party.index), end - loop.time())
                return one_each(party.index, answer, run).answers[0]
            except Unavailable:
                if loop.time() + PAUSE_S >= end:
                    raise
            except MpcInferError as error:
                error.party = party.index if error.party is None else error.party
                raise
            await asyncio.sleep(PAUSE_S)

    def _recalled(self, record: JobRecord) -> Run:
        stored = _read(record)
        request = JobRequest.from_words(stored.job_request)
        submission = coordinator_pb2.SubmitJobRequest(
            job_request=stored.job_request,
            owner_signature=stored.owner_signature,
            input_commitments=stored.input_commitments,
            sealed_inputs=[NO_INPUT] * len(self.parties),
            result_key=stored.result_key if stored.HasField("result_key") else None,
        )
        left_s = (request.deadline - self.clock.now_ms()) / 1000
        return Run(
            jobs=(AcceptedJob(request, request.digest(self.domain), submission, record.request_digest),),
            rows=request.rows,
            session_id=SessionId(secrets.token_bytes(16)),
            lane=0,
            material_id=NO_MATERIAL,
            registry_block=0,
            timeout_s=min(max(left_s, SHORTEST_S), self.longest_s),
        )


def _read(record: JobRecord) -> party_pb2.PartyJob:
    try:
        stored = party_pb2.PartyJob.FromString(record.request)
    except DecodeError as error:
        raise StoreError("a stored job cannot be read") from error
    if JobId(stored.job_request[:32]) != record.job_id:
        raise StoreError("a stored job is not the one of its id")
    return stored
