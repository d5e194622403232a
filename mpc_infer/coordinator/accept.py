"""What the coordinator checks of a job before it takes it on. The parties check everything again, and more."""

from dataclasses import dataclass

from mpc_infer.encoding import digest, same_digest
from mpc_infer.errors import BadSignature, DeadlineExpired, InvalidRequest, NotPermitted, PartySetMismatch
from mpc_infer.evidence import eip712, merkle
from mpc_infer.ids import Address, JobId, PartySetId
from mpc_infer.rpc.messages import sealed_from, sealing_key_from, signature_from
from mpc_infer.v1 import common_pb2, coordinator_pb2

MAX_ROWS = 4096
"""A party's own limit unless its operator sets another: what every party would refuse is refused at the door."""
MAX_AHEAD_MS = 3600 * 1000
DIGEST_BYTES = 32


@dataclass(frozen=True)
class AcceptedJob:
    """A job whose form is right and which its owner signed.

    Attributes:
        request: the signed request.
        request_digest: its EIP-712 digest.
        message: what was sent.
        submission: digest of all of it: the same job id may come again only with the same.
    """

    request: eip712.JobRequest
    request_digest: bytes
    message: coordinator_pb2.SubmitJobRequest
    submission: bytes

    @property
    def job_id(self) -> JobId:
        """The job's 32 bytes."""
        return JobId(self.request.job_id)


@dataclass(frozen=True)
class Rules:
    """What is the same for all jobs: the EIP-712 domain of requests, the party set and its size, rows of a job."""

    domain: eip712.Domain
    party_set: PartySetId
    parties: int
    max_rows: int = MAX_ROWS

    def accept(self, message: coordinator_pb2.SubmitJobRequest, caller: Address) -> AcceptedJob:
        """Check a job's form and who sent it. Not its deadline: a job that is known is answered for ever.

        1. the request is well formed, for this party set, sent by its owner over the owner's own connection;
        2. the owner signed it;
        3. there is a commitment and a sealed share per party, and the commitments lead to the request's root;
        4. a key for the result is there if and only if the parties shall seal it, and is the one that was signed.

        Args:
            message: as it came.
            caller: the address in the caller's certificate.

        Raises:
            InvalidRequest, PartySetMismatch, NotPermitted, BadSignature: a step fails.
        """
        request = eip712.JobRequest.from_words(message.job_request)
        self._check_request(request, caller)
        request_digest = request.digest(self.domain)
        _check_signature(message.owner_signature, request_digest, request.owner)
        _check_shares(message, request, self.parties)
        _check_result_key(message, request)
        return AcceptedJob(request, request_digest, message, submission_digest(message))

    def _check_request(self, request: eip712.JobRequest, caller: Address) -> None:
        if request.owner != caller:
            raise NotPermitted("the request's owner is not the caller", remedy="connect with the owner's certificate")
        if request.party_set != self.party_set:
            raise PartySetMismatch("the request is for another party set", remedy="read GetNetwork again")
        if request.rows > self.max_rows:
            raise InvalidRequest(f"{request.rows} rows; a job has 1 to {self.max_rows}")


def submission_digest(message: coordinator_pb2.SubmitJobRequest) -> bytes:
    """What must be the same when a job is sent again: everything except whether the caller waits."""
    boxes = [part for box in message.sealed_inputs for part in (bytes([box.suite]), box.key_id, box.ciphertext)]
    return digest(
        "submission",
        message.job_request,
        message.owner_signature.signer,
        message.owner_signature.signature,
        *message.input_commitments,
        *boxes,
        message.result_key.public_key,
    )


def _check_signature(signature: common_pb2.Signature, request_digest: bytes, owner: Address) -> None:
    signer, data = signature_from(signature)
    if signer != owner:
        raise BadSignature("the signature is not by the request's owner")
    eip712.check_signer(request_digest, data, owner)


def _check_shares(message: coordinator_pb2.SubmitJobRequest, request: eip712.JobRequest, parties: int) -> None:
    if len(message.input_commitments) != parties or len(message.sealed_inputs) != parties:
        raise InvalidRequest(f"a job here has {parties} commitments and {parties} sealed shares")
    if any(len(commitment) != DIGEST_BYTES for commitment in message.input_commitments):
        raise InvalidRequest(f"an input commitment has {DIGEST_BYTES} bytes")
    for box in message.sealed_inputs:
        if not sealed_from(box).ciphertext:
            raise InvalidRequest("a sealed share is empty")
    if not same_digest(merkle.root(tuple(message.input_commitments)), request.input_root):
        raise InvalidRequest("the input commitments do not lead to the request's inputRoot")


def check_deadline(request: eip712.JobRequest, now_ms: int) -> None:
    """The deadline of a new job lies ahead, and within an hour.

    Args:
        request: what was signed.
        now_ms: unix time in milliseconds.

    Raises:
        DeadlineExpired, InvalidRequest: it does not.
    """
    if request.deadline <= now_ms:
        raise DeadlineExpired("the request's deadline has passed", remedy="submit a new job, and check the clock")
    if request.deadline > now_ms + MAX_AHEAD_MS:
        raise InvalidRequest("the request's deadline is more than an hour ahead")


def _check_result_key(message: coordinator_pb2.SubmitJobRequest, request: eip712.JobRequest) -> None:
    if request.delivery == eip712.Delivery.COORDINATOR:
        if message.HasField("result_key"):
            raise InvalidRequest("with delivery COORDINATOR there is no result key")
        return
    if not message.HasField("result_key"):
        raise InvalidRequest("with delivery CLIENT the request must carry a result key")
    if not same_digest(sealing_key_from(message.result_key).key_id, request.result_key):
        raise InvalidRequest("the result key is not the one that the owner signed")
