"""The contexts in which messages are sealed: a box opens only where it was meant to be opened."""

from collections.abc import Sequence

from mpc_infer.encoding import address_bytes, digest
from mpc_infer.ids import Address, JobId, MaterialId, ModelHash


def sealed_input_context(job_id: JobId, model_hash: ModelHash, owner: Address, party_address: Address) -> bytes:
    """A data owner's input share for one party in one job.

    The owner is part of it: whoever relays the box could otherwise have it opened in a job of somebody else, who
    chooses the job's id and who receives the result.
    """
    return digest("sealed-input", job_id, model_hash, address_bytes(owner), address_bytes(party_address))


def sealed_model_context(model_hash: ModelHash, party_address: Address) -> bytes:
    """A model owner's weight share for one party."""
    return digest("sealed-model", model_hash, address_bytes(party_address))


def sealed_result_context(job_id: JobId, party_address: Address) -> bytes:
    """One party's output share for the client of a job."""
    return digest("sealed-result", job_id, address_bytes(party_address))


def sealed_seed_context(
    material_id: MaterialId,
    plan_digest: bytes,
    seed_commitments: Sequence[bytes],
    party_index: int,
    receiver_address: Address,
    batches: int = 1,
) -> bytes:
    """One party's material seed for the dealer.

    All parties' commitments are part of it, so that a seed cannot be used beside other seeds than those agreed on;
    and so are the only party that may receive the corrections, and how many batches the parties agreed to draw from
    these seeds.
    """
    numbers = [number.to_bytes(4, "big") for number in (batches, party_index)]
    receiver = address_bytes(receiver_address)
    return digest("sealed-seed", material_id, plan_digest, *numbers, receiver, *seed_commitments)
