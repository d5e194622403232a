"""Parties that really open, add, commit and sign. The model is y = x + b: shares of x and b are added."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mpc_infer.encoding import digest
from mpc_infer.errors import (
    JobConflict,
    MaterialUnusable,
    ModelNotFound,
    ModelNotOpen,
    MpcInferError,
    PeerFailed,
    PeerTimeout,
    ReceiptNotFound,
    SessionAborted,
    StockFull,
)
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import BatchRoot, Domain, JobRequest, ModelHolding, Receipt, engine_word, sign
from mpc_infer.identity.signer import Signer
from mpc_infer.model.manifest import Manifest
from mpc_infer.party.calls import Reminder
from mpc_infer.party.signing import signed_by
from mpc_infer.rpc.messages import sealed_from, sealed_to, sealing_key_from, sealing_key_to, signature_to
from mpc_infer.rpc.status import problem_of
from mpc_infer.sharing import (
    SealingKeys,
    decode_tensors,
    encode_tensors,
    fresh_salt,
    input_context,
    open_commitment,
    output_context,
    seal,
    sealed_input_context,
    sealed_model_context,
    sealed_result_context,
    share_commitment,
    split_opening,
)
from mpc_infer.v1 import common_pb2, party_pb2
from tests.unit.coordinator.simulated_chain import PARTY_SET, START_MS


class Hall:
    """Where the parties of a session meet."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.commitments: dict[bytes, dict[int, bytes]] = {}
        self.changed = asyncio.Condition()
        self.aborted: dict[bytes, str] = {}

    async def exchange(self, meeting: bytes, index: int, commitment: bytes, session: bytes = b"") -> list[bytes]:
        session = session or meeting
        async with self.changed:
            table = self.commitments.setdefault(meeting, {})
            table[index] = commitment
            self.changed.notify_all()
            await self.changed.wait_for(lambda: len(table) == self.size or session in self.aborted)
        if session in self.aborted and len(table) < self.size:
            missing = next((place for place in range(self.size) if place not in table), None)
            raise PeerTimeout("the session was called off", party=missing)
        return [table[place] for place in range(self.size)]

    async def abort(self, session: bytes, reason: str) -> None:
        async with self.changed:
            self.aborted[session] = reason
            self.changed.notify_all()


Hook = Callable[["Party", Any], Awaitable[Any]]


@dataclass
class Party:
    """A party in the same process. `hooks` replace a method's answer, to misbehave."""

    index: int
    hall: Hall
    domain: Domain
    model_domain: Domain
    signer: Signer = field(default_factory=Signer.generate)
    keys: SealingKeys = field(default_factory=SealingKeys.generate)
    hooks: dict[str, Hook] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.models: dict[bytes, tuple[Manifest, dict[str, Any]]] = {}
        self.answers: dict[bytes, tuple[bytes, Any]] = {}
        self.signed: set[bytes] = set()
        self.material: dict[bytes, tuple[int, bytes, int]] = {}
        self.max_material = 1 << 20
        self.opened: dict[bytes, bytes] = {}
        self.sessions: list[tuple[int, list[bytes]]] = []
        self.refuse: dict[bytes, MpcInferError] = {}
        self.lost: Callable[[], None] = lambda: None

    @property
    def address(self) -> Any:
        return self.signer.address

    async def watch(self, lost: Callable[[], None]) -> None:
        self.lost = lost
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.calls.append("close")

    async def call(self, method: str, request: Any, timeout_s: float) -> Any:
        self.calls.append(method)
        hook = self.hooks.get(method)
        work = hook(self, request) if hook is not None else getattr(self, "on_" + method)(request)
        try:
            async with asyncio.timeout(timeout_s):
                return await work
        except TimeoutError as error:
            raise PeerTimeout(f"party {self.index} timed out") from error

    async def on_GetInfo(self, request: Any) -> party_pb2.GetInfoResponse:  # noqa: N802
        keys = [sealing_key_to(key) for key in self.keys.public_keys]
        info = common_pb2.PartyInfo(index=self.index, address=bytes.fromhex(self.address[2:]), sealing_keys=keys)
        return party_pb2.GetInfoResponse(info=info, party_set=PARTY_SET, lanes=1)

    async def on_InstallModel(self, request: party_pb2.InstallModelRequest) -> Any:  # noqa: N802
        manifest = Manifest.from_bytes(request.manifest)
        context = sealed_model_context(manifest.hash, self.address)
        _, data = split_opening(self.keys.unseal(sealed_from(request.sealed_share), context))
        self.models[manifest.hash] = (manifest, decode_tensors(data))
        holding = sign(ModelHolding(manifest.hash, PARTY_SET, manifest.owner), self.model_domain, self.signer)
        return party_pb2.InstallModelResponse(holding=signature_to(self.address, holding))

    async def on_OpenModel(self, request: party_pb2.OpenModelRequest) -> Any:  # noqa: N802
        if request.model_hash not in self.models:
            raise ModelNotFound("no such model")
        if request.session_id:
            await self.hall.exchange(request.session_id, self.index, b"open")
            self.opened[request.model_hash] = digest("opening", request.session_id)
            self.material = {key: value for key, value in self.material.items() if value[1] != request.model_hash}
        found = self.opened.get(request.model_hash)
        return party_pb2.OpenModelResponse(open=found is not None, digest=found or b"")

    async def on_PrepareMaterial(self, request: party_pb2.PrepareMaterialRequest) -> Any:  # noqa: N802
        self._check_open(request.model_hash)
        ids = [request.material_id, *request.further_ids]
        if len(self.material) + len(ids) > self.max_material:
            raise StockFull("no room for more material")
        self.material.update(dict.fromkeys(ids, (request.lane, request.model_hash, request.rows)))
        return party_pb2.PrepareMaterialResponse(plan_digest=bytes(32), offline_ms=1.0, material_bytes=64)

    async def on_ListMaterial(self, request: Any) -> party_pb2.ListMaterialResponse:  # noqa: N802
        return party_pb2.ListMaterialResponse(
            materials=[
                party_pb2.MaterialInfo(material_id=material_id, lane=lane, model_hash=model_hash, rows=rows, bytes=64)
                for material_id, (lane, model_hash, rows) in self.material.items()
            ]
        )

    async def on_DropMaterial(self, request: party_pb2.DropMaterialRequest) -> Any:  # noqa: N802
        for material_id in request.material_ids:
            self.material.pop(material_id, None)
        return party_pb2.DropMaterialResponse()

    def _check_open(self, model_hash: bytes) -> None:
        if model_hash not in self.opened:
            raise ModelNotOpen("the model is not open", party=self.index)

    async def on_RunSession(self, message: party_pb2.RunSessionRequest) -> Any:  # noqa: N802
        """Judge every job by itself, tell the others, run what all accept, and answer each."""
        known = [self._known(job) for job in message.jobs]
        if all(answer is not None for answer in known):
            return party_pb2.RunSessionResponse(answers=known)
        requests = [JobRequest.from_words(job.job_request) for job in message.jobs]
        self.sessions.append((message.rows, [request.job_id for request in requests]))
        self._check_open(requests[0].model_hash)
        if message.material_id and message.material_id not in self.material:
            raise MaterialUnusable("no such material", party=self.index)
        shares = [self._judged(job) for job in message.jobs]
        if all(isinstance(share, MpcInferError) for share in shares):
            return party_pb2.RunSessionResponse(answers=[_refusal(share) for share in shares])
        verdicts = bytes(isinstance(share, bytes) for share in shares)
        everybody = await self.hall.exchange(message.session_id + b"hello", self.index, verdicts, message.session_id)
        running = [index for index in range(len(shares)) if all(each[index] for each in everybody)]
        self.material.pop(message.material_id, None)
        answers = [_refusal(shares[index], _refuser(everybody, index)) for index in range(len(shares))]
        for index in running:
            answers[index] = party_pb2.PartyAnswer(done=await self._answer(message, index, shares[index]))
        return party_pb2.RunSessionResponse(answers=answers)

    def _known(self, job: party_pb2.PartyJob) -> Any:
        known = self.answers.get(job.job_request[:32])
        if known is None:
            return None
        if known[0] != job.job_request:
            return _refusal(JobConflict("other contents"))
        return party_pb2.PartyAnswer(done=known[1])

    def _judged(self, job: party_pb2.PartyJob) -> Any:
        request = JobRequest.from_words(job.job_request)
        try:
            if request.job_id in self.refuse:
                raise self.refuse[request.job_id]
            return self._output(job, request)
        except MpcInferError as error:
            return error

    async def _answer(self, message: party_pb2.RunSessionRequest, index: int, share: bytes) -> party_pb2.JobAnswer:
        job, session = message.jobs[index], message.session_id
        request = JobRequest.from_words(job.job_request)
        salt = fresh_salt()
        commitment = share_commitment(salt, output_context(session, request.job_id, self.address), share)
        commitments = await self.hall.exchange(session + request.job_id, self.index, commitment, session)
        receipt = self.receipt(message, request, commitments)
        self.signed.add(receipt.digest(self.domain))
        answer = party_pb2.JobAnswer(
            receipt=receipt.to_words(),
            signature=signature_to(self.address, sign(receipt, self.domain, self.signer)),
            output_commitments=commitments,
            cost=common_pb2.SessionCost(online_ms=1.0 + self.index, rounds=1, bytes_sent=32),
            session_id=session,
        )
        opening = common_pb2.Opening(salt=salt, share=share)
        if job.HasField("result_key"):
            context = sealed_result_context(request.job_id, self.address)
            sealed = seal(opening.SerializeToString(), sealing_key_from(job.result_key), context)
            answer.sealed_output.CopyFrom(sealed_to(sealed))
        else:
            answer.opening.CopyFrom(opening)
        self.answers[request.job_id] = (job.job_request, answer)
        return answer

    def _output(self, message: party_pb2.PartyJob, request: JobRequest) -> bytes:
        sealed = sealed_from(message.sealed_input)
        context = sealed_input_context(request.job_id, request.model_hash, request.owner, self.address)
        salt, data = split_opening(self.keys.unseal(sealed, context))
        place = input_context(request.job_id, request.model_hash, self.address)
        open_commitment(message.input_commitments[self.index], salt, place, data)
        return encode_tensors({"y": decode_tensors(data)["x"] + self.models[request.model_hash][1]["b"]})

    def receipt(self, message: party_pb2.RunSessionRequest, request: JobRequest, commitments: list[bytes]) -> Receipt:
        return Receipt(
            version=1,
            job_id=request.job_id,
            request_digest=request.digest(self.domain),
            model_hash=request.model_hash,
            party_set=request.party_set,
            plan_digest=digest("plan"),
            engine=engine_word("simulation"),
            input_root=request.input_root,
            output_commitment=merkle.root(commitments),
            transcript=digest("transcript"),
            nonce=request.nonce,
            started=START_MS,
            finished=START_MS + 1,
            registry_block=message.registry_block,
        )

    async def on_AbortSession(self, request: party_pb2.AbortSessionRequest) -> Any:  # noqa: N802
        await self.hall.abort(request.session_id, request.reason)
        return party_pb2.AbortSessionResponse()

    async def on_SignRoot(self, request: party_pb2.SignRootRequest) -> Any:  # noqa: N802
        digests = list(request.receipt_digests)
        reminders = [Reminder(each.receipt, each.signature) for each in request.reminders]
        self.signed |= signed_by(self.address, reminders, self.domain)
        if not set(digests) <= self.signed:
            raise ReceiptNotFound("not all of these receipts are ours", party=self.index)
        root = merkle.root(digests)
        signature = sign(BatchRoot(root, len(digests), PARTY_SET), self.domain, self.signer)
        return party_pb2.SignRootResponse(root=root, signature=signature_to(self.address, signature))


def _refusal(share: Any, refuser: int | None = None) -> party_pb2.PartyAnswer:
    """A job's answer where it does not run: our reason, or that another has one."""
    error = share if isinstance(share, MpcInferError) else PeerFailed("another party refused the job", party=refuser)
    return party_pb2.PartyAnswer(problem=problem_of(error))


def _refuser(everybody: list[bytes], job: int) -> int | None:
    return next((index for index, each in enumerate(everybody) if not each[job]), None)


async def hang(party: Party, request: Any) -> Any:
    """Say nothing, as a stopped process does."""
    await asyncio.Event().wait()


async def fall(party: Party, request: Any) -> Any:
    """Fail as a lane does whose process died."""
    raise SessionAborted("the lane died", party=party.index)
