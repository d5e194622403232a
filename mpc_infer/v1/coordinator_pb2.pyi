from mpc_infer.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JobState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    JOB_STATE_UNSPECIFIED: _ClassVar[JobState]
    JOB_STATE_ACCEPTED: _ClassVar[JobState]
    JOB_STATE_RUNNING: _ClassVar[JobState]
    JOB_STATE_DONE: _ClassVar[JobState]
    JOB_STATE_ANCHORED: _ClassVar[JobState]
    JOB_STATE_FAILED: _ClassVar[JobState]
JOB_STATE_UNSPECIFIED: JobState
JOB_STATE_ACCEPTED: JobState
JOB_STATE_RUNNING: JobState
JOB_STATE_DONE: JobState
JOB_STATE_ANCHORED: JobState
JOB_STATE_FAILED: JobState

class GetNetworkRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetNetworkResponse(_message.Message):
    __slots__ = ("chain_id", "party_registry", "model_registry", "receipt_anchor", "party_set", "parties")
    CHAIN_ID_FIELD_NUMBER: _ClassVar[int]
    PARTY_REGISTRY_FIELD_NUMBER: _ClassVar[int]
    MODEL_REGISTRY_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_ANCHOR_FIELD_NUMBER: _ClassVar[int]
    PARTY_SET_FIELD_NUMBER: _ClassVar[int]
    PARTIES_FIELD_NUMBER: _ClassVar[int]
    chain_id: int
    party_registry: bytes
    model_registry: bytes
    receipt_anchor: bytes
    party_set: bytes
    parties: _containers.RepeatedCompositeFieldContainer[_common_pb2.PartyInfo]
    def __init__(self, chain_id: _Optional[int] = ..., party_registry: _Optional[bytes] = ..., model_registry: _Optional[bytes] = ..., receipt_anchor: _Optional[bytes] = ..., party_set: _Optional[bytes] = ..., parties: _Optional[_Iterable[_Union[_common_pb2.PartyInfo, _Mapping]]] = ...) -> None: ...

class PublishModelRequest(_message.Message):
    __slots__ = ("manifest", "graph", "sealed_shares", "owner_signature", "public_weights")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    SEALED_SHARES_FIELD_NUMBER: _ClassVar[int]
    OWNER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    graph: bytes
    sealed_shares: _containers.RepeatedCompositeFieldContainer[_common_pb2.SealedBox]
    owner_signature: _common_pb2.Signature
    public_weights: bytes
    def __init__(self, manifest: _Optional[bytes] = ..., graph: _Optional[bytes] = ..., sealed_shares: _Optional[_Iterable[_Union[_common_pb2.SealedBox, _Mapping]]] = ..., owner_signature: _Optional[_Union[_common_pb2.Signature, _Mapping]] = ..., public_weights: _Optional[bytes] = ...) -> None: ...

class PublishModelResponse(_message.Message):
    __slots__ = ("model_hash", "holdings")
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    HOLDINGS_FIELD_NUMBER: _ClassVar[int]
    model_hash: bytes
    holdings: _containers.RepeatedCompositeFieldContainer[_common_pb2.Signature]
    def __init__(self, model_hash: _Optional[bytes] = ..., holdings: _Optional[_Iterable[_Union[_common_pb2.Signature, _Mapping]]] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ("name", "model_hash", "limit", "after")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    name: str
    model_hash: bytes
    limit: int
    after: bytes
    def __init__(self, name: _Optional[str] = ..., model_hash: _Optional[bytes] = ..., limit: _Optional[int] = ..., after: _Optional[bytes] = ...) -> None: ...

class ListModelsResponse(_message.Message):
    __slots__ = ("models",)
    MODELS_FIELD_NUMBER: _ClassVar[int]
    models: _containers.RepeatedCompositeFieldContainer[ModelSummary]
    def __init__(self, models: _Optional[_Iterable[_Union[ModelSummary, _Mapping]]] = ...) -> None: ...

class ModelSummary(_message.Message):
    __slots__ = ("model_hash", "manifest", "graph")
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    model_hash: bytes
    manifest: bytes
    graph: bytes
    def __init__(self, model_hash: _Optional[bytes] = ..., manifest: _Optional[bytes] = ..., graph: _Optional[bytes] = ...) -> None: ...

class SubmitJobRequest(_message.Message):
    __slots__ = ("job_request", "owner_signature", "input_commitments", "sealed_inputs", "result_key", "detach")
    JOB_REQUEST_FIELD_NUMBER: _ClassVar[int]
    OWNER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    INPUT_COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    SEALED_INPUTS_FIELD_NUMBER: _ClassVar[int]
    RESULT_KEY_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    job_request: bytes
    owner_signature: _common_pb2.Signature
    input_commitments: _containers.RepeatedScalarFieldContainer[bytes]
    sealed_inputs: _containers.RepeatedCompositeFieldContainer[_common_pb2.SealedBox]
    result_key: _common_pb2.SealingKey
    detach: bool
    def __init__(self, job_request: _Optional[bytes] = ..., owner_signature: _Optional[_Union[_common_pb2.Signature, _Mapping]] = ..., input_commitments: _Optional[_Iterable[bytes]] = ..., sealed_inputs: _Optional[_Iterable[_Union[_common_pb2.SealedBox, _Mapping]]] = ..., result_key: _Optional[_Union[_common_pb2.SealingKey, _Mapping]] = ..., detach: _Optional[bool] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("job_id", "state", "problem", "receipt", "output_commitments", "openings", "result", "sealed_outputs", "costs", "session_id")
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    SEALED_OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    COSTS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    state: JobState
    problem: _common_pb2.Problem
    receipt: _common_pb2.SignedReceipt
    output_commitments: _containers.RepeatedScalarFieldContainer[bytes]
    openings: _containers.RepeatedCompositeFieldContainer[_common_pb2.Opening]
    result: bytes
    sealed_outputs: _containers.RepeatedCompositeFieldContainer[_common_pb2.SealedBox]
    costs: _containers.RepeatedCompositeFieldContainer[_common_pb2.SessionCost]
    session_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ..., state: _Optional[_Union[JobState, str]] = ..., problem: _Optional[_Union[_common_pb2.Problem, _Mapping]] = ..., receipt: _Optional[_Union[_common_pb2.SignedReceipt, _Mapping]] = ..., output_commitments: _Optional[_Iterable[bytes]] = ..., openings: _Optional[_Iterable[_Union[_common_pb2.Opening, _Mapping]]] = ..., result: _Optional[bytes] = ..., sealed_outputs: _Optional[_Iterable[_Union[_common_pb2.SealedBox, _Mapping]]] = ..., costs: _Optional[_Iterable[_Union[_common_pb2.SessionCost, _Mapping]]] = ..., session_id: _Optional[bytes] = ...) -> None: ...

class SubmitJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class GetJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ...) -> None: ...

class GetJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ...) -> None: ...

class WatchJobResponse(_message.Message):
    __slots__ = ("job",)
    JOB_FIELD_NUMBER: _ClassVar[int]
    job: Job
    def __init__(self, job: _Optional[_Union[Job, _Mapping]] = ...) -> None: ...

class GetReceiptRequest(_message.Message):
    __slots__ = ("job_id",)
    JOB_ID_FIELD_NUMBER: _ClassVar[int]
    job_id: bytes
    def __init__(self, job_id: _Optional[bytes] = ...) -> None: ...

class GetReceiptResponse(_message.Message):
    __slots__ = ("receipt", "inclusion")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    INCLUSION_FIELD_NUMBER: _ClassVar[int]
    receipt: _common_pb2.SignedReceipt
    inclusion: _common_pb2.Inclusion
    def __init__(self, receipt: _Optional[_Union[_common_pb2.SignedReceipt, _Mapping]] = ..., inclusion: _Optional[_Union[_common_pb2.Inclusion, _Mapping]] = ...) -> None: ...
