"""What a party says of a job that ran: its receipt, its signature, and its share of the output, open or sealed."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from mpc_infer.errors import MpcInferError
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import RECEIPT_VERSION, Domain, Receipt, check_signer, engine_word, sign
from mpc_infer.ids import Address
from mpc_infer.party.calls import JobReport, Reminder, SessionCall, SessionReport
from mpc_infer.party.checks import CheckedJob
from mpc_infer.party.judge import Identity
from mpc_infer.party.messages import opening_bytes, run_answer
from mpc_infer.rpc.messages import signature_to
from mpc_infer.sharing.contexts import sealed_result_context
from mpc_infer.sharing.sealing import seal
from mpc_infer.v1 import party_pb2


@dataclass(frozen=True)
class SignedAnswer:
    """An answer, and the digest of the receipt in it."""

    answer: party_pb2.JobAnswer = field(repr=False)
    receipt_digest: bytes


def signed_by(signer: Address, reminders: Iterable[Reminder], domain: Domain) -> set[bytes]:
    """Digests of those receipts whose signature is this signer's; the others are passed over."""
    found = set()
    for reminder in reminders:
        with suppress(MpcInferError):
            digest = Receipt.from_words(reminder.signed).digest(domain)
            check_signer(digest, reminder.signature, signer)
            found.add(digest)
    return found


class Signing:
    """Makes answers.

    Args:
        identity: who signs.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def answer(self, call: SessionCall, job: CheckedJob, ran: JobReport, session: SessionReport) -> SignedAnswer:
        """The answer to one job of a session."""
        identity, sealed = self._identity, None
        if job.call.result_key is not None:
            context = sealed_result_context(job.request.job_id, identity.place.address)
            sealed = seal(opening_bytes(ran), job.call.result_key, context)
        receipt = self._receipt(call, job, ran, session)
        signature = signature_to(identity.signer.address, sign(receipt, identity.receipt_domain, identity.signer))
        answer = run_answer(receipt.to_words(), signature, ran, session, sealed, call.session_id)
        return SignedAnswer(answer, receipt.digest(identity.receipt_domain))

    def _receipt(self, call: SessionCall, job: CheckedJob, ran: JobReport, session: SessionReport) -> Receipt:
        request = job.request
        return Receipt(
            version=RECEIPT_VERSION,
            job_id=request.job_id,
            request_digest=job.digest,
            model_hash=request.model_hash,
            party_set=request.party_set,
            plan_digest=session.plan_digest,
            engine=engine_word(self._identity.engine),
            input_root=request.input_root,
            output_commitment=merkle.root(ran.commitments),
            transcript=session.transcript,
            nonce=request.nonce,
            started=session.started_ms,
            finished=session.finished_ms,
            registry_block=call.registry_block,
        )
