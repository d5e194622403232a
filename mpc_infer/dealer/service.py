"""Seeds in, corrections out. Nothing is kept, nothing is logged but sizes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mpc_infer.dealer.config import DealerLimits
from mpc_infer.encoding import DIGEST_BYTES, same_digest
from mpc_infer.errors import CommitmentMismatch, InvalidRequest, MessageTooLarge
from mpc_infer.ids import Address, MaterialId
from mpc_infer.preprocessing import ModelMasks, Plan, PlanLimits, corrections
from mpc_infer.sharing.commitment import seed_commitment
from mpc_infer.sharing.contexts import sealed_seed_context
from mpc_infer.sharing.sealing import Sealed, SealingKeys, SealingPublicKey

MATERIAL_ID_BYTES = 16
CHUNK_BYTES = 1 << 20
MAX_BATCHES = 64


@dataclass(frozen=True)
class CorrectionsRequest:
    """What a party asks for; see dealer.proto."""

    material_id: MaterialId
    plan: bytes
    seed_commitments: tuple[bytes, ...]
    sealed_seeds: tuple[Sealed, ...]
    batches: int = 1


class Dealer:
    """The dealer's work, all of it a function of the request and the sealing keys.

    Args:
        keys: the keys to which parties seal their seeds.
        limits: what one request may cost.
    """

    def __init__(self, keys: SealingKeys, limits: DealerLimits) -> None:
        self._keys = keys
        self._limits = limits
        self._masks = ModelMasks()

    @property
    def sealing_key(self) -> SealingPublicKey:
        """The key that parties should seal to."""
        return self._keys.public()

    def corrections(self, request: CorrectionsRequest, caller: Address) -> Iterator[bytes]:
        """Expand the parties' seeds for a plan.

        1. Check sizes, then the plan.
        2. Open every seed in the context that names the material, the plan, the number of batches, all commitments, the
           party and the caller.
        3. Check every seed against its commitment.
        4. Expand, and stream what makes the sums right.

        Args:
            request: the sealed seeds and the plan.
            caller: from the caller's certificate: the only party for which these seeds open.

        Returns:
            Pieces of about 1 MiB. Nothing is computed before the first is asked for except steps 1 to 3.

        Raises:
            InvalidRequest, MessageTooLarge: malformed, or over a limit.
            SealingFailed: a seed was sealed for another plan, material, number of batches, set of commitments or
                receiver.
            CommitmentMismatch: a seed does not open its commitment.
        """
        plan = self._checked_plan(request)
        contexts = [
            sealed_seed_context(
                request.material_id, plan.digest, request.seed_commitments, index, caller, request.batches
            )
            for index in range(plan.parties)
        ]
        seeds = [self._keys.unseal(box, context) for box, context in zip(request.sealed_seeds, contexts, strict=True)]
        _check_seeds(request, seeds, plan.seed_bytes)
        return in_chunks(corrections(seeds, plan, request.batches, self._masks), CHUNK_BYTES)

    def _checked_plan(self, request: CorrectionsRequest) -> Plan:
        if len(request.material_id) != MATERIAL_ID_BYTES:
            raise InvalidRequest(f"a material id has {MATERIAL_ID_BYTES} bytes, not {len(request.material_id)}")
        if len(request.plan) > self._limits.max_plan_bytes:
            raise MessageTooLarge(f"a plan of {len(request.plan)} bytes; the limit is {self._limits.max_plan_bytes}")
        limits = PlanLimits(correction_bytes=self._limits.max_correction_bytes, work=self._limits.max_work)
        plan = Plan.from_bytes(request.plan, limits)
        if not plan.parties == len(request.seed_commitments) == len(request.sealed_seeds):
            raise InvalidRequest(f"the plan is for {plan.parties} parties; that many seeds and commitments are due")
        self._check_batches(request.batches, plan)
        if any(len(commitment) != DIGEST_BYTES for commitment in request.seed_commitments):
            raise InvalidRequest(f"a seed commitment has {DIGEST_BYTES} bytes")
        return plan

    def _check_batches(self, batches: int, plan: Plan) -> None:
        if not 1 <= batches <= MAX_BATCHES:
            raise InvalidRequest(f"{batches} batches; one request makes 1 to {MAX_BATCHES}")
        most = self._limits.max_correction_bytes
        if batches * plan.correction_bytes > most:
            raise MessageTooLarge(f"{batches} times {plan.correction_bytes} bytes of corrections; the limit is {most}")
        if batches * plan.work > self._limits.max_work:
            raise MessageTooLarge(f"{batches} times {plan.work} multiplications; the limit is {self._limits.max_work}")


def _check_seeds(request: CorrectionsRequest, seeds: Sequence[bytes], length: int) -> None:
    for index, (seed, commitment) in enumerate(zip(seeds, request.seed_commitments, strict=True)):
        if len(seed) != length:
            raise InvalidRequest(f"the seed of party {index} does not have {length} bytes", party=index)
        if not same_digest(commitment, seed_commitment(request.material_id, index, seed)):
            raise CommitmentMismatch(f"the seed of party {index} does not open its commitment", party=index)


def in_chunks(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of `size`, the last one shorter."""
    pending = bytearray()
    for piece in pieces:
        pending += piece
        start = 0
        while len(pending) - start >= size:
            yield bytes(pending[start : start + size])
            start += size
        del pending[:start]
    if pending:
        yield bytes(pending)
