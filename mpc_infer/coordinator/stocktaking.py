"""What material the parties have in common: asked after a start, after a party was away, and after a failed session.

A party keeps material over its own restarts and the coordinator's, and never makes ready again what was begun. So what
all parties list with equal facts is stock; what only some list can never be used, and is given up.
"""

from collections.abc import Mapping, Sequence

from mpc_infer.coordinator.material import Shape, Stock
from mpc_infer.coordinator.parties import PartyDoor, on_all
from mpc_infer.ids import MaterialId, ModelHash
from mpc_infer.v1 import party_pb2

ASK_S = 2.0
MAX_IDS = 4096
"""Ids in one DropMaterial, as many as a party takes."""
Listed = Mapping[MaterialId, tuple[Shape, int]]


async def take_stock(parties: Sequence[PartyDoor], stock: Stock, lane: int, lanes: int) -> int:
    """Count on a lane what all parties have ready there, and have them give up the rest.

    Args:
        parties: of the set.
        stock: gets what is found.
        lane: the caller holds it, so that nothing is made or used on it meanwhile.
        lanes: how many are used; with lane 0, material of lanes beyond is given up, too.

    Returns:
        How many batches are ready.

    Raises:
        MpcInferError: a party did not answer.
    """
    request = party_pb2.ListMaterialRequest()
    answers = await on_all(parties, lambda party: party.call("ListMaterial", request, ASK_S))
    mine = [_listed(answer, lane) for answer in answers]
    common = _common(mine)
    unwanted = stock.replace(lane, [(*common[material_id], material_id) for material_id in common])
    strays = {material_id for each in mine for material_id in each if material_id not in common}
    if lane == 0:
        listed = (each for answer in answers for each in answer.materials)
        strays |= {MaterialId(each.material_id) for each in listed if each.lane >= lanes}
    await give_up(parties, [*unwanted, *strays])
    return len(common)


async def give_up(parties: Sequence[PartyDoor], ids: Sequence[MaterialId]) -> None:
    """Tell all parties that material will never be used.

    Raises:
        MpcInferError: a party did not answer.
    """
    for start in range(0, len(ids), MAX_IDS):
        await _drop(parties, party_pb2.DropMaterialRequest(material_ids=ids[start : start + MAX_IDS]))


async def _drop(parties: Sequence[PartyDoor], request: party_pb2.DropMaterialRequest) -> None:
    await on_all(parties, lambda party: party.call("DropMaterial", request, ASK_S))


def _listed(answer: party_pb2.ListMaterialResponse, lane: int) -> Listed:
    return {
        MaterialId(each.material_id): (Shape(ModelHash(each.model_hash), each.rows), each.bytes)
        for each in answer.materials
        if each.lane == lane
    }


def _common(listed: Sequence[Listed]) -> Listed:
    """What all list, for the same shape; with the largest size, in the first party's order."""
    common = {}
    for material_id, (shape, _) in listed[0].items():
        found = [each[material_id] for each in listed if material_id in each]
        if len(found) == len(listed) and all(each[0] == shape for each in found):
            common[material_id] = (shape, max(each[1] for each in found))
    return common
