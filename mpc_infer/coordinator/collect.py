"""From the parties' answers to a job's answer: the receipts agree, the signatures and openings hold."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from mpc_infer.coordinator.accept import AcceptedJob
from mpc_infer.coordinator.faults import fault
from mpc_infer.encoding import same_digest
from mpc_infer.errors import BadSignature, CommitmentMismatch, InvalidRequest, MpcInferError, ReceiptDisagreement
from mpc_infer.evidence import eip712, merkle
from mpc_infer.evidence.eip712 import Delivery, Receipt
from mpc_infer.ids import Address, JobId, SessionId
from mpc_infer.rpc.messages import signature_from
from mpc_infer.rpc.status import error_of
from mpc_infer.sharing import combine, decode_tensors, encode_tensors, open_commitment, output_context
from mpc_infer.v1 import common_pb2, coordinator_pb2, party_pb2

Answers = Sequence[party_pb2.JobAnswer]
Value = TypeVar("Value")
SESSION_ID_BYTES = 16


@dataclass(frozen=True)
class Collected:
    """A job's checked answer and the EIP-712 digest of its receipt."""

    answer: coordinator_pb2.Job = field(repr=False)
    receipt_digest: bytes


def verdict(
    job: AcceptedJob, answers: Sequence[party_pb2.PartyAnswer], members: Sequence[Address], domain: eip712.Domain
) -> Collected:
    """One job of a session: its answer, checked, or why the parties did not run it.

    Args:
        job: what was asked.
        answers: the parties' answers to this job, in their order.
        members: the parties' addresses, in the same order.
        domain: the EIP-712 domain of receipts.

    Raises:
        MpcInferError: a party refused the job, which is told as for a whole session; or `collect` raises it.
    """
    refused = {index: answer for index, answer in enumerate(answers) if answer.WhichOneof("outcome") != "done"}
    problems = {index: error_of(answer.problem) for index, answer in refused.items()}
    if problems:
        own = {index: error for index, error in problems.items() if error.party in (None, index)}
        raise fault(own or problems, frozenset())
    return collect(job, [answer.done for answer in answers], members, domain)


def collect(job: AcceptedJob, answers: Answers, members: Sequence[Address], domain: eip712.Domain) -> Collected:
    """Check the parties' answers against each other and against the job.

    1. all receipts are the same bytes, for this job;
    2. each is signed by its party;
    3. all list the same output commitments, which lead to the receipt's root;
    4. delivery COORDINATOR: every opening opens its commitment, and their sum is the result;
       delivery CLIENT: every output is sealed to the owner's key, and stays closed.

    Args:
        job: what was asked.
        answers: in the parties' order.
        members: the parties' addresses, in the same order.
        domain: the EIP-712 domain of receipts.

    Returns:
        The job in state DONE, and its receipt's digest.

    Raises:
        ReceiptDisagreement: a party signed another receipt than the rest; `party` names it.
        CommitmentMismatch: an output share does not open its commitment; `party` names whose.
    """
    words = _agreed(answers, lambda answer: answer.receipt, "signed another receipt")
    receipt = _check_receipt(words, job)
    digest = receipt.digest(domain)
    for index, answer in enumerate(answers):
        _check_signature(index, answer.signature, digest, members[index])
    commitments = _agreed(answers, lambda answer: tuple(answer.output_commitments), "lists other output commitments")
    if len(commitments) != len(members) or not same_digest(merkle.root(commitments), receipt.output_commitment):
        raise ReceiptDisagreement("the output commitments do not lead to the receipt's root")
    done = coordinator_pb2.Job(
        job_id=job.job_id,
        state=coordinator_pb2.JOB_STATE_DONE,
        receipt=common_pb2.SignedReceipt(receipt=words, signatures=[answer.signature for answer in answers]),
        output_commitments=commitments,
        costs=[answer.cost for answer in answers],
        session_id=_session(answers),
    )
    _add_output(done, job, answers, members)
    return Collected(done, digest)


def _session(answers: Answers) -> SessionId:
    """The session that computed the answers: another than was asked for, where they were stored before."""
    session_id = _agreed(answers, lambda answer: answer.session_id, "names another session")
    if len(session_id) != SESSION_ID_BYTES:
        raise InvalidRequest("the parties name no session")
    return SessionId(session_id)


def _agreed(answers: Answers, field: Callable[[party_pb2.JobAnswer], Value], what: str) -> Value:
    """The value that all answers have. Otherwise the party outside the majority is named, if there is a majority."""
    counts = Counter(field(answer) for answer in answers)
    common, votes = counts.most_common(1)[0]
    if len(counts) == 1:
        return common
    odd = [index for index, answer in enumerate(answers) if field(answer) != common]
    if 2 * votes <= len(answers):
        raise ReceiptDisagreement(f"the parties do not agree: more than one {what}, and there is no majority")
    raise ReceiptDisagreement(f"party {odd[0]} {what} than the others", party=odd[0])


def _check_receipt(words: bytes, job: AcceptedJob) -> Receipt:
    receipt = Receipt.from_words(words)
    request = job.request
    expected: dict[str, object] = {
        "version": eip712.RECEIPT_VERSION,
        "job_id": request.job_id,
        "request_digest": job.request_digest,
        "model_hash": request.model_hash,
        "party_set": request.party_set,
        "input_root": request.input_root,
        "nonce": request.nonce,
    }
    for name, value in expected.items():
        if getattr(receipt, name) != value:
            raise ReceiptDisagreement(f"all parties signed a receipt whose {name} is not this job's")
    return receipt


def _check_signature(index: int, signature: common_pb2.Signature, digest: bytes, member: Address) -> None:
    try:
        signer, data = signature_from(signature)
        if signer != member:
            raise BadSignature("it names another signer")
        eip712.check_signer(digest, data, member)
    except BadSignature as error:
        message = f"party {index} did not sign the receipt that it returned: {error.message}"
        raise ReceiptDisagreement(message, party=index) from error


def _add_output(done: coordinator_pb2.Job, job: AcceptedJob, answers: Answers, members: Sequence[Address]) -> None:
    if job.request.delivery == Delivery.CLIENT:
        for index, answer in enumerate(answers):
            _check_sealed(index, answer, job)
        done.sealed_outputs.extend(answer.sealed_output for answer in answers)
        return
    for index, answer in enumerate(answers):
        _check_opening(index, answer, done, members[index])
    done.openings.extend(answer.opening for answer in answers)
    done.result = _result(answers)


def _check_sealed(index: int, answer: party_pb2.JobAnswer, job: AcceptedJob) -> None:
    if answer.WhichOneof("output") != "sealed_output" or answer.sealed_output.key_id != job.request.result_key:
        raise InvalidRequest(f"party {index} did not seal its output to the owner's key", party=index)


def _check_opening(index: int, answer: party_pb2.JobAnswer, done: coordinator_pb2.Job, member: Address) -> None:
    if answer.WhichOneof("output") != "opening":
        raise InvalidRequest(f"party {index} did not open its output", party=index)
    context = output_context(SessionId(done.session_id), JobId(done.job_id), member)
    commitment = done.output_commitments[index]
    try:
        open_commitment(commitment, answer.opening.salt, context, answer.opening.share)
    except CommitmentMismatch as error:
        raise CommitmentMismatch(f"party {index}'s output share does not open its commitment", party=index) from error


def _result(answers: Answers) -> bytes:
    shares = []
    for index, answer in enumerate(answers):
        try:
            shares.append(decode_tensors(answer.opening.share))
        except MpcInferError as error:
            raise InvalidRequest(f"party {index}'s output share is malformed: {error.message}", party=index) from error
        if {name: array.shape for name, array in shares[-1].items()} != {
            name: array.shape for name, array in shares[0].items()
        }:
            raise InvalidRequest(f"party {index}'s output share has other names or shapes", party=index)
    return encode_tensors({name: combine([share[name] for share in shares]) for name in shares[0]})
