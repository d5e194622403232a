"""What a party checks of a job before anything is computed, each step by itself. None of it has a side effect."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mpc_infer.encoding import digest as canonical_digest
from mpc_infer.encoding import same_digest
from mpc_infer.errors import BadSignature, CommitmentMismatch, DeadlineExpired, InvalidRequest, NotPermitted, WrongShape
from mpc_infer.evidence import merkle
from mpc_infer.evidence.eip712 import Delivery, JobRequest, check_signer
from mpc_infer.graph import Graph
from mpc_infer.ids import Address, JobId
from mpc_infer.party.calls import JobCall, OwnerSignature, SessionCall
from mpc_infer.sharing.commitment import input_context, open_commitment, split_opening
from mpc_infer.sharing.contexts import sealed_input_context
from mpc_infer.sharing.sealing import SealingKeys, SealingPublicKey
from mpc_infer.sharing.tensors import decode_tensors

MAX_JOBS = 256
"""Most jobs in one session."""


@dataclass(frozen=True)
class CheckedJob:
    """A job that may run here.

    Attributes:
        call: as it came.
        digest: EIP-712 digest of the request: what the owner signed, and what names the request's contents.
        registry_block: at which it was judged.
        inputs: canonical tensor bytes of this party's input share.
    """

    call: JobCall
    digest: bytes
    registry_block: int
    inputs: bytes = field(repr=False)

    @property
    def request(self) -> JobRequest:
        """What the owner asked for."""
        return self.call.request

    @property
    def terms(self) -> bytes:
        """See `terms`."""
        return terms(self.digest, self.registry_block)

    @property
    def key(self) -> tuple[Address, JobId]:
        """Owner and job id."""
        return self.call.key


def terms(digest: bytes, registry_block: int) -> bytes:
    """What all parties of a session must have judged alike of a job: the request's contents, and the block at which."""
    return canonical_digest("terms", digest, registry_block.to_bytes(8, "big"))


def check_together(call: SessionCall) -> None:
    """The jobs belong in one session: one model, different ids, and rows for all of them.

    Raises:
        InvalidRequest: they do not.
    """
    requests = [job.request for job in call.jobs]
    if not 1 <= len(requests) <= MAX_JOBS:
        raise InvalidRequest(f"a session has 1 to {MAX_JOBS} jobs, not {len(requests)}")
    if len({request.model_hash for request in requests}) > 1:
        raise InvalidRequest("the jobs of a session are for different models")
    if len({request.job_id for request in requests}) < len(requests):
        raise InvalidRequest("a session names a job twice")
    if sum(request.rows for request in requests) > call.rows:
        raise InvalidRequest(f"the jobs have more rows together than the {call.rows} of their session")


def check_signature(digest: bytes, owner: Address, given: OwnerSignature) -> None:
    """The digest is signed by the owner, and by whom the message says.

    Raises:
        BadSignature: it is not.
    """
    if given.signer != owner:
        raise BadSignature(f"signed by {given.signer}, but the owner is {owner}")
    check_signer(digest, given.signature, owner)


def check_deadline(deadline_ms: int, now_ms: int, longest_s: float) -> None:
    """The deadline lies in the future, and not too far.

    Raises:
        DeadlineExpired, InvalidRequest: it does not.
    """
    if deadline_ms <= now_ms:
        raise DeadlineExpired(f"the deadline passed {now_ms - deadline_ms} ms ago", remedy="submit a new job")
    if deadline_ms - now_ms > 1000 * longest_s:
        raise InvalidRequest(f"the deadline lies more than {longest_s:.0f} s ahead", remedy="choose an earlier one")


def check_model_owner(registered: Address, named: Address) -> None:
    """The registry's owner of a model hash is the one in the manifest.

    Anybody may propose a hash that was seen on its way to the chain, and would then decide who may use the model.

    Raises:
        NotPermitted: it is somebody else.
    """
    if registered != named:
        raise NotPermitted(f"the model is {named}'s, but {registered} has registered it", remedy="publish it anew")


def check_delivery(request: JobRequest, result_key: SealingPublicKey | None) -> None:
    """There is a result key if and only if the client receives the result, and it is the one that was signed.

    Raises:
        InvalidRequest: otherwise.
    """
    if (request.delivery == Delivery.CLIENT) != (result_key is not None):
        raise InvalidRequest("a result key belongs to delivery CLIENT, and to no other")
    if result_key is not None and not same_digest(result_key.key_id, request.result_key):
        raise InvalidRequest("the result key is not the one that the owner signed")


def check_rows(rows: int, most: int) -> None:
    """The job is not larger than this party accepts.

    Raises:
        InvalidRequest: it is.
    """
    if not 1 <= rows <= most:
        raise InvalidRequest(f"{rows} rows; this party runs 1 to {most} at a time", remedy="split the input")


def check_root(commitments: Sequence[bytes], parties: int, root: bytes) -> None:
    """There is one commitment per party, and their root is the one that was signed.

    Raises:
        InvalidRequest, CommitmentMismatch: otherwise.
    """
    if len(commitments) != parties:
        raise InvalidRequest(f"{len(commitments)} input commitments for {parties} parties")
    if not same_digest(merkle.root(commitments), root):
        raise CommitmentMismatch("the input commitments are not those that the owner signed")


def open_input(call: JobCall, keys: SealingKeys, index: int, address: Address) -> bytes:
    """Unseal this party's input share and open its commitment.

    Returns:
        Canonical tensor bytes.

    Raises:
        SealingFailed: sealed to another key, for another job, model or party, by another owner, or changed.
        CommitmentMismatch: the share is not the one that was committed to.
    """
    request = call.request
    sealed_for = sealed_input_context(request.job_id, request.model_hash, request.owner, address)
    plaintext = keys.unseal(call.sealed_input, sealed_for)
    salt, share = split_opening(plaintext)
    context = input_context(request.job_id, request.model_hash, address)
    open_commitment(call.input_commitments[index], salt, context, share)
    return share


def check_shapes(inputs: bytes, graph: Graph, rows: int) -> None:
    """The share holds exactly the graph's inputs, for the rows that were signed.

    Raises:
        InvalidRequest: malformed bytes.
        WrongShape: other names or shapes.
    """
    shapes = {name: tensor.shape for name, tensor in decode_tensors(inputs).items()}
    expected = {spec.name: spec.with_batch(rows) for spec in graph.inputs}
    if shapes != expected:
        raise WrongShape(f"the input share has {_shown(shapes)}; the model takes {_shown(expected)}")


def _shown(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name[:40]}{list(shape)}" for name, shape in sorted(shapes.items())[:8]) or "nothing"
