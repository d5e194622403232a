from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Delivery(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DELIVERY_UNSPECIFIED: _ClassVar[Delivery]
    DELIVERY_COORDINATOR: _ClassVar[Delivery]
    DELIVERY_CLIENT: _ClassVar[Delivery]

class SealingSuite(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEALING_SUITE_UNSPECIFIED: _ClassVar[SealingSuite]
    SEALING_SUITE_MLKEM768_X25519: _ClassVar[SealingSuite]
    SEALING_SUITE_X25519: _ClassVar[SealingSuite]
DELIVERY_UNSPECIFIED: Delivery
DELIVERY_COORDINATOR: Delivery
DELIVERY_CLIENT: Delivery
SEALING_SUITE_UNSPECIFIED: SealingSuite
SEALING_SUITE_MLKEM768_X25519: SealingSuite
SEALING_SUITE_X25519: SealingSuite

class SealingKey(_message.Message):
    __slots__ = ("suite", "public_key")
    SUITE_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    suite: SealingSuite
    public_key: bytes
    def __init__(self, suite: _Optional[_Union[SealingSuite, str]] = ..., public_key: _Optional[bytes] = ...) -> None: ...

class SealedBox(_message.Message):
    __slots__ = ("suite", "key_id", "ciphertext")
    SUITE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    CIPHERTEXT_FIELD_NUMBER: _ClassVar[int]
    suite: SealingSuite
    key_id: bytes
    ciphertext: bytes
    def __init__(self, suite: _Optional[_Union[SealingSuite, str]] = ..., key_id: _Optional[bytes] = ..., ciphertext: _Optional[bytes] = ...) -> None: ...

class Signature(_message.Message):
    __slots__ = ("signer", "signature")
    SIGNER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    signer: bytes
    signature: bytes
    def __init__(self, signer: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class SignedReceipt(_message.Message):
    __slots__ = ("receipt", "signatures")
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    receipt: bytes
    signatures: _containers.RepeatedCompositeFieldContainer[Signature]
    def __init__(self, receipt: _Optional[bytes] = ..., signatures: _Optional[_Iterable[_Union[Signature, _Mapping]]] = ...) -> None: ...

class Opening(_message.Message):
    __slots__ = ("salt", "share")
    SALT_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    salt: bytes
    share: bytes
    def __init__(self, salt: _Optional[bytes] = ..., share: _Optional[bytes] = ...) -> None: ...

class Inclusion(_message.Message):
    __slots__ = ("index", "size", "path", "root", "signatures", "transaction", "block", "gas_used")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ROOT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURES_FIELD_NUMBER: _ClassVar[int]
    TRANSACTION_FIELD_NUMBER: _ClassVar[int]
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    GAS_USED_FIELD_NUMBER: _ClassVar[int]
    index: int
    size: int
    path: _containers.RepeatedScalarFieldContainer[bytes]
    root: bytes
    signatures: _containers.RepeatedCompositeFieldContainer[Signature]
    transaction: bytes
    block: int
    gas_used: int
    def __init__(self, index: _Optional[int] = ..., size: _Optional[int] = ..., path: _Optional[_Iterable[bytes]] = ..., root: _Optional[bytes] = ..., signatures: _Optional[_Iterable[_Union[Signature, _Mapping]]] = ..., transaction: _Optional[bytes] = ..., block: _Optional[int] = ..., gas_used: _Optional[int] = ...) -> None: ...

class SessionCost(_message.Message):
    __slots__ = ("online_ms", "offline_ms", "rounds", "bytes_sent", "material_bytes")
    ONLINE_MS_FIELD_NUMBER: _ClassVar[int]
    OFFLINE_MS_FIELD_NUMBER: _ClassVar[int]
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    BYTES_SENT_FIELD_NUMBER: _ClassVar[int]
    MATERIAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    online_ms: float
    offline_ms: float
    rounds: int
    bytes_sent: int
    material_bytes: int
    def __init__(self, online_ms: _Optional[float] = ..., offline_ms: _Optional[float] = ..., rounds: _Optional[int] = ..., bytes_sent: _Optional[int] = ..., material_bytes: _Optional[int] = ...) -> None: ...

class PartyInfo(_message.Message):
    __slots__ = ("index", "address", "sealing_keys")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SEALING_KEYS_FIELD_NUMBER: _ClassVar[int]
    index: int
    address: bytes
    sealing_keys: _containers.RepeatedCompositeFieldContainer[SealingKey]
    def __init__(self, index: _Optional[int] = ..., address: _Optional[bytes] = ..., sealing_keys: _Optional[_Iterable[_Union[SealingKey, _Mapping]]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("code", "message", "remedy", "retryable", "party")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    PARTY_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    remedy: str
    retryable: bool
    party: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., remedy: _Optional[str] = ..., retryable: _Optional[bool] = ..., party: _Optional[str] = ...) -> None: ...
