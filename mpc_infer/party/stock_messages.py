"""ListMaterial and DropMaterial between party.proto and plain values."""

from collections.abc import Iterable

from mpc_infer.errors import InvalidRequest
from mpc_infer.ids import MaterialId
from mpc_infer.party.stock_files import ID_BYTES
from mpc_infer.rpc.messages import exactly
from mpc_infer.store import MaterialRecord
from mpc_infer.v1 import party_pb2

MAX_DROPPED = 4096
"""Most batches of material dropped in one call."""


def drop_call(message: party_pb2.DropMaterialRequest) -> list[MaterialId]:
    """DropMaterial.

    Raises:
        InvalidRequest: too many ids, or one that is none.
    """
    if len(message.material_ids) > MAX_DROPPED:
        raise InvalidRequest(f"{len(message.material_ids)} batches to drop; at most {MAX_DROPPED} are dropped at once")
    return [MaterialId(exactly(one, ID_BYTES, "a material id")) for one in message.material_ids]


def list_answer(records: Iterable[MaterialRecord]) -> party_pb2.ListMaterialResponse:
    """The answer to ListMaterial."""
    infos = (
        party_pb2.MaterialInfo(
            material_id=record.material_id,
            lane=record.lane,
            model_hash=record.model_hash,
            rows=record.rows,
            bytes=record.bytes,
        )
        for record in records
    )
    return party_pb2.ListMaterialResponse(materials=infos)
