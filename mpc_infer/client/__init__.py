"""The SDK of data owners and model owners. It needs no torch, no database and, unless a model is published, no onnx."""

from mpc_infer.client.aio import AsyncClient
from mpc_infer.client.config import ClientConfig
from mpc_infer.client.jobs import Submission
from mpc_infer.client.owner import PublishedModel
from mpc_infer.client.result import Cost, InferenceResult, JobStatus, Timings
from mpc_infer.client.sync import Client
from mpc_infer.evidence.bundle import Bundle

__all__ = [
    "AsyncClient",
    "Bundle",
    "Client",
    "ClientConfig",
    "Cost",
    "InferenceResult",
    "JobStatus",
    "PublishedModel",
    "Submission",
    "Timings",
]
