"""The one byte string for a named set of tensors ("MPT1")."""

import math
import struct
from collections.abc import Mapping

import numpy as np

from mpc_infer.errors import InvalidInput, InvalidRequest, MessageTooLarge, WrongDtype, WrongShape
from mpc_infer.sharing.fixed import Ring

MAGIC = b"MPT1"
DTYPE_UINT64 = 1
MAX_BYTES = 64 * 1024 * 1024
MAX_TENSORS = 4096
MAX_NAME_BYTES = 256
MAX_DIMENSIONS = 8
_ITEM_BYTES = 8


def encode_tensors(tensors: Mapping[str, Ring]) -> bytes:
    """``"MPT1"``, a u32 count, then each tensor in the order of its name's UTF-8 bytes, all little endian.

    A tensor is: u16 length of the name, the name, u8 dtype (1 = uint64), u8 number of dimensions, u64 each dimension,
    the elements in C order. The same tensors always give the same bytes.

    Raises:
        WrongDtype: an array is not uint64.
        WrongShape: an array is empty or has more than 8 dimensions.
        InvalidInput: a name is empty, longer than 256 bytes, or not Unicode.
    """
    pieces = [MAGIC, struct.pack("<I", len(tensors))]
    for name, array in sorted((_name_bytes(name), array) for name, array in tensors.items()):
        if array.dtype != np.uint64:
            raise WrongDtype(f"tensor {name.decode()!r} is {array.dtype}, not uint64")
        if array.ndim > MAX_DIMENSIONS or array.size == 0:
            raise WrongShape(f"tensor {name.decode()!r} is empty or has more than {MAX_DIMENSIONS} dimensions")
        head = struct.pack(f"<BB{array.ndim}Q", DTYPE_UINT64, array.ndim, *array.shape)
        pieces += [struct.pack("<H", len(name)), name, head, array.astype("<u8", copy=False).tobytes()]
    return b"".join(pieces)


def decode_tensors(data: bytes, *, max_bytes: int = MAX_BYTES, max_tensors: int = MAX_TENSORS) -> dict[str, Ring]:
    """Read what ``encode_tensors`` wrote, and nothing else.

    Returns:
        Writable uint64 arrays by name, which do not share memory with ``data``.

    Raises:
        InvalidRequest: truncated, trailing bytes, names doubled or out of order, unknown dtype, or over a limit.
        MessageTooLarge: more than ``max_bytes``.
    """
    if len(data) > max_bytes:
        raise MessageTooLarge(f"{len(data)} bytes of tensors, and at most {max_bytes} are accepted")
    reader = _Reader(data)
    if reader.take(len(MAGIC)) != MAGIC:
        raise InvalidRequest("these bytes are not a set of tensors: they do not begin with MPT1")
    (count,) = reader.unpack("<I")
    if count > max_tensors:
        raise InvalidRequest(f"{count} tensors, and at most {max_tensors} are accepted")
    tensors: dict[str, Ring] = {}
    last = b""
    for _ in range(count):
        last, array = _read_tensor(reader, last)
        tensors[_decode_name(last)] = array
    reader.end()
    return tensors


def _name_bytes(name: str) -> bytes:
    try:
        encoded = name.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput("the name of a tensor is not valid Unicode") from error
    if not 0 < len(encoded) <= MAX_NAME_BYTES:
        raise InvalidInput(f"the name of a tensor has 1 to {MAX_NAME_BYTES} bytes, not {len(encoded)}")
    return encoded


def _decode_name(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest("the name of a tensor is not UTF-8") from error


class _Reader:
    """A position in bytes that never goes past their end."""

    def __init__(self, data: bytes) -> None:
        self._view = memoryview(data)
        self._position = 0

    def take(self, count: int) -> memoryview:
        if count > len(self._view) - self._position:
            raise InvalidRequest("the tensors are truncated")
        self._position += count
        return self._view[self._position - count : self._position]

    def unpack(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self.take(struct.calcsize(layout)))

    def end(self) -> None:
        if self._position != len(self._view):
            raise InvalidRequest("bytes follow the last tensor")


def _read_tensor(reader: _Reader, last: bytes) -> tuple[bytes, Ring]:
    (length,) = reader.unpack("<H")
    name = bytes(reader.take(length))
    if not 0 < length <= MAX_NAME_BYTES or name <= last:
        raise InvalidRequest("a tensor's name is empty, too long, doubled or out of order")
    dtype, dimensions = reader.unpack("<BB")
    if dtype != DTYPE_UINT64 or dimensions > MAX_DIMENSIONS:
        raise InvalidRequest(f"a tensor has dtype {dtype} and {dimensions} dimensions")
    shape = reader.unpack(f"<{dimensions}Q")
    elements = math.prod(shape)
    if elements == 0:
        raise InvalidRequest("a tensor is empty")
    # The reader compares with what is there before anything is allocated.
    flat = np.frombuffer(reader.take(elements * _ITEM_BYTES), dtype="<u8")
    return name, flat.astype(np.uint64).reshape(shape)
