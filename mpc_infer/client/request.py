"""A job request, ready to be sent: shares split, committed to and sealed, the request signed by the data owner."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mpc_infer.client.facts import ModelFacts, NetworkFacts, PartyFacts
from mpc_infer.evidence import eip712, merkle
from mpc_infer.evidence.eip712 import Delivery
from mpc_infer.identity.signer import Signer
from mpc_infer.ids import Address, JobId
from mpc_infer.rpc.messages import sealed_to, sealing_key_to, signature_to
from mpc_infer.sharing import (
    SealingKey,
    Suite,
    encode_tensors,
    fresh_salt,
    input_context,
    join_opening,
    seal,
    sealed_input_context,
    share_commitment,
    split,
)
from mpc_infer.v1 import common_pb2, coordinator_pb2

Ring = NDArray[np.uint64]


@dataclass(frozen=True)
class Prepared:
    """One job, as it is sent and as it is needed to check the answer.

    Attributes:
        request: what was signed.
        request_digest: its EIP-712 digest, which the receipt repeats.
        message: the bytes that are sent, and sent again unchanged when that is needed.
        network: the parties it is for.
        result_key: with delivery CLIENT, the private key that opens the result.
    """

    request: eip712.JobRequest
    request_digest: bytes
    message: coordinator_pb2.SubmitJobRequest
    network: NetworkFacts
    model: ModelFacts
    result_key: SealingKey | None

    @property
    def job_id(self) -> JobId:
        """The job's 32 random bytes."""
        return JobId(self.request.job_id)


@dataclass(frozen=True)
class _Recipient:
    party: PartyFacts
    job_id: JobId
    model: ModelFacts
    owner: Address

    def send(self, shares: Mapping[str, Ring]) -> tuple[bytes, common_pb2.SealedBox]:
        """Commit to one party's shares of the inputs, and seal them with their salt."""
        address, model_hash = self.party.address, self.model.manifest.hash
        salt, data = fresh_salt(), encode_tensors(shares)
        commitment = share_commitment(salt, input_context(self.job_id, model_hash, address), data)
        context = sealed_input_context(self.job_id, model_hash, self.owner, address)
        sealed = seal(join_opening(salt, data), self.party.sealing_key, context)
        return commitment, sealed_to(sealed)


@dataclass(frozen=True)
class Order:
    """What the caller asked for: the model, the encoded inputs, who gets the result, until when (unix ms)."""

    model: ModelFacts
    inputs: Mapping[str, Ring] = field(repr=False)
    rows: int
    delivery: Delivery
    deadline_ms: int
    detach: bool = False


def prepare(order: Order, network: NetworkFacts, domain: eip712.Domain, owner: Signer) -> Prepared:
    """Make a job's message.

    1. split every input into one uniform share per party;
    2. commit to each party's shares with a fresh salt, and seal both to that party under (job, model, party);
    3. sign the request, which names the root over the commitments.

    Args:
        order: what is to be computed.
        network: the parties and their keys, checked against the chain.
        domain: the EIP-712 domain of receipts.
        owner: the data owner's key.
    """
    job_id = JobId(secrets.token_bytes(32))
    commitments, sealed = _sealed_shares(order, network, job_id, owner.address)
    result_key = SealingKey.generate(Suite.MLKEM768_X25519) if order.delivery is Delivery.CLIENT else None
    request = eip712.JobRequest(
        job_id=job_id,
        model_hash=order.model.manifest.hash,
        party_set=network.party_set,
        input_root=merkle.root(commitments),
        owner=owner.address,
        delivery=int(order.delivery),
        result_key=eip712.ZERO_WORD if result_key is None else result_key.public.key_id,
        rows=order.rows,
        nonce=secrets.token_bytes(32),
        deadline=order.deadline_ms,
    )
    digest = request.digest(domain)
    message = coordinator_pb2.SubmitJobRequest(
        job_request=request.to_words(),
        owner_signature=signature_message(owner, digest),
        input_commitments=commitments,
        sealed_inputs=sealed,
        result_key=None if result_key is None else sealing_key_to(result_key.public),
        detach=order.detach,
    )
    return Prepared(request, digest, message, network, order.model, result_key)


def _sealed_shares(
    order: Order, network: NetworkFacts, job_id: JobId, owner: Address
) -> tuple[list[bytes], list[common_pb2.SealedBox]]:
    split_inputs = {name: split(ring, len(network.parties)) for name, ring in order.inputs.items()}
    commitments, boxes = [], []
    for index, party in enumerate(network.parties):
        shares = {name: each[index] for name, each in split_inputs.items()}
        commitment, box = _Recipient(party, job_id, order.model, owner).send(shares)
        commitments.append(commitment)
        boxes.append(box)
    return commitments, boxes


def signature_message(signer: Signer, digest: bytes) -> common_pb2.Signature:
    """Sign a digest."""
    return signature_to(signer.address, signer.sign_digest(digest))
