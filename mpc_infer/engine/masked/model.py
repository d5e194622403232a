"""A model as the masked engine holds it: weights opened once under masks that its seeds expand to."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mpc_infer.encoding import digest
from mpc_infer.engine.api import DEFAULT
from mpc_infer.engine.link import Link, sum_ring
from mpc_infer.engine.masked.program import Program, Role, Slot
from mpc_infer.errors import ModelShareMismatch, PlanMismatch
from mpc_infer.preprocessing.masked_dealer import weight_mask
from mpc_infer.preprocessing.masked_requests import MaskedRequest
from mpc_infer.sharing import decode_tensors, encode_tensors
from mpc_infer.sharing.fixed import FixedPoint
from mpc_infer.sharing.stream import SEED_BYTES

Words = NDArray[np.uint64]
MAX_MODEL_BYTES = 1 << 33
Shares = Mapping[str, Words]


@dataclass(frozen=True, repr=False)
class Weight:
    """A weight at one party: its share, and the weight under its mask, the same at every party."""

    share: Words
    masked: Words


@dataclass(frozen=True, repr=False)
class MaskedModel:
    """A model that is ready for sessions.

    Attributes:
        seed: 32 bytes, this party's; it travels to the dealer, sealed, with every request for material.
        weights, biases: secret, by slot.
        public: weights that everybody may know, by slot.
        fixed: how its numbers are held.
    """

    seed: bytes
    weights: Mapping[Slot, Weight]
    biases: Mapping[Slot, Words]
    public: Mapping[Slot, Words]
    fixed: FixedPoint

    @cached_property
    def digest(self) -> bytes:
        """Over all masked weights and all public ones: the same at every party that opened them together."""
        known = [weight.masked for weight in self.weights.values()] + list(self.public.values())
        return digest("masked-model", *(array.tobytes() for array in known))

    def to_bytes(self) -> bytes:
        """What lets a lane that starts anew go on with this model (see `restore_model`). Secret: it holds the seed."""
        masked = {f"{index}": weight.masked for index, weight in enumerate(self.weights.values())}
        return self.seed + encode_tensors(masked) if masked else self.seed


def weight_slots(program: Program) -> list[tuple[MaskedRequest, Slot]]:
    """The weights of a program with their requests, in order."""
    return [(request, program.slots[request.params[0]]) for request in program.requests if request.op == "weight"]


def open_model(program: Program, weights: Shares, seed: bytes, link: Link, fixed: FixedPoint = DEFAULT) -> MaskedModel:
    """Open all weights under their masks, once per model and lane. Rounds: one to agree, and one for each weight.

    1. Agree on the slots, and on public weights.
    2. For each weight: expand the share of the mask, add the share of the weight, open the sum.

    What is opened is uniform: the masks are, as long as one party's seed is unknown to the others.

    Args:
        program: of any batch: weights do not depend on it.
        weights: this party's shares, and public weights as they are, by the graph's names.
        seed: 32 fresh bytes, used for this model only.
        link: in a session.
        fixed: of the model.

    Raises:
        SessionAborted: as the link; PlanMismatch when parties open different models.
        ModelShareMismatch: a share is missing, or of another shape.
    """
    slots = weight_slots(program)
    biases, public = _of_role(program, weights, Role.BIAS), _public(program, weights)
    known = (array.tobytes() for array in public.values())
    ours = digest("model-slots", repr([slot for _, slot in slots]).encode(), *known)
    for party, theirs in enumerate(link.exchange_bytes([ours] * link.size, max_bytes=len(ours))):
        if theirs != ours:
            raise PlanMismatch(f"party {party} opens another model", party=party)
    opened = {slot: _open(request, slot_share(slot, weights), seed, link) for request, slot in slots}
    return MaskedModel(seed, opened, biases, public, fixed)


def restore_model(program: Program, weights: Shares, data: bytes, fixed: FixedPoint) -> MaskedModel:
    """The model that `MaskedModel.to_bytes` kept, without the other parties. They check its digest in every session.

    Args:
        program: of any batch.
        weights: as for `open_model`.
        fixed: of the model.

    Raises:
        ModelShareMismatch: the bytes are of another model.
        InvalidRequest: they are damaged.
    """
    slots = [slot for _, slot in weight_slots(program)]
    kept = decode_tensors(data[SEED_BYTES:], max_bytes=MAX_MODEL_BYTES) if slots else {}
    shares = [slot_share(slot, weights) for slot in slots]
    if [kept[key].shape for key in sorted(kept, key=int)] != [share.shape for share in shares]:
        raise ModelShareMismatch("what was kept of the model does not fit its graph")
    weighed = [Weight(share, kept[f"{index}"]) for index, share in enumerate(shares)]
    biases, public = _of_role(program, weights, Role.BIAS), _public(program, weights)
    return MaskedModel(data[:SEED_BYTES], dict(zip(slots, weighed, strict=True)), biases, public, fixed)


def _of_role(program: Program, weights: Shares, *roles: Role) -> dict[Slot, Words]:
    return {slot: slot_share(slot, weights) for slot in program.slots if slot.role in roles}


def _public(program: Program, weights: Shares) -> dict[Slot, Words]:
    return _of_role(program, weights, Role.ADDEND, Role.CONSTANT)


def slot_share(slot: Slot, weights: Shares) -> Words:
    """This party's share of a tensor, or a public one, as its slot takes it.

    Raises:
        ModelShareMismatch: missing, or of another size.
    """
    array = weights.get(slot.name)
    if array is None or array.dtype != np.uint64 or array.size != int(np.prod(slot.shape)):
        raise ModelShareMismatch(f"what this party has of {slot.name!r} is missing, or of another size or type")
    if slot.permute:
        array = array.reshape(slot.view).transpose(slot.permute)
    return np.ascontiguousarray(array.reshape(slot.shape)) << np.uint64(slot.shift)


def _open(request: MaskedRequest, share: Words, seed: bytes, link: Link) -> Weight:
    masked = sum_ring(link.exchange(share + weight_mask(seed, request)))
    return Weight(share, masked.reshape(share.shape))
