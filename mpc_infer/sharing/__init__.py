"""What any holder of a share must know: ring, fixed point, streams, splitting, commitments, sealing, wire bytes."""

from mpc_infer.sharing.commitment import (
    SALT_BYTES,
    fresh_salt,
    input_context,
    join_opening,
    model_context,
    open_commitment,
    output_context,
    seed_commitment,
    share_commitment,
    split_opening,
)
from mpc_infer.sharing.contexts import (
    sealed_input_context,
    sealed_model_context,
    sealed_result_context,
    sealed_seed_context,
)
from mpc_infer.sharing.fixed import FRAC_BITS, LIMIT, FixedPoint, Ring, decode, encode
from mpc_infer.sharing.sealing import Sealed, SealingKey, SealingKeys, SealingPublicKey, Suite, seal
from mpc_infer.sharing.shares import combine, split
from mpc_infer.sharing.stream import SEED_BYTES, Stream, fresh_seed
from mpc_infer.sharing.tensors import decode_tensors, encode_tensors

__all__ = [
    "FRAC_BITS",
    "LIMIT",
    "SALT_BYTES",
    "SEED_BYTES",
    "FixedPoint",
    "Ring",
    "Sealed",
    "SealingKey",
    "SealingKeys",
    "SealingPublicKey",
    "Stream",
    "Suite",
    "combine",
    "decode",
    "decode_tensors",
    "encode",
    "encode_tensors",
    "fresh_salt",
    "fresh_seed",
    "input_context",
    "join_opening",
    "model_context",
    "open_commitment",
    "output_context",
    "seal",
    "sealed_input_context",
    "sealed_model_context",
    "sealed_result_context",
    "sealed_seed_context",
    "seed_commitment",
    "share_commitment",
    "split",
    "split_opening",
]
