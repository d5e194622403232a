"""Receipts from the data owner's side: wait for the anchor, bundle, verify."""

import asyncio
import time

from mpc_infer.chain.facts import ChainFacts
from mpc_infer.client.check import read_receipt, read_signatures
from mpc_infer.client.core import Core
from mpc_infer.client.jobs import Jobs
from mpc_infer.client.result import InferenceResult
from mpc_infer.errors import InclusionInvalid, ReceiptInvalid, SessionAborted
from mpc_infer.evidence import merkle
from mpc_infer.evidence.bundle import Bundle, Contracts
from mpc_infer.evidence.receipt import Inclusion
from mpc_infer.evidence.verify import VerifiedReceipt, verify_receipt
from mpc_infer.v1 import common_pb2, coordinator_pb2

CALL_TIMEOUT_S = 30.0


class Receipts:
    """Evidence for jobs that are done."""

    def __init__(self, core: Core, jobs: Jobs) -> None:
        self._core = core
        self._jobs = jobs

    async def wait_anchored(self, result: InferenceResult, timeout_s: float) -> Inclusion:
        """Wait until the receipt's batch is on the chain, as the coordinator says; `verify` asks the chain.

        Raises:
            DeadlineExpired: it is not, in time.
            InclusionInvalid: the proof does not lead from this receipt to the root.
        """
        async for status in self._jobs.watch(result.job_id, timeout_s):
            if status.state == "FAILED":
                raise SessionAborted(f"the coordinator calls a finished job failed: {status.message}")
        inclusion = await self.inclusion(result)
        if inclusion is None:
            raise InclusionInvalid("the coordinator calls the job anchored and has no inclusion proof")
        return inclusion

    async def inclusion(self, result: InferenceResult) -> Inclusion | None:
        """The receipt's place in its batch, checked; None while it is in none.

        Raises:
            InclusionInvalid: the proof does not lead from this receipt to the root.
            ReceiptInvalid: the coordinator has another receipt for this job.
        """
        request = coordinator_pb2.GetReceiptRequest(job_id=result.job_id)
        answer = await self._core.door.call("GetReceipt", request, time.monotonic() + CALL_TIMEOUT_S)
        if read_receipt(answer.receipt).receipt != result.receipt.receipt:
            raise ReceiptInvalid("the coordinator has another receipt for this job than it gave before")
        if not answer.HasField("inclusion"):
            return None
        inclusion = _read_inclusion(answer.inclusion)
        digest = result.receipt.receipt.digest(self._core.domain)
        merkle.verify_inclusion(digest, inclusion.index, inclusion.size, inclusion.path, inclusion.root)
        return inclusion

    async def bundle(self, result: InferenceResult, *, openings: bool) -> Bundle:
        """The receipt and its evidence as one value that can be saved and given to others.

        Args:
            result: from `infer`.
            openings: include the output shares, which prove the result and reveal it to whoever reads the bundle.
        """
        contracts = self._core.contracts
        return Bundle(
            chain_id=await asyncio.to_thread(lambda: self._core.registry.chain_id),
            contracts=Contracts(contracts.party_registry, contracts.model_registry, contracts.receipt_anchor),
            members=result.members,
            signed=result.receipt,
            request=result.request,
            output_openings=result.answer.openings if openings else None,
            inclusion=await self.inclusion(result),
        )

    async def verify(self, bundle: Bundle, *, offline: bool) -> VerifiedReceipt:
        """Verify a bundle in seven steps against this client's own view of the chain.

        Args:
            bundle: anybody's.
            offline: leave out the last step, which asks the chain for the root.

        Raises:
            ReceiptInvalid: a step fails; the subclass says which.
            ChainError: the chain does not answer.
        """
        facts = ChainFacts(self._core.registry)
        return await asyncio.to_thread(verify_receipt, bundle, facts, offline=offline)


def _read_inclusion(message: common_pb2.Inclusion) -> Inclusion:
    return Inclusion(
        index=message.index,
        size=message.size,
        path=tuple(message.path),
        root=message.root,
        signatures=read_signatures(message.signatures),
        transaction=message.transaction,
        block=message.block,
        gas_used=message.gas_used,
    )
