"""What a client checks before it believes an answer. The coordinator is trusted with none of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from mpc_infer.client.request import Prepared
from mpc_infer.encoding import same_digest
from mpc_infer.errors import (
    BadSignature,
    InternalError,
    InvalidRequest,
    OpeningMismatch,
    ReceiptInvalid,
    ReceiptSignatureInvalid,
)
from mpc_infer.evidence import eip712, merkle
from mpc_infer.evidence.eip712 import Delivery
from mpc_infer.evidence.receipt import OutputOpenings, PartySignature, ShareOpening, SignedReceipt
from mpc_infer.evidence.verify import verify_signatures
from mpc_infer.ids import SessionId
from mpc_infer.rpc.messages import sealed_from, signature_from
from mpc_infer.rpc.status import error_of
from mpc_infer.sharing import (
    SealingKey,
    combine,
    decode_tensors,
    open_commitment,
    output_context,
    sealed_result_context,
)
from mpc_infer.v1 import common_pb2, coordinator_pb2

Ring = NDArray[np.uint64]
FINISHED = (coordinator_pb2.JOB_STATE_DONE, coordinator_pb2.JOB_STATE_ANCHORED)


@dataclass(frozen=True)
class Answer:
    """A checked answer.

    Attributes:
        outputs: the result in fixed point, one uint64 array per output.
        receipt: the receipt, whose signatures verify and which is for the request.
        openings: the parties' output shares in the party set's order. They are as secret as the result.
    """

    outputs: dict[str, Ring] = field(repr=False)
    receipt: SignedReceipt
    openings: OutputOpenings = field(repr=False)


def check_answer(prepared: Prepared, job: coordinator_pb2.Job, domain: eip712.Domain) -> Answer:
    """Check a finished job against the request it answers.

    1. the job is this one and did not fail;
    2. every party of the set signed the receipt, nobody else did;
    3. the receipt is for this request;
    4. the output commitments lead to the receipt's root;
    5. every output share opens its commitment;
    6. the shares sum to the result, which has the shapes that the model promises.

    Args:
        prepared: what was sent.
        job: what came back.
        domain: the EIP-712 domain of receipts.

    Raises:
        MpcInferError: the error of a failed job.
        ReceiptInvalid: a step fails; the subclass says which.
    """
    if job.job_id != prepared.job_id:
        raise ReceiptInvalid("the coordinator answered with another job")
    if job.state == coordinator_pb2.JOB_STATE_FAILED:
        raise error_of(job.problem)
    if job.state not in FINISHED:
        raise InternalError(f"the job is not finished: its state is {job.state}", remedy="follow it with watch")
    receipt = check_receipt(prepared, job.receipt, domain)
    openings = _openings(prepared, job, receipt)
    outputs = _sum(openings)
    _check_result(prepared, job, outputs)
    return Answer(outputs, receipt, OutputOpenings(SessionId(job.session_id), openings))


def check_receipt(prepared: Prepared, signed: common_pb2.SignedReceipt, domain: eip712.Domain) -> SignedReceipt:
    """Steps 2 and 3 alone.

    Raises:
        ReceiptInvalid: a signature is wrong, or the receipt is for another request.
    """
    receipt = read_receipt(signed)
    verify_signatures(receipt, domain, prepared.network.members)
    expected = {
        "job_id": prepared.request.job_id,
        "request_digest": prepared.request_digest,
        "model_hash": prepared.request.model_hash,
        "party_set": prepared.request.party_set,
        "input_root": prepared.request.input_root,
        "nonce": prepared.request.nonce,
    }
    for name, value in expected.items():
        if getattr(receipt.receipt, name) != value:
            raise ReceiptInvalid(f"the receipt's {name} is not the request's", remedy="do not use the result")
    return receipt


def read_receipt(signed: common_pb2.SignedReceipt) -> SignedReceipt:
    """A receipt from its message, unverified.

    Raises:
        ReceiptSignatureInvalid: a length is wrong.
        InvalidRequest: the words are malformed.
    """
    return SignedReceipt(eip712.Receipt.from_words(signed.receipt), read_signatures(signed.signatures))


def read_signatures(signatures: Sequence[common_pb2.Signature]) -> tuple[PartySignature, ...]:
    """Signatures from their messages, unverified.

    Raises:
        ReceiptSignatureInvalid: a length is wrong.
    """
    try:
        return tuple(signature_from(each) for each in signatures)
    except BadSignature as error:
        raise ReceiptSignatureInvalid(error.message) from error


def _openings(prepared: Prepared, job: coordinator_pb2.Job, receipt: SignedReceipt) -> tuple[ShareOpening, ...]:
    members, commitments = prepared.network.members, tuple(job.output_commitments)
    received = _received(prepared, job)
    if not len(members) == len(commitments) == len(received):
        raise OpeningMismatch(f"{len(members)} parties, {len(commitments)} commitments, {len(received)} openings")
    if not same_digest(merkle.root(commitments), receipt.receipt.output_commitment):
        raise OpeningMismatch("the output commitments do not lead to the receipt's root")
    for address, commitment, opening in zip(members, commitments, received, strict=True):
        context = output_context(SessionId(job.session_id), prepared.job_id, address)
        open_commitment(commitment, opening.salt, context, opening.share, OpeningMismatch)
    return tuple(ShareOpening(opening.salt, opening.share) for opening in received)


def _received(prepared: Prepared, job: coordinator_pb2.Job) -> Sequence[common_pb2.Opening]:
    if prepared.result_key is None:
        return tuple(job.openings)
    if len(job.sealed_outputs) != len(prepared.network.members):
        raise OpeningMismatch(f"{len(job.sealed_outputs)} sealed outputs for {len(prepared.network.members)} parties")
    pairs = zip(prepared.network.members, job.sealed_outputs, strict=True)
    contexts = ((sealed_result_context(prepared.job_id, address), box) for address, box in pairs)
    return tuple(_unsealed(prepared.result_key, box, context) for context, box in contexts)


def _unsealed(key: SealingKey, box: common_pb2.SealedBox, context: bytes) -> common_pb2.Opening:
    try:
        return common_pb2.Opening.FromString(key.unseal(sealed_from(box), context))
    except DecodeError as error:
        raise InvalidRequest(f"a sealed output is malformed: {error}") from error


def _sum(openings: Sequence[ShareOpening]) -> dict[str, Ring]:
    shares = [decode_tensors(each.share) for each in openings]
    names = set(shares[0])
    for share in shares:
        if set(share) != names or any(share[name].shape != shares[0][name].shape for name in names):
            raise OpeningMismatch("the parties' output shares differ in names or shapes")
    return {name: combine([share[name] for share in shares]) for name in shares[0]}


def _check_result(prepared: Prepared, job: coordinator_pb2.Job, outputs: dict[str, Ring]) -> None:
    if prepared.request.delivery == Delivery.COORDINATOR:
        claimed = decode_tensors(job.result)
        if set(claimed) != set(outputs) or not all(np.array_equal(claimed[name], outputs[name]) for name in outputs):
            raise OpeningMismatch("the coordinator's result is not the sum of the parties' shares")
    rows = prepared.request.rows
    for spec in prepared.model.manifest.outputs:
        shape = tuple(rows if size is None else size for size in spec.shape)
        if spec.name not in outputs or outputs[spec.name].shape != shape:
            raise OpeningMismatch(f"output {spec.name!r} is missing or not of shape {shape}")
