"""Jobs as an honest client would never send them."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mpc_infer.client import AsyncClient
from mpc_infer.client.jobs import Jobs, Submission
from mpc_infer.client.loop import LoopThread
from mpc_infer.client.request import Order, Prepared, prepare, signature_message
from mpc_infer.client.result import InferenceResult
from mpc_infer.evidence.eip712 import Delivery
from mpc_infer.rpc.status import error_of
from mpc_infer.sharing import fixed
from mpc_infer.v1 import coordinator_pb2

DEADLINE_S = 20.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Crafter:
    """A client whose every byte can be changed before it is sent."""

    def __init__(self, config: Path) -> None:
        self._client = AsyncClient(config)
        self._loop = LoopThread("crafter")

    def close(self) -> None:
        self._loop.run(self._client.close())
        self._loop.close()

    def prepare(self, model: str, values: NDArray[Any], *, rows: int | None = None, **changes: Any) -> Prepared:
        """An honest job, but for its inputs, which nobody checks."""
        return self._loop.run(self._prepare(model, values, rows, changes))

    async def _prepare(self, model: str, values: NDArray[Any], rows: int | None, changes: dict[str, Any]) -> Prepared:
        core = self._client.core
        network, facts = await core.facts.network(), await core.facts.model(model)
        ring = values if values.dtype == np.uint64 else fixed.encode(values)
        order = Order(
            model=facts,
            inputs={changes.pop("name", "x"): ring},
            rows=len(values) if rows is None else rows,
            delivery=Delivery.COORDINATOR,
            deadline_ms=now_ms() + int(1000 * DEADLINE_S),
        )
        prepared = prepare(order, network, core.domain, core.signer)
        return self._resigned(prepared, changes) if changes else prepared

    def changed(self, prepared: Prepared, **changes: Any) -> Prepared:
        """The same job with other fields in the request, signed again."""
        return self._loop.run(self._changed(prepared, changes))

    async def _changed(self, prepared: Prepared, changes: dict[str, Any]) -> Prepared:
        return self._resigned(prepared, changes)

    def _resigned(self, prepared: Prepared, changes: dict[str, Any]) -> Prepared:
        core = self._client.core
        request = dataclasses.replace(prepared.request, **changes)
        digest = request.digest(core.domain)
        message = coordinator_pb2.SubmitJobRequest()
        message.CopyFrom(prepared.message)
        message.job_request = request.to_words()
        message.owner_signature.CopyFrom(signature_message(core.signer, digest))
        return dataclasses.replace(prepared, request=request, request_digest=digest, message=message)

    def send(self, prepared: Prepared, seconds: float = DEADLINE_S) -> coordinator_pb2.Job:
        """Send, and raise the error that comes back, by status or in the job."""
        return self._loop.run(self._send(prepared, seconds))

    async def _send(self, prepared: Prepared, seconds: float) -> coordinator_pb2.Job:
        deadline = time.monotonic() + seconds
        answer = await self._client.core.door.call("SubmitJob", prepared.message, deadline)
        if answer.job.HasField("problem"):
            raise error_of(answer.job.problem)
        return answer.job

    def check(self, prepared: Prepared, job: coordinator_pb2.Job) -> InferenceResult:
        """What the SDK makes of an answer."""
        now = time.monotonic()
        return Jobs(self._client.core).checked(Submission(prepared, now, now), job)
