"""CoordinatorService over gRPC: who calls, and nothing else. The gate turns errors into statuses."""

from collections.abc import AsyncIterator
from typing import Any

from mpc_infer.coordinator.service import CoordinatorService
from mpc_infer.rpc.policy import peer_of
from mpc_infer.v1 import coordinator_pb2 as pb
from mpc_infer.v1 import coordinator_pb2_grpc


class CoordinatorServicer(coordinator_pb2_grpc.CoordinatorServiceServicer):
    """Thin: one line per method."""

    def __init__(self, service: CoordinatorService) -> None:
        self._service = service

    async def GetNetwork(self, request: pb.GetNetworkRequest, context: Any) -> pb.GetNetworkResponse:  # noqa: N802
        """The chain, the contracts and the party set."""
        return await self._service.network()

    async def PublishModel(self, request: pb.PublishModelRequest, context: Any) -> pb.PublishModelResponse:  # noqa: N802
        """Relay a model's shares to the parties."""
        return await self._service.publish(request, peer_of(context).address)

    async def ListModels(self, request: pb.ListModelsRequest, context: Any) -> pb.ListModelsResponse:  # noqa: N802
        """The models that the parties hold."""
        return await self._service.models(request)

    async def SubmitJob(self, request: pb.SubmitJobRequest, context: Any) -> pb.SubmitJobResponse:  # noqa: N802
        """Run a job."""
        return pb.SubmitJobResponse(job=await self._service.submit(request, peer_of(context).address))

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:  # noqa: N802
        """The state of a job."""
        return pb.GetJobResponse(job=await self._service.job(request.job_id, peer_of(context).address))

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.WatchJobResponse]:  # noqa: N802
        """Every change of a job's state."""
        async for job in self._service.watch(request.job_id, peer_of(context).address):
            yield pb.WatchJobResponse(job=job)

    async def GetReceipt(self, request: pb.GetReceiptRequest, context: Any) -> pb.GetReceiptResponse:  # noqa: N802
        """A job's receipt."""
        return await self._service.receipt(request.job_id, peer_of(context).address)
