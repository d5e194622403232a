"""The chain a second time, as docs/protocol.md describes it: JSON-RPC, four bytes of Keccak, and words."""

import json
import time
import urllib.request
from collections.abc import Sequence
from typing import Any

from tests.integration import second_crypto as crypto


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def address_word(address: bytes) -> bytes:
    return bytes(12) + address


class Chain:
    """Calls and transactions by hand."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.chain_id = int(self._rpc("eth_chainId"), 16)

    def call(self, contract: bytes, function: str, arguments: bytes, block: str = "latest") -> bytes:
        data = "0x" + (crypto.keccak(function.encode())[:4] + arguments).hex()
        return bytes.fromhex(self._rpc("eth_call", {"to": "0x" + contract.hex(), "data": data}, block)[2:])

    def send(self, key: bytes, contract: bytes, function: str, arguments: bytes) -> None:
        """A transaction in the old form, with the chain's id in its signature (EIP-155), mined."""
        data = crypto.keccak(function.encode())[:4] + arguments
        sender, target = "0x" + crypto.address_of(key).hex(), "0x" + contract.hex()
        gas = self._rpc("eth_estimateGas", {"from": sender, "to": target, "data": "0x" + data.hex()})
        nonce, price = self._rpc("eth_getTransactionCount", sender, "pending"), self._rpc("eth_gasPrice")
        fields = [number(int(each, 16)) for each in (nonce, price, gas)] + [contract, b"", data]
        signed = crypto.sign(key, crypto.keccak(rlp([*fields, number(self.chain_id), b"", b""])))
        r, s = (signed[start : start + 32].lstrip(b"\0") for start in (0, 32))
        v = number(2 * self.chain_id + 35 + signed[64] - 27)
        hashed = self._rpc("eth_sendRawTransaction", "0x" + rlp([*fields, v, r, s]).hex())
        until = time.monotonic() + 30
        while (mined := self._rpc("eth_getTransactionReceipt", hashed)) is None and time.monotonic() < until:
            time.sleep(0.1)
        assert mined["status"] == "0x1"

    def _rpc(self, method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            content = json.load(answer)
        assert "error" not in content, content
        return content["result"]


def words_of(data: bytes) -> list[bytes]:
    return [data[start : start + 32] for start in range(0, len(data), 32)]


def list_at(data: bytes, offset: int) -> list[bytes]:
    """A dynamic array of words that begins at a byte offset."""
    words = words_of(data[offset:])
    return words[1 : 1 + int.from_bytes(words[0], "big")]


def text_at(data: bytes, member: int) -> str:
    """A string that is a member of a struct."""
    start = int.from_bytes(words_of(data)[member], "big")
    length = int.from_bytes(data[start : start + 32], "big")
    return data[start + 32 : start + 32 + length].decode()


def text(content: str) -> bytes:
    """A string as an argument: its length, and its bytes filled up to words."""
    data = content.encode()
    return word(len(data)) + data.ljust(-(-len(data) // 32) * 32, b"\0")


def byte_strings(items: Sequence[bytes]) -> bytes:
    """An array of byte strings as an argument: how many, where each begins, then each with its length."""
    parts = [word(len(item)) + item.ljust(-(-len(item) // 32) * 32, b"\0") for item in items]
    starts = [32 * len(items) + sum(map(len, parts[:index])) for index in range(len(items))]
    return word(len(items)) + b"".join(map(word, starts)) + b"".join(parts)


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def rlp(item: bytes | Sequence[bytes]) -> bytes:
    if not isinstance(item, bytes):
        content = b"".join(map(rlp, item))
        return _rlp_length(len(content), 0xC0) + content
    if len(item) == 1 and item[0] < 0x80:
        return item
    return _rlp_length(len(item), 0x80) + item


def _rlp_length(length: int, base: int) -> bytes:
    if length < 56:
        return bytes([base + length])
    return bytes([base + 55 + len(number(length))]) + number(length)
