"""What a party knows itself about the jobs of a session: whether each of them may run here."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mpc_infer.clock import Clock
from mpc_infer.errors import MpcInferError, PartySetMismatch
from mpc_infer.evidence.eip712 import Domain
from mpc_infer.graph import Graph
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address, ModelHash
from mpc_infer.party import checks
from mpc_infer.party.calls import BadJob, JobCall, SessionCall
from mpc_infer.party.checks import CheckedJob
from mpc_infer.party.config import PartyLimits
from mpc_infer.party.models import ModelShelf, Place
from mpc_infer.party.view import RegistryView
from mpc_infer.sharing.sealing import SealingKeys

_AT_ONCE = 8
"""Jobs that a thread looks at before the event loop has its turn again: some milliseconds."""
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Identity:
    """Who this party is: its place, its keys, the domains in which it signs, and the name of its engine."""

    place: Place
    signer: Signer
    sealing_keys: SealingKeys
    receipt_domain: Domain
    model_domain: Domain
    engine: str


class Judge:
    """Judges jobs by what this party knows itself. Nothing has happened when it refuses one.

    1. The party set is ours.
    2. The owner signed the request.
    3. The registry block is one that we know, and not too old.
    4. The deadline is in the future.
    5. The model is installed here, active at that block, for our set, and the owner may use it.
    6. Delivery and result key belong together.
    7. There are not too many rows.
    8. The commitments are those that were signed.
    9. Our sealed share opens, and opens our commitment.
    10. It fits the model and the number of rows.

    Steps 3 and the first of 5 are about the session, the others about each job by itself.

    Args:
        identity: who judges.
        shelf: models.
        view: the registry.
        limits: what callers may ask.
        clock: where the time comes from.
    """

    def __init__(
        self, identity: Identity, shelf: ModelShelf, view: RegistryView, limits: PartyLimits, clock: Clock
    ) -> None:
        self._identity = identity
        self._shelf = shelf
        self._view = view
        self._limits = limits
        self._clock = clock

    def digest(self, job: JobCall | BadJob) -> bytes:
        """What the owner has signed, or should have."""
        return job.request.digest(self._identity.receipt_domain)

    async def signed(self, call: SessionCall) -> list[bytes | MpcInferError]:
        """Steps 1 and 2: the digest of each job, or why it is refused."""
        return await in_pieces(self._signed, call.jobs)

    async def check(
        self, call: SessionCall, jobs: Sequence[tuple[JobCall | BadJob, bytes]]
    ) -> list[CheckedJob | MpcInferError]:
        """The other steps, for jobs of the session and their digests.

        Raises:
            RegistryTooOld, ChainError, ModelNotFound: the session cannot be judged.
        """
        await self._view.check_block(call.registry_block)
        graph, model_owner = await self.known(call.model_hash)
        permitted = await asyncio.gather(*(self._permitted(call, job, model_owner) for job, _ in jobs))

        def judged(item: tuple[tuple[JobCall | BadJob, bytes], MpcInferError | None]) -> CheckedJob:
            (job, digest), refused = item
            if refused is not None:
                raise refused
            return self._judged(call, job, digest, graph)

        return await in_pieces(judged, list(zip(jobs, permitted, strict=True)))

    async def known(self, model_hash: ModelHash) -> tuple[Graph, Address]:
        """A model's graph and owner (see `ModelShelf.known`)."""
        if self._shelf.knows(model_hash):
            return self._shelf.known(model_hash)
        return await asyncio.to_thread(self._shelf.known, model_hash)

    def _signed(self, job: JobCall | BadJob) -> bytes:
        if isinstance(job, BadJob):
            raise job.problem
        request = job.request
        if request.party_set != self._identity.place.party_set:
            raise PartySetMismatch("the job is for another set of parties")
        digest = self.digest(job)
        checks.check_signature(digest, request.owner, job.owner_signature)
        return digest

    async def _permitted(self, call: SessionCall, job: JobCall | BadJob, model_owner: Address) -> MpcInferError | None:
        request, party_set = job.request, self._identity.place.party_set
        try:
            checks.check_deadline(request.deadline, self._clock.now_ms(), self._limits.max_deadline_s)
            record = await self._view.check_model(call.registry_block, call.model_hash, request.owner, party_set)
            checks.check_model_owner(record.owner, model_owner)
        except MpcInferError as error:
            return error
        return None

    def _judged(self, call: SessionCall, job: JobCall | BadJob, digest: bytes, graph: Graph) -> CheckedJob:
        if isinstance(job, BadJob):
            raise job.problem
        request, place = job.request, self._identity.place
        checks.check_delivery(request, job.result_key)
        checks.check_rows(request.rows, self._limits.max_rows)
        checks.check_root(job.input_commitments, place.size, request.input_root)
        inputs = checks.open_input(job, self._identity.sealing_keys, place.index, place.address)
        checks.check_shapes(inputs, graph, request.rows)
        return CheckedJob(job, digest, call.registry_block, inputs)


async def in_pieces(
    work: Callable[[Item], Result], items: Sequence[Item], at_once: int = _AT_ONCE
) -> list[Result | MpcInferError]:
    """Do something that takes processor time with each item: few here, many in a thread and piece by piece.

    Returns:
        For each item what came of it, or the error that it raised.
    """
    if len(items) <= 1:
        return _each(work, items)
    results: list[Result | MpcInferError] = []
    for start in range(0, len(items), at_once):
        results += await asyncio.to_thread(_each, work, items[start : start + at_once])
    return results


def _each(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result | MpcInferError]:
    results: list[Result | MpcInferError] = []
    for item in items:
        try:
            results.append(work(item))
        except MpcInferError as error:
            results.append(error)
    return results
