"""Strict reading of JSON objects: every field once, of one form, and nothing besides."""

import json
import re
from collections.abc import Iterator
from typing import Any

from mpc_infer.encoding import DIGEST_BYTES, address_bytes, to_address
from mpc_infer.errors import InvalidRequest
from mpc_infer.ids import Address

_HEX = re.compile(r"0x(?:[0-9a-f]{2})*")
_MAX_NUMBER = 2**53


def to_hex(data: bytes) -> str:
    """``0x`` and lower-case hex digits."""
    return "0x" + data.hex()


def write_json(value: Any) -> bytes:
    """Indented JSON with a final newline."""
    return (json.dumps(value, indent=2) + "\n").encode()


class Fields:
    """The fields of one JSON object; each is taken once, and ``end`` refuses what is left.

    Args:
        value: a parsed JSON object.
        where: what to call it in an error.

    Raises:
        InvalidRequest: (every method) a field is missing or of another form.
    """

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidRequest(f"{where} is not a JSON object")
        self._left = dict(value)
        self._where = where

    def has(self, name: str) -> bool:
        """Whether the field is there and not taken yet."""
        return name in self._left

    def text(self, name: str) -> str:
        """A string."""
        value = self._take(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def number(self, name: str) -> int:
        """An integer from 0 below 2^53."""
        value = self._take(name)
        if type(value) is not int or not 0 <= value < _MAX_NUMBER:
            raise self._wrong(name, "an integer from 0 below 2^53")
        return value

    def data(self, name: str, length: int | None = None) -> bytes:
        """Bytes in hex, of a given length if there is one."""
        return self._data(name, self._take(name), length)

    def address(self, name: str) -> Address:
        """An address; checksummed on return, whatever its case."""
        return self._address(name, self._take(name))

    def addresses(self, name: str, limit: int) -> list[Address]:
        """A list of addresses."""
        return [self._address(name, value) for value in self._list(name, limit)]

    def digests(self, name: str, limit: int) -> list[bytes]:
        """A list of 32-byte values."""
        return [self._data(name, value, DIGEST_BYTES) for value in self._list(name, limit)]

    def nested(self, name: str) -> "Fields":
        """An object."""
        return Fields(self._take(name), f"{name} in {self._where}")

    def optional(self, name: str) -> "Fields | None":
        """An object, or None where the field is absent."""
        return self.nested(name) if self.has(name) else None

    def items(self, name: str, limit: int) -> Iterator["Fields"]:
        """A list of objects."""
        for value in self._list(name, limit):
            yield Fields(value, f"an entry of {name} in {self._where}")

    def end(self) -> None:
        """Refuse fields that nobody took."""
        if self._left:
            raise InvalidRequest(f"{self._where} has the unknown field {min(self._left)[:64]!r}")

    def _take(self, name: str) -> Any:
        if name not in self._left:
            raise InvalidRequest(f"{self._where} has no {name}")
        return self._left.pop(name)

    def _list(self, name: str, limit: int) -> list[Any]:
        value = self._take(name)
        if not isinstance(value, list) or len(value) > limit:
            raise self._wrong(name, f"a list of at most {limit} entries")
        return value

    def _data(self, name: str, value: Any, length: int | None) -> bytes:
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise self._wrong(name, "0x and lower-case hex digits")
        data = bytes.fromhex(value[2:])
        if length is not None and len(data) != length:
            raise self._wrong(name, f"{length} bytes in hex")
        return data

    def _address(self, name: str, value: Any) -> Address:
        if not isinstance(value, str):
            raise self._wrong(name, "an address")
        return to_address(address_bytes(Address(value)))

    def _wrong(self, name: str, expected: str) -> InvalidRequest:
        return InvalidRequest(f"{name} in {self._where} is not {expected}")
