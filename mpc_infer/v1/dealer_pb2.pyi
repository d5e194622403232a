from mpc_infer.v1 import common_pb2 as _common_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetDealerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetDealerInfoResponse(_message.Message):
    __slots__ = ("sealing_key",)
    SEALING_KEY_FIELD_NUMBER: _ClassVar[int]
    sealing_key: _common_pb2.SealingKey
    def __init__(self, sealing_key: _Optional[_Union[_common_pb2.SealingKey, _Mapping]] = ...) -> None: ...

class GetCorrectionsRequest(_message.Message):
    __slots__ = ("material_id", "plan", "seed_commitments", "sealed_seeds", "batches")
    MATERIAL_ID_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SEED_COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    SEALED_SEEDS_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    material_id: bytes
    plan: bytes
    seed_commitments: _containers.RepeatedScalarFieldContainer[bytes]
    sealed_seeds: _containers.RepeatedCompositeFieldContainer[_common_pb2.SealedBox]
    batches: int
    def __init__(self, material_id: _Optional[bytes] = ..., plan: _Optional[bytes] = ..., seed_commitments: _Optional[_Iterable[bytes]] = ..., sealed_seeds: _Optional[_Iterable[_Union[_common_pb2.SealedBox, _Mapping]]] = ..., batches: _Optional[int] = ...) -> None: ...

class GetCorrectionsResponse(_message.Message):
    __slots__ = ("chunk",)
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    chunk: bytes
    def __init__(self, chunk: _Optional[bytes] = ...) -> None: ...
