"""From the parties' answers to a job's answer: the receipts agree, the signatures and openings hold."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from mpc_infer.coordinator.session import Run
from mpc_infer.encoding import same_digest
from mpc_infer.errors import BadSignature, CommitmentMismatch, InvalidRequest, MpcInferError, ReceiptDisagreement
from mpc_infer.evidence import eip712, merkle
from mpc_infer.evidence.eip712 import Delivery, Receipt
from mpc_infer.ids import Address
from mpc_infer.rpc.messages import signature_from
from mpc_infer.sharing import combine, decode_tensors, encode_tensors, open_commitment, output_context
from mpc_infer.v1 import common_pb2, coordinator_pb2, party_pb2

Answers = Sequence[party_pb2.RunJobResponse]
Value = TypeVar("Value")


def collect(run: Run, answers: Answers, members: Sequence[Address], domain: eip712.Domain) -> coordinator_pb2.Job:
    """Check the parties' answers against each other and against the job.

    1. all receipts are the same bytes, for this job;
    2. each is signed by its party;
    3. all list the same output commitments, which lead to the receipt's root;
    4. delivery COORDINATOR: every opening opens its commitment, and their sum is the result;
       delivery CLIENT: every output is sealed to the owner's key, and stays closed.

    Args:
        run: what was run.
        answers: in the parties' order.
        members: the parties' addresses, in the same order.
        domain: the EIP-712 domain of receipts.

    Returns:
        The job in state DONE.

    Raises:
        ReceiptDisagreement: a party signed another receipt than the rest; `party` names it.
        CommitmentMismatch: an output share does not open its commitment; `party` names whose.
    """
    words = _agreed(answers, lambda answer: answer.receipt, "signed another receipt")
    receipt = _check_receipt(words, run)
    digest = receipt.digest(domain)
    for index, answer in enumerate(answers):
        _check_signature(index, answer.signature, digest, members[index])
    commitments = _agreed(answers, lambda answer: tuple(answer.output_commitments), "lists other output commitments")
    if len(commitments) != len(members) or not same_digest(merkle.root(commitments), receipt.output_commitment):
        raise ReceiptDisagreement("the output commitments do not lead to the receipt's root")
    job = coordinator_pb2.Job(
        job_id=run.job.job_id,
        state=coordinator_pb2.JOB_STATE_DONE,
        receipt=common_pb2.SignedReceipt(receipt=words, signatures=[answer.signature for answer in answers]),
        output_commitments=commitments,
        costs=[answer.cost for answer in answers],
        session_id=run.session_id,
    )
    _add_output(job, run, answers, members)
    return job


def _agreed(answers: Answers, field: Callable[[party_pb2.RunJobResponse], Value], what: str) -> Value:
    """The value that all answers have. Otherwise the party outside the majority is named, if there is a majority."""
    counts = Counter(field(answer) for answer in answers)
    common, votes = counts.most_common(1)[0]
    if len(counts) == 1:
        return common
    odd = [index for index, answer in enumerate(answers) if field(answer) != common]
    if 2 * votes <= len(answers):
        raise ReceiptDisagreement(f"the parties do not agree: more than one {what}, and there is no majority")
    raise ReceiptDisagreement(f"party {odd[0]} {what} than the others", party=odd[0])


def _check_receipt(words: bytes, run: Run) -> Receipt:
    receipt = Receipt.from_words(words)
    request = run.job.request
    expected: dict[str, object] = {
        "version": eip712.RECEIPT_VERSION,
        "job_id": request.job_id,
        "request_digest": run.job.request_digest,
        "model_hash": request.model_hash,
        "party_set": request.party_set,
        "input_root": request.input_root,
        "nonce": request.nonce,
    }
    for field, value in expected.items():
        if getattr(receipt, field) != value:
            raise ReceiptDisagreement(f"all parties signed a receipt whose {field} is not this job's")
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


def _add_output(job: coordinator_pb2.Job, run: Run, answers: Answers, members: Sequence[Address]) -> None:
    if run.job.request.delivery == Delivery.CLIENT:
        for index, answer in enumerate(answers):
            _check_sealed(index, answer, run)
        job.sealed_outputs.extend(answer.sealed_output for answer in answers)
        return
    for index, answer in enumerate(answers):
        _check_opening(index, answer, run, job.output_commitments[index], members[index])
    job.openings.extend(answer.opening for answer in answers)
    job.result = _result(answers)


def _check_sealed(index: int, answer: party_pb2.RunJobResponse, run: Run) -> None:
    if answer.WhichOneof("output") != "sealed_output" or answer.sealed_output.key_id != run.job.request.result_key:
        raise InvalidRequest(f"party {index} did not seal its output to the owner's key", party=index)


def _check_opening(index: int, answer: party_pb2.RunJobResponse, run: Run, commitment: bytes, member: Address) -> None:
    if answer.WhichOneof("output") != "opening":
        raise InvalidRequest(f"party {index} did not open its output", party=index)
    context = output_context(run.session_id, run.job.job_id, member)
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
