"""The party's gRPC face: translate, hand on, translate back."""

from typing import Any

from mpc_infer.encoding import address_bytes
from mpc_infer.party.messages import (
    abort_call,
    install_call,
    open_call,
    prepare_answer,
    prepare_call,
    root_call,
    session_answer,
    session_call,
)
from mpc_infer.party.service import MAX_BATCH, Party
from mpc_infer.party.stock_messages import drop_call, list_answer
from mpc_infer.rpc.messages import sealing_key_to, signature_to
from mpc_infer.v1 import common_pb2, party_pb2, party_pb2_grpc


class PartyServicer(party_pb2_grpc.PartyServiceServicer):
    """Translates.

    Args:
        party: the work.
        lanes: how many lanes it has.
    """

    def __init__(self, party: Party, lanes: int) -> None:
        self._party = party
        self._lanes = lanes

    async def GetInfo(self, request: Any, context: Any) -> party_pb2.GetInfoResponse:  # noqa: N802
        """Who this party is."""
        identity = self._party.identity
        keys = [sealing_key_to(key) for key in identity.sealing_keys.public_keys]
        place = identity.place
        info = common_pb2.PartyInfo(index=place.index, address=address_bytes(place.address), sealing_keys=keys)
        engines = [identity.engine]
        return party_pb2.GetInfoResponse(info=info, party_set=place.party_set, lanes=self._lanes, engines=engines)

    async def InstallModel(  # noqa: N802
        self, request: party_pb2.InstallModelRequest, context: Any
    ) -> party_pb2.InstallModelResponse:
        """Keep a model."""
        _, signature = await self._party.install(install_call(request))
        return party_pb2.InstallModelResponse(holding=signature_to(self._party.identity.signer.address, signature))

    async def PrepareMaterial(  # noqa: N802
        self, request: party_pb2.PrepareMaterialRequest, context: Any
    ) -> party_pb2.PrepareMaterialResponse:
        """Make material ahead."""
        return prepare_answer(await self._party.prepare(prepare_call(request)))

    async def OpenModel(  # noqa: N802
        self, request: party_pb2.OpenModelRequest, context: Any
    ) -> party_pb2.OpenModelResponse:
        """Open a model, or say whether it is open."""
        digest = await self._party.open(open_call(request))
        return party_pb2.OpenModelResponse(open=digest is not None, digest=digest or b"")

    async def RunSession(  # noqa: N802
        self, request: party_pb2.RunSessionRequest, context: Any
    ) -> party_pb2.RunSessionResponse:
        """Run a session of several jobs."""
        return session_answer(await self._party.run(session_call(request)))

    async def ListMaterial(  # noqa: N802
        self, request: party_pb2.ListMaterialRequest, context: Any
    ) -> party_pb2.ListMaterialResponse:
        """What is ready."""
        return list_answer(self._party.material())

    async def DropMaterial(  # noqa: N802
        self, request: party_pb2.DropMaterialRequest, context: Any
    ) -> party_pb2.DropMaterialResponse:
        """Give up material."""
        await self._party.drop_material(drop_call(request))
        return party_pb2.DropMaterialResponse()

    async def AbortSession(  # noqa: N802
        self, request: party_pb2.AbortSessionRequest, context: Any
    ) -> party_pb2.AbortSessionResponse:
        """End a session."""
        self._party.abort(*abort_call(request))
        return party_pb2.AbortSessionResponse()

    async def SignRoot(  # noqa: N802
        self, request: party_pb2.SignRootRequest, context: Any
    ) -> party_pb2.SignRootResponse:
        """Sign a batch's root."""
        root, signature = await self._party.sign_root(*root_call(request, MAX_BATCH))
        signed = signature_to(self._party.identity.signer.address, signature)
        return party_pb2.SignRootResponse(root=root, signature=signed)
