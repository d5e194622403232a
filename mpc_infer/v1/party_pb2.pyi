from mpc_infer.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetInfoResponse(_message.Message):
    __slots__ = ("info", "party_set", "lanes", "engines")
    INFO_FIELD_NUMBER: _ClassVar[int]
    PARTY_SET_FIELD_NUMBER: _ClassVar[int]
    LANES_FIELD_NUMBER: _ClassVar[int]
    ENGINES_FIELD_NUMBER: _ClassVar[int]
    info: _common_pb2.PartyInfo
    party_set: bytes
    lanes: int
    engines: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, info: _Optional[_Union[_common_pb2.PartyInfo, _Mapping]] = ..., party_set: _Optional[bytes] = ..., lanes: _Optional[int] = ..., engines: _Optional[_Iterable[str]] = ...) -> None: ...

class InstallModelRequest(_message.Message):
    __slots__ = ("manifest", "graph", "sealed_share", "owner_signature", "public_weights")
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    GRAPH_FIELD_NUMBER: _ClassVar[int]
    SEALED_SHARE_FIELD_NUMBER: _ClassVar[int]
    OWNER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    manifest: bytes
    graph: bytes
    sealed_share: _common_pb2.SealedBox
    owner_signature: _common_pb2.Signature
    public_weights: bytes
    def __init__(self, manifest: _Optional[bytes] = ..., graph: _Optional[bytes] = ..., sealed_share: _Optional[_Union[_common_pb2.SealedBox, _Mapping]] = ..., owner_signature: _Optional[_Union[_common_pb2.Signature, _Mapping]] = ..., public_weights: _Optional[bytes] = ...) -> None: ...

class InstallModelResponse(_message.Message):
    __slots__ = ("holding",)
    HOLDING_FIELD_NUMBER: _ClassVar[int]
    holding: _common_pb2.Signature
    def __init__(self, holding: _Optional[_Union[_common_pb2.Signature, _Mapping]] = ...) -> None: ...

class PrepareMaterialRequest(_message.Message):
    __slots__ = ("material_id", "lane", "model_hash", "rows", "deadline_ms", "further_ids")
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    FURTHER_IDS_FIELD_NUMBER: _ClassVar[int]
    material_id: bytes
    lane: int
    model_hash: bytes
    rows: int
    deadline_ms: int
    further_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, material_id: _Optional[bytes] = ..., lane: _Optional[int] = ..., model_hash: _Optional[bytes] = ..., rows: _Optional[int] = ..., deadline_ms: _Optional[int] = ..., further_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class PrepareMaterialResponse(_message.Message):
    __slots__ = ("plan_digest", "offline_ms", "material_bytes")
    PLAN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_MS_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    plan_digest: bytes
    offline_ms: float
    material_bytes: int
    def __init__(self, plan_digest: _Optional[bytes] = ..., offline_ms: _Optional[float] = ..., material_bytes: _Optional[int] = ...) -> None: ...

class JobAnswer(_message.Message):
    __slots__ = ("receipt", "signature", "output_commitments", "opening", "sealed_output", "cost", "session_id")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    OPENING_FIELD_NUMBER: _ClassVar[int]
    SEALED_OUTPUT_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    signature: _common_pb2.Signature
    output_commitments: _containers.RepeatedScalarFieldContainer[bytes]
    opening: _common_pb2.Opening
    sealed_output: _common_pb2.SealedBox
    cost: _common_pb2.SessionCost
    session_id: bytes
    def __init__(self, receipt: _Optional[bytes] = ..., signature: _Optional[_Union[_common_pb2.Signature, _Mapping]] = ..., output_commitments: _Optional[_Iterable[bytes]] = ..., opening: _Optional[_Union[_common_pb2.Opening, _Mapping]] = ..., sealed_output: _Optional[_Union[_common_pb2.SealedBox, _Mapping]] = ..., cost: _Optional[_Union[_common_pb2.SessionCost, _Mapping]] = ..., session_id: _Optional[bytes] = ...) -> None: ...

class OpenModelRequest(_message.Message):
    __slots__ = ("session_id", "lane", "model_hash", "deadline_ms")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    lane: int
    model_hash: bytes
    deadline_ms: int
    def __init__(self, session_id: _Optional[bytes] = ..., lane: _Optional[int] = ..., model_hash: _Optional[bytes] = ..., deadline_ms: _Optional[int] = ...) -> None: ...

class OpenModelResponse(_message.Message):
    __slots__ = ("open", "digest")
    OPEN_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    open: bool
    digest: bytes
    def __init__(self, open: _Optional[bool] = ..., digest: _Optional[bytes] = ...) -> None: ...

class PartyJob(_message.Message):
    __slots__ = ("job_request", "owner_signature", "input_commitments", "sealed_input", "result_key")
    JOB_REQUEST_FIELD_NUMBER: _ClassVar[int]
    OWNER_SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    INPUT_COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    SEALED_INPUT_FIELD_NUMBER: _ClassVar[int]
    RESULT_KEY_FIELD_NUMBER: _ClassVar[int]
    job_request: bytes
    owner_signature: _common_pb2.Signature
    input_commitments: _containers.RepeatedScalarFieldContainer[bytes]
    sealed_input: _common_pb2.SealedBox
    result_key: _common_pb2.SealingKey
    def __init__(self, job_request: _Optional[bytes] = ..., owner_signature: _Optional[_Union[_common_pb2.Signature, _Mapping]] = ..., input_commitments: _Optional[_Iterable[bytes]] = ..., sealed_input: _Optional[_Union[_common_pb2.SealedBox, _Mapping]] = ..., result_key: _Optional[_Union[_common_pb2.SealingKey, _Mapping]] = ...) -> None: ...

class RunSessionRequest(_message.Message):
    __slots__ = ("session_id", "lane", "material_id", "registry_block", "rows", "jobs")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    REGISTRY_BLOCK_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    JOBS_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    lane: int
    material_id: bytes
    registry_block: int
    rows: int
    jobs: _containers.RepeatedCompositeFieldContainer[PartyJob]
    def __init__(self, session_id: _Optional[bytes] = ..., lane: _Optional[int] = ..., material_id: _Optional[bytes] = ..., registry_block: _Optional[int] = ..., rows: _Optional[int] = ..., jobs: _Optional[_Iterable[_Union[PartyJob, _Mapping]]] = ...) -> None: ...

class RunSessionResponse(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[PartyAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[PartyAnswer, _Mapping]]] = ...) -> None: ...

class PartyAnswer(_message.Message):
    __slots__ = ("done", "problem")
    DONE_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    done: JobAnswer
    problem: _common_pb2.Problem
    def __init__(self, done: _Optional[_Union[JobAnswer, _Mapping]] = ..., problem: _Optional[_Union[_common_pb2.Problem, _Mapping]] = ...) -> None: ...

class ListMaterialRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MaterialInfo(_message.Message):
    __slots__ = ("material_id", "lane", "model_hash", "rows", "bytes")
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    LANE_FIELD_NUMBER: _ClassVar[int]
    MODEL_HASH_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    material_id: bytes
    lane: int
    model_hash: bytes
    rows: int
    bytes: int
    def __init__(self, material_id: _Optional[bytes] = ..., lane: _Optional[int] = ..., model_hash: _Optional[bytes] = ..., rows: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class ListMaterialResponse(_message.Message):
    __slots__ = ("materials",)
    MATERIALS_FIELD_NUMBER: _ClassVar[int]
    materials: _containers.RepeatedCompositeFieldContainer[MaterialInfo]
    def __init__(self, materials: _Optional[_Iterable[_Union[MaterialInfo, _Mapping]]] = ...) -> None: ...

class DropMaterialRequest(_message.Message):
    __slots__ = ("material_ids",)
    MATERIAL_IDS_FIELD_NUMBER: _ClassVar[int]
    material_ids: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, material_ids: _Optional[_Iterable[bytes]] = ...) -> None: ...

class DropMaterialResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AbortSessionRequest(_message.Message):
    __slots__ = ("session_id", "reason")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    reason: str
    def __init__(self, session_id: _Optional[bytes] = ..., reason: _Optional[str] = ...) -> None: ...

class AbortSessionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SignRootRequest(_message.Message):
    __slots__ = ("receipt_digests", "reminders")
    RECEIPT_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    REMINDERS_FIELD_NUMBER: _ClassVar[int]
    receipt_digests: _containers.RepeatedScalarFieldContainer[bytes]
    reminders: _containers.RepeatedCompositeFieldContainer[Reminder]
    def __init__(self, receipt_digests: _Optional[_Iterable[bytes]] = ..., reminders: _Optional[_Iterable[_Union[Reminder, _Mapping]]] = ...) -> None: ...

class Reminder(_message.Message):
    __slots__ = ("receipt", "signature")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    signature: bytes
    def __init__(self, receipt: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class SignRootResponse(_message.Message):
    __slots__ = ("root", "signature")
    ROOT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    root: bytes
    signature: _common_pb2.Signature
    def __init__(self, root: _Optional[bytes] = ..., signature: _Optional[_Union[_common_pb2.Signature, _Mapping]] = ...) -> None: ...
